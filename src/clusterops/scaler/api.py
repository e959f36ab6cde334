# SPDX-License-Identifier: GPL-3.0-or-later
"""The scaler's HTTP API: changes for holders of the cluster's token, status for more people."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BeforeValidator
from starlette.exceptions import HTTPException

from clusterops import __version__
from clusterops.http_api import openapi
from clusterops.http_api.access import AccessFile, may
from clusterops.http_api.audit import Audit, Entry, fields
from clusterops.http_api.guard import Guard, Rules, note
from clusterops.http_api.guard import error as _error
from clusterops.scaler import host_jobs, page, schemas
from clusterops.scaler.api_schemas import answers, bounds_taken, stream_answers, wanted_taken
from clusterops.scaler.bounds import checked
from clusterops.scaler.daemon import Controller
from clusterops.scaler.feed import Feed, FullError
from clusterops.scaler.ledger import HeldError
from clusterops.scaler.status import describe, targets, time_text
from clusterops.scaler.store import ALWAYS, Span

BODY_LIMIT = 4096
HEALTH, AUDIT = "/health", "/api/v1/audit"
TARGETS = "/api/v1/prometheus-targets"
STREAM = "/api/v1/stream"

_LOG = logging.getLogger(__name__)
Json = dict[str, Any]


def _written_out(value: Any) -> Any:
    """pydantic alone would take a bare number for seconds."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]", value):
        raise ValueError("expected a time such as 2026-01-31T14:05:30Z")
    return value


Moment = Annotated[datetime | None, BeforeValidator(_written_out)]


