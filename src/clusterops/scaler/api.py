# SPDX-License-Identifier: GPL-3.0-or-later
"""The scaler's HTTP API: status for everyone, changes for holders of the cluster's token."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from clusterops.scaler.answers import ProbeError
from clusterops.scaler.daemon import Controller
from clusterops.scaler.ledger import HeldError
from clusterops.scaler.observe import read_token
from clusterops.scaler.store import ALWAYS, Span

BODY_LIMIT = 4096
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
#: The page's parts and their types; nothing else of the folder is served.
_PAGE_PARTS = {
    "dashboard.css": "text/css",
    "dashboard.js": "text/javascript",
    "chart.js": "text/javascript",
}


def make_app(controller: Controller) -> FastAPI:
    """The ASGI application around one controller."""
    app = FastAPI(title="Cluster Operations Playground: scaler", docs_url=None, redoc_url=None)
    folder = files("clusterops.scaler").joinpath("static")
    page = folder.joinpath("dashboard.html").read_text("utf-8")
    parts = {name: folder.joinpath(name).read_text("utf-8") for name in _PAGE_PARTS}

    @app.exception_handler(HTTPException)
    async def http_error(_request: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def bad_query(_request: Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]
        return _error(400, f"{problem['loc'][-1]}: {problem['msg']}")

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error_: Exception) -> JSONResponse:
        return _error(500, "internal error; see the scaler's journal")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def dashboard() -> HTMLResponse:
        return HTMLResponse(page, headers=_PAGE_HEADERS)

    @app.get("/static/{name}", include_in_schema=False)
    async def dashboard_part(name: str) -> Response:
        if name not in parts:
            raise HTTPException(404, f"{name}: the page has no such part")
        return Response(parts[name], media_type=_PAGE_PARTS[name], headers=_PAGE_HEADERS)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"service": "scaler", "status": "healthy"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(
            controller.exporter.render(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    @app.get("/api/v1/status")
    async def status() -> dict[str, Any]:
        return describe(controller)

    @app.get("/api/v1/events")
    async def events(
        limit: int = 100,
        kind: str | None = None,
        after: datetime | None = None,
        until: datetime | None = None,
    ) -> dict[str, Any]:
        rows = controller.ledger.store.events(
            min(max(limit, 1), 1000), kind, span=_span(after, until)
        )
        return {"events": [{**row, "at": _time(row["at"])} for row in rows]}

    @app.get("/api/v1/ticks")
    async def ticks(
        limit: int = 30, after: datetime | None = None, until: datetime | None = None
    ) -> dict[str, Any]:
        rows = controller.ledger.store.ticks(min(max(limit, 1), 1000), span=_span(after, until))
        return {"ticks": [{**row, "at": _time(row["at"])} for row in rows]}

    @app.get("/api/v1/prometheus-targets")
    async def prometheus_targets() -> list[dict[str, Any]]:
        return targets(controller)

    @app.post("/api/v1/desired")
    async def desired(request: Request) -> dict[str, Any]:
        body = await _authorised_body(request, controller)
        count = body.get("desired")
        low, high = controller.settings.agents_min, controller.settings.agents_max
        if isinstance(count, bool) or not isinstance(count, int) or not low <= count <= high:
            raise HTTPException(
                422, f"desired: found {count!r}; allowed: a whole number from {low} to {high}"
            )
        controller.ledger.set_desired(count, controller.settings.scaling_hold_s)
        return {"desired": count, "min": low, "max": high}

    @app.post("/api/v1/pause")
    async def pause(request: Request) -> dict[str, Any]:
        _authorise(request, controller)
        return {"changed": controller.ledger.pause(True), "paused": True}

    @app.delete("/api/v1/pause")
    async def resume(request: Request) -> dict[str, Any]:
        _authorise(request, controller)
        return {"changed": controller.ledger.pause(False), "paused": False}

    @app.post("/api/v1/hold")
    async def hold(request: Request) -> dict[str, Any]:
        body = await _authorised_body(request, controller)
        holder, ttl = body.get("holder"), body.get("ttl_s", 120)
        if not isinstance(holder, str) or not 0 < len(holder) <= 64 or not holder.isprintable():
            raise HTTPException(422, "holder: allowed: 1 to 64 printable characters")
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= 3600:
            raise HTTPException(422, f"ttl_s: found {ttl!r}; allowed: more than 0, at most 3600")
        try:
            lease = controller.ledger.hold(holder, float(ttl))
        except HeldError as error:
            raise HTTPException(409, str(error)) from error
        return {
            "held": True,
            "holder": lease.holder,
            "expires_at": _time(lease.until),
            "idle": not controller.runs.all,
        }

    @app.delete("/api/v1/hold")
    async def release(request: Request, holder: str | None = None) -> dict[str, Any]:
        _authorise(request, controller)
        try:
            released = controller.ledger.release(holder)
        except HeldError as error:
            raise HTTPException(409, str(error)) from error
        return {"held": False, "released": released, "idle": not controller.runs.all}

    return app


def describe(controller: Controller) -> dict[str, Any]:
    """The status document (its field names are a contract)."""
    seen, state = controller.seen, controller.ledger.state
    actions = [
        {
            "kind": run.action.kind,
            "agent": run.action.agent,
            "step": run.step,
            "started_at": _time(run.started_at),
        }
        for run in controller.runs.all
    ]
    decision, lease = controller.decision, controller.ledger.lease
    limits = controller.settings.limits
    rest_s = max(limits.cooldown_up_s, limits.cooldown_down_s)
    cooldown_ends = state.last_scaling_at + rest_s if state else 0.0
    agents = [
        {
            "name": agent.name,
            "state": agent.state or "unknown",
            "in_service": agent.pool == "in_service",
            "healthy": controller.healthy(agent.name),
            "cpu_percent": _rounded(agent.cpu_percent),
            "memory_percent": _rounded(agent.memory_percent),
            "in_flight": agent.in_flight,
            "ready": agent.ready,
            "pool": agent.pool,
            "address": agent.address,
        }
        for agent in (seen.agents if seen else ())
        if agent.pool or agent.state not in ("absent", None)
    ]
    application = seen.application if seen else None
    return {
        "cluster": controller.settings.cluster_name,
        "mode": controller.mode,
        "desired": state.desired if state else None,
        "min": controller.settings.agents_min,
        "max": controller.settings.agents_max,
        "policy": controller.settings.scaling_policy,
        "observed_at": _time(seen.at) if seen else None,
        "last_decision": {
            "at": _time(controller.decided_at),
            "action": {"up": "scale_up", "down": "scale_down"}.get(decision.direction, "none"),
            "reason": decision.reason,
            "blocked_by": decision.blocked_by,
        }
        if decision
        else None,
        "action": actions[0] if actions else None,
        "actions": actions,
        "blocked_by": controller.plan.blocked_by if controller.plan else None,
        "cooldown_ends_at": _time(cooldown_ends) if state and state.last_scaling_at else None,
        "floor": {"agents": state.floor, "ends_at": _time(state.floor_until)}
        if state and state.floor
        else None,
        "hold": {"holder": lease.holder, "expires_at": _time(lease.until)} if lease else None,
        "agents": agents,
        "load_balancer": {
            "agents": [
                {
                    "name": agent.name,
                    "address": agent.pool_address,
                    "state": agent.pool,
                    "in_flight": agent.in_flight,
                }
                for agent in (seen.agents if seen else ())
                if agent.pool
            ]
        },
        "application": {
            "name": application.name if application else None,
            "release": application.release if application else None,
            "healthy": any(agent.ready for agent in seen.in_service) if seen else False,
        },
        "alarms": [text for text, _since in controller.alarms.values()],
    }


def targets(controller: Controller) -> list[dict[str, Any]]:
    """Running agents for Prometheus' http_sd; the last known ones while nobody can tell."""
    seen = controller.last_known
    return [
        {
            "targets": [f"{agent.address}:{controller.settings.metrics_port}"],
            "labels": {"node": agent.name, "__metrics_path__": "/metrics"},
        }
        for agent in (seen.agents if seen else ())
        if agent.state == "running" and agent.address
    ]


def _authorise(request: Request, controller: Controller) -> None:
    """Let pass who knows the token and does not come from another site's page."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "requests from pages of other sites are refused")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    try:
        token = read_token(controller.settings.token_file)
    except ProbeError as error:
        raise HTTPException(503, "the scaler has no token to compare with") from error
    right = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not right:
        raise HTTPException(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})


async def _authorised_body(request: Request, controller: Controller) -> dict[str, Any]:
    _authorise(request, controller)
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_LIMIT:
            raise HTTPException(413, f"the body is larger than {BODY_LIMIT} bytes")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is not valid JSON") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return body


def _error(status: int, text: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": text}, status_code=status, headers=headers)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _span(after: datetime | None, until: datetime | None) -> Span:
    """Times without a zone are UTC, as in the answers. Answers end at the millisecond."""
    start, end = (
        at.replace(tzinfo=at.tzinfo or UTC).timestamp() if at else None for at in (after, until)
    )
    return (
        ALWAYS[0] if start is None else start + 0.0005,
        ALWAYS[1] if end is None else end + 0.0005,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
