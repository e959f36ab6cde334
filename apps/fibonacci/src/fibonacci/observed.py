# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds every request: request id, access log, metrics, the last resort for errors."""

import logging
import re
import time
import uuid
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fibonacci.logs import request_id

_log = logging.getLogger("fibonacci.access")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# Probes come every few seconds from several sides.
_QUIET = frozenset({"/health", "/ready", "/metrics"})


class HttpMetrics:
    """Requests by route and status, and how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "fibonacci_http_requests",
            "HTTP requests answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "fibonacci_http_request_duration_seconds",
            "Time from the request's head to the end of the answer.",
            ("route",),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=registry,
        )

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. *method* is folded: a client must not invent time series."""
        known = method if method in ("GET", "HEAD", "POST") else "other"
        self.requests.labels(known, route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)


class JobMetrics(Collector):
    """The jobs that the workers of all nodes have computed: every node tells the same."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.done: tuple[int, float] | None = None
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Nothing while Redis does not tell."""
        if self.done is not None:
            count, seconds = self.done
            yield SummaryMetricFamily(
                "fibonacci_job_duration_seconds",
                "Time that computed jobs took; the same on every node.",
                count_value=count,
                sum_value=seconds,
            )


class Observed:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        current = _request_id(scope)
        token = request_id.set(current)
        started = time.perf_counter()
        status = 0

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", current.encode()))
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        except ClientDisconnect:
            _log.debug("the client left before it had sent its request")
        except Exception:
            _log.exception("unexpected error")
            if not status:
                answer = JSONResponse({"error": "Internal server error"}, 500)
                await answer(scope, receive, observed_send)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.record(scope["method"], route, status, seconds)
            level = logging.DEBUG if route in _QUIET else logging.INFO
            if _log.isEnabledFor(level):
                fields = {
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "duration_ms": round(seconds * 1000, 2),
                }
                _log.log(level, "request", extra={"fields": fields})
            request_id.reset(token)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        # What the load balancer sent is kept, unless it could break a log or a header.
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return bytes(value).decode()
    return uuid.uuid4().hex