def make_app(controller: Controller, feed: Feed | None = None) -> FastAPI:
    """The ASGI application around one controller."""
    told = feed or Feed(controller, describe)
    parts = page.load()
    app = FastAPI(
        title="Scaler API",
        description="What the scaler sees, wants and does, and what people ask of it.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    settings = controller.settings
    rules = Rules(
        max_body_bytes=BODY_LIMIT,
        # The page itself tells nothing; what it shows, it asks for with the reader's token.
        open_paths=frozenset({HEALTH, "/", *(f"/static/{name}" for name in parts)}),
        local_paths=frozenset({"/metrics", TARGETS}),
        read_open=settings.read_open,
        token_paths=frozenset({AUDIT}),
        # Without a token to ask for, a page could read through a name that leads here.
        names=frozenset({"localhost", *settings.names}) if settings.read_open else None,
        own_pages=True,
    )
    app.add_middleware(
        Guard,
        rules=rules,
        known=AccessFile(settings.access_file),
        audit=Audit("scaler", lambda entry: _write_down(controller, entry)),
        count=lambda method, route, status, seconds: None,
    )
    app.openapi = openapi.describe(app, rules)  # type: ignore[method-assign]
    openapi.add_docs(app)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = openapi.allow(app, request) if error.status_code == 405 else error.headers
        return _error(error.status_code, str(error.detail), headers)

    @app.exception_handler(RequestValidationError)
    async def bad_query(_request: Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]
        return _error(400, f"{problem['loc'][-1]}: {problem['msg']}")

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error_: Exception) -> JSONResponse:
        return _error(500, "internal error; see the scaler's journal")

    @app.get("/", include_in_schema=False)
    async def dashboard(request: Request) -> Response:
        return parts[page.PAGE].answer(request.headers)

    @app.get("/static/{name:path}", include_in_schema=False)
    async def dashboard_part(name: str, request: Request) -> Response:
        if name not in parts or name == page.PAGE:
            raise HTTPException(404, f"{name}: the page has no such part")
        return parts[name].answer(request.headers)

    @app.get(HEALTH, **answers(schemas.Health))
    async def health() -> dict[str, str]:
        """Whether the scaler runs."""
        return {"service": "scaler", "status": "healthy"}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Numbers of decisions and actions, as Prometheus' text."""
        return Response(
            controller.exporter.render(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    @app.get("/api/v1/status", **answers(schemas.Status))
    async def status() -> Json:
        """What is wanted, what is there, what was decided last and why."""
        return describe(controller)

    @app.get(STREAM, **stream_answers())
    async def stream() -> Response:
        """What is new, as server-sent events."""
        try:
            messages = told.open()
        except FullError as error:
            raise HTTPException(503, str(error), {"Retry-After": "5"}) from error
        return StreamingResponse(messages, media_type="text/event-stream")

    @app.get("/api/v1/access", **answers(schemas.Access))
    async def access(request: Request) -> Json:
        """What the token of this request may do."""
        role = request.scope["clusterops.who"]
        return {"role": role, "may_change": may(role, "DELETE")}

    @app.get("/api/v1/events", **answers(schemas.Events))
    async def events(
        limit: int = 100,
        kind: str | None = None,
        after: Moment = None,
        until: Moment = None,
    ) -> Json:
        """What was decided and done, newest first."""
        rows = controller.ledger.store.events(
            min(max(limit, 1), 1000), kind, span=_span(after, until)
        )
        return {"events": [{**row, "at": time_text(row["at"])} for row in rows]}

    @app.get("/api/v1/ticks", **answers(schemas.Ticks))
    async def ticks(limit: int = 30, after: Moment = None, until: Moment = None) -> Json:
        """Every look with its inputs, rules and verdicts, newest first."""
        rows = controller.ledger.store.ticks(min(max(limit, 1), 1000), span=_span(after, until))
        return {"ticks": [{**row, "at": time_text(row["at"])} for row in rows]}

    @app.get(AUDIT, **answers(schemas.AuditEntries))
    async def audit(limit: int = 100) -> Json:
        """Who changed what, and who was refused, newest first."""
        return {"audit": controller.ledger.store.audit(min(max(limit, 1), 1000))}

    @app.get(TARGETS, **answers(list[schemas.Target]))
    async def prometheus_targets() -> list[Json]:
        """The agents that Prometheus asks."""
        return targets(controller)

    @app.post("/api/v1/desired", **answers(schemas.Desired, 422, takes=wanted_taken(settings)))
    async def desired(request: Request) -> Json:
        """Want a number of agents, which the policy does not go below for a while."""
        body = await _body(request)
        count = body.get("desired")
        low, high = controller.bounds.low, controller.bounds.high
        if isinstance(count, bool) or not isinstance(count, int) or not low <= count <= high:
            raise HTTPException(
                422, f"desired: found {count!r}; allowed: a whole number from {low} to {high}"
            )
        note(request.scope, f"{count} agents")
        controller.ledger.set_desired(count, controller.settings.scaling_hold_s)
        return {"desired": count, "min": low, "max": high}

    @app.post("/api/v1/bounds", **answers(schemas.BoundsSet, 422, takes=bounds_taken(controller)))
    async def set_bounds(request: Request) -> Json:
        """Other limits than agents_min and agents_max, for the time being."""
        body = await _body(request)
        try:
            bounds = checked(body.get("min"), body.get("max"), controller.configured)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        note(request.scope, f"{bounds.low} to {bounds.high} agents")
        same = bounds == controller.configured
        return _bounds_now(controller, controller.ledger.set_bounds(None if same else bounds))

    @app.delete("/api/v1/bounds", **answers(schemas.BoundsSet))
    async def reset_bounds(request: Request) -> Json:
        """The limits of cluster.yml again."""
        note(request.scope, "agents as in cluster.yml")
        return _bounds_now(controller, controller.ledger.set_bounds(None))

    @app.post("/api/v1/pause", **answers(schemas.Paused))
    async def pause(request: Request) -> Json:
        """Decide nothing until resumed; agents that die are still replaced."""
        note(request.scope, "pause")
        return {"changed": controller.ledger.pause(True), "paused": True}

    @app.delete("/api/v1/pause", **answers(schemas.Paused))
    async def resume(request: Request) -> Json:
        """Decide again."""
        note(request.scope, "resume")
        return {"changed": controller.ledger.pause(False), "paused": False}

    @app.post(
        "/api/v1/hold",
        **answers(schemas.Held, 409, 422, takes=schemas.HoldRequest.model_json_schema()),
    )
    async def hold(request: Request) -> Json:
        """Keep the scaler from acting while something else changes agents."""
        body = await _body(request)
        holder, ttl = body.get("holder"), body.get("ttl_s", 120)
        if not isinstance(holder, str) or not re.fullmatch(schemas.HOLDER, holder):
            raise HTTPException(422, "holder: allowed: 1 to 64 printable ASCII characters")
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= 3600:
            raise HTTPException(422, f"ttl_s: found {ttl!r}; allowed: more than 0, at most 3600")
        reset = body.get("reset_bounds", False)
        if not isinstance(reset, bool):
            raise HTTPException(422, f"reset_bounds: found {reset!r}; allowed: true or false")
        note(request.scope, f"hold by {holder}")
        try:
            lease = controller.ledger.hold(holder, float(ttl))
        except HeldError as error:
            raise HTTPException(409, str(error)) from error
        if reset:
            controller.ledger.set_bounds(None)
        return {
            "held": True,
            "holder": lease.holder,
            "expires_at": time_text(lease.until),
            "idle": not controller.runs.all,
        }

    @app.delete("/api/v1/hold", **answers(schemas.Released, 409))
    async def release(request: Request, holder: str | None = None) -> Json:
        """Let the scaler act again."""
        note(request.scope, f"release of {holder or 'any hold'}")
        try:
            released = controller.ledger.release(holder)
        except HeldError as error:
            raise HTTPException(409, str(error)) from error
        return {"held": False, "released": released, "idle": not controller.runs.all}

    host_jobs.add_routes(app, settings)
    return app


def _bounds_now(controller: Controller, changed: bool) -> Json:
    bounds, configured = controller.bounds, controller.configured
    return {
        "changed": changed,
        "min": bounds.low,
        "max": bounds.high,
        "configured": {"min": configured.low, "max": configured.high},
    }


def _write_down(controller: Controller, entry: Entry) -> None:
    """An entry of the audit log: in the journal, and where the API finds it."""
    found = fields(entry)
    _LOG.info("audit %s", json.dumps(found, ensure_ascii=True))
    controller.ledger.store.add_audit(found)


async def _body(request: Request) -> Json:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is not valid JSON") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return body


def _span(after: datetime | None, until: datetime | None) -> Span:
    """Times without a zone are UTC, as in the answers. Answers end at the millisecond."""
    start, end = (
        at.replace(tzinfo=at.tzinfo or UTC).timestamp() if at else None for at in (after, until)
    )
    return (
        ALWAYS[0] if start is None else start + 0.0005,
        ALWAYS[1] if end is None else end + 0.0005,
    )
