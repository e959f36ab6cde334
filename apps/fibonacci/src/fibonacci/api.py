# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP API: routes and how their errors are answered."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fibonacci.counts import CountBuffer
from fibonacci.errors import (
    IndexRejectedError,
    QueueUnavailableError,
    StoreUnavailableError,
)
from fibonacci.numbers import parse_index
from fibonacci.observed import HttpMetrics, JobMetrics, Observed
from fibonacci.queue import Queue
from fibonacci.store import Store

_log = logging.getLogger(__name__)

_MAX_BODY_BYTES = 100_000
_READY_DEADLINE_S = 2.5

Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Services:
    """What the API talks to. *expected_migrations* are the versions this release needs."""

    store: Store
    queue: Queue
    expected_migrations: frozenset[int]
    counts: CountBuffer = field(init=False)

    def __post_init__(self) -> None:
        self.counts = CountBuffer(self.store)


class Api:
    """The handlers of the routes."""

    def __init__(self, services: Services, registry: CollectorRegistry) -> None:
        self._services = services
        self._registry = registry
        self._depth = Gauge(
            "fibonacci_queue_jobs", "Jobs in Redis by place.", ("place",), registry=registry
        )
        self._jobs = JobMetrics(registry)
        pending = Gauge(
            "fibonacci_counts_pending", "Requests not yet in the database.", registry=registry
        )
        pending.set_function(lambda: services.counts.pending)

    async def health(self, _request: Request) -> Response:
        """The process answers; says nothing about the databases."""
        return JSONResponse({"status": "OK"})

    async def ready(self, _request: Request) -> Response:
        """The databases answer and the schema is the one this release needs."""
        store, queue = self._services.store, self._services.queue
        try:
            async with asyncio.timeout(_READY_DEADLINE_S):
                applied, _ = await asyncio.gather(store.applied_migrations(), queue.ping())
            if missing := self._services.expected_migrations - applied:
                raise StoreUnavailableError(f"migrations are missing: {sorted(missing)}")
        except (StoreUnavailableError, QueueUnavailableError, TimeoutError) as error:
            _log.warning("not ready: %s", error or "no answer in time")
            return JSONResponse({"ready": False}, 503)
        return JSONResponse({"ready": True})

    async def calculate(self, request: Request) -> Response:
        """Ask for a number."""
        index = parse_index(request.path_params.get("index", ""))
        added = await self._services.queue.enqueue(index)
        # Counted once Redis has taken it: what was answered 503 will be sent again.
        self._services.counts.add(index)
        if added:
            return JSONResponse({"working": True})
        return JSONResponse({"error": "Already calculated", "index": index}, 409)

    async def calculated(self, request: Request) -> Response:
        """The value of a number, if it is there."""
        index = parse_index(request.path_params.get("index", ""))
        return JSONResponse({"calculated_value": await self._services.queue.value(index)})

    async def most_requested(self, _request: Request) -> Response:
        """The number asked for most often, this process' latest requests included."""
        await self._services.counts.flush()
        found = await self._services.store.most_requested()
        if found is None:
            return JSONResponse({"most_requested": None}, 404)
        return JSONResponse({"most_requested": {"number": found[0], "count": found[1]}})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus' text format."""
        try:
            async with asyncio.timeout(0.5):
                for place, jobs in (await self._services.queue.depths()).items():
                    self._depth.labels(place).set(jobs)
                self._jobs.done = await self._services.queue.done()
        except (QueueUnavailableError, TimeoutError):
            self._depth.clear()  # no sample is better than an old one
            self._jobs.done = None
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


def create_app(services: Services) -> ASGIApp:
    """Return the ASGI application; its lifespan opens and closes the services."""
    # One more series for each, that nobody asks for. (The library left this function untyped.)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    api = Api(services, registry)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await services.store.open()
        services.counts.start()
        try:
            yield
        finally:
            # The requests are over by now; first what they counted, then the connections.
            await services.counts.close()
            await services.store.close()
            await services.queue.close()

    root = "/api/v1/fibonacci"
    app = Starlette(
        routes=[
            Route("/health", _checked(api.health)),
            Route("/ready", _checked(api.ready)),
            Route("/metrics", api.metrics),
            Route(f"{root}/most-requested", _checked(api.most_requested)),
            *_indexed(f"{root}/calculate", api.calculate, "POST"),
            *_indexed(f"{root}/calculated", api.calculated, "GET"),
        ],
        exception_handlers={
            HTTPException: _answer_http_error,
            IndexRejectedError: _answer_rejected,
            QueueUnavailableError: _answer_unavailable,
            StoreUnavailableError: _answer_unavailable,
            # Answered here; it is raised again for Observed, which logs it.
            Exception: _answer_unexpected,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return Observed(app, HttpMetrics(registry))


def _indexed(path: str, handler: Handler, method: str) -> list[Route]:
    """Routes with an index, and those that left it out (answered 422 like any wrong index)."""
    checked = _checked(handler)
    paths = (path, f"{path}/", f"{path}/{{index}}")
    return [Route(each, checked, methods=[method]) for each in paths]


def _checked(handler: Handler) -> Handler:
    """Refuse a body that claims to be JSON and is not. No route reads one, clients may send one."""

    async def checked(request: Request) -> Response:
        headers = request.headers
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            kind = headers.get("content-type", "application/json").partition(";")[0].strip()
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_BODY_BYTES:
                    raise HTTPException(413, "Body too large")
            if body and (kind.lower() == "application/json" or kind.lower().endswith("+json")):
                try:
                    _parse_json(bytes(body))
                except (ValueError, RecursionError):
                    return JSONResponse({"error": "Malformed JSON"}, 400)
        return await handler(request)

    return checked


def _parse_json(body: bytes) -> None:
    # Numbers stay text: Python refuses very long ones and accepts NaN, JSON does the opposite.
    json.loads(body.decode("utf-8"), parse_int=str, parse_float=str, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _answer_rejected(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)


def _answer_unavailable(_request: Request, error: Exception) -> Response:
    _log.warning("answered 503: %s", error)
    what = "Queue" if isinstance(error, QueueUnavailableError) else "Database"
    return JSONResponse({"error": f"{what} is unavailable"}, 503, {"Retry-After": "1"})


def _answer_unexpected(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"error": "Internal server error"}, 500)


def _answer_http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    text = {404: "Not found", 405: "Method not allowed"}.get(error.status_code, error.detail)
    return JSONResponse({"error": text}, error.status_code, dict(error.headers or {}))
