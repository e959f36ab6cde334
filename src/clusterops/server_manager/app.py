# SPDX-License-Identifier: GPL-3.0-or-later
"""The Server Manager API over HTTP. Its fields, statuses and sentences are a contract."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from clusterops import __version__
from clusterops.errors import ClusterOpsError
from clusterops.http_api import openapi
from clusterops.http_api.access import Known
from clusterops.http_api.audit import Audit
from clusterops.http_api.bodies import json_object as _json_object
from clusterops.http_api.guard import Guard, Rules, note
from clusterops.http_api.guard import error as _error
from clusterops.server_manager import job_routes, schemas
from clusterops.server_manager.driver import (
    DriverError,
    NameTaken,
    NotPossible,
    NotSupported,
    UnknownServer,
    printable,
)
from clusterops.server_manager.job_processes import Jobs
from clusterops.server_manager.jobs import JobRefused, NoSuchJob, UnknownApplication
from clusterops.server_manager.service import NameNotAllowed, NotAnAgent, Service
from clusterops.server_manager.telemetry import CONTENT_TYPE, Telemetry

log = logging.getLogger(__name__)

SERVERS = "/api/v1/servers"
POWER = f"{SERVERS}/power"
MAX_BODY_BYTES = 64 * 1024
OPEN_PATHS = frozenset({"/", "/health"})
INTERNAL = "an internal error, described in the Server Manager's log"


def create_app(
    service: Service,
    *,
    known: Known,
    audit: Audit,
    jobs: Jobs,
    names: frozenset[str] = frozenset(),
    telemetry: Telemetry | None = None,
    expiries: Callable[[], Mapping[str, float]] = dict,
    config_problem: Callable[[], str | None] = lambda: None,
) -> FastAPI:
    """The ASGI application.

    Args:
        known: the tokens that are right.
        jobs: what runs on the host for people who are elsewhere.
        names: what callers call this service, apart from its addresses and localhost.
        expiries: when each of the cluster's certificates ends, Unix time.
        config_problem: why the cluster.yml on disk is not the one in force, or None.
    """
    telemetry = telemetry or Telemetry()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        settling = asyncio.create_task(_settle(service))  # requests need not wait for it
        yield
        settling.cancel()
        await jobs.close()

    app = FastAPI(
        lifespan=lifespan,
        title="Server Manager API",
        description="Creates, starts, stops and lists the machines of one cluster.",
        version=__version__,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    rules = Rules(
        max_body_bytes=MAX_BODY_BYTES, open_paths=OPEN_PATHS, names=names | {"localhost"}
    )  # fmt: skip
    app.add_middleware(Guard, rules=rules, known=known, audit=audit, count=telemetry.request)
    app.openapi = openapi.describe(app, rules)  # type: ignore[method-assign]
    openapi.add_docs(app)
    _add_error_handlers(app)

    @app.get("/", response_model=schemas.Banner)
    async def banner() -> schemas.Banner:
        """Which service this is."""
        return schemas.Banner()

    @app.get("/health", response_model=schemas.Health)
    async def health() -> schemas.Health:
        """Whether it runs, and whether cluster.yml is the one that it has read."""
        return schemas.Health(config="stale" if config_problem() else "current")

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Numbers of the API, the provider and the machines, as Prometheus' text."""
        try:
            servers = await service.list()
        except ClusterOpsError:
            servers = None
        return Response(telemetry.render(servers, expiries()), media_type=CONTENT_TYPE)

    @app.get("/api/v1/cluster", response_model=schemas.ClusterBody)
    async def cluster() -> dict[str, Any]:
        """The resolved cluster.yml, and how the machines reach this host."""
        return await service.cluster()

    @app.get(SERVERS, response_model=schemas.ServerList)
    async def list_servers() -> schemas.ServerList:
        """Every machine of the cluster."""
        found = await service.list()
        return schemas.ServerList(servers=[schemas.ServerBody.of(server) for server in found])

    @app.post(
        SERVERS,
        response_model=schemas.ServerBody,
        status_code=201,
        responses={
            200: {"model": schemas.ServerBody, "description": "It exists."},
            **_refusals(409),
        },
        openapi_extra=_takes(schemas.CreateRequest),
    )
    async def create_server(request: Request, response: Response) -> schemas.ServerBody:
        """Have a machine, powered off when it is new."""
        name = _text(await _json_object(request), "name")
        note(request.scope, "create", name)
        server, created = await service.create(name)
        response.status_code = 201 if created else 200
        return schemas.ServerBody.of(server)

    @app.post(
        POWER,
        response_model=schemas.StatusBody,
        responses=_refusals(404),
        openapi_extra=_takes(schemas.PowerRequest),
    )
    async def power(request: Request) -> schemas.StatusBody:
        """Turn a machine on or off; off asks first, and pulls the plug after a time."""
        body = await _json_object(request)
        action = _action(body)
        name = _text(body, "server")
        note(request.scope, f"turn {action}", name)
        try:
            changed = await service.power(action, name)
        except UnknownServer:
            raise
        except Exception as error:
            if not isinstance(error, ClusterOpsError):
                log.exception("power %s of %r failed", action, name)
            reason = str(error) if isinstance(error, ClusterOpsError) else INTERNAL
            raise HTTPException(500, f"Failed to perform {action} on '{name}': {reason}") from error
        done = f"turned {action} successfully" if changed else f"was already {action}"
        # The contract's two sentences: "Server 'x' turned on successfully." / "… was already on."
        return schemas.StatusBody(status=f"Server '{name}' {done}.")

    # Without this, GET …/power would be a look at a machine named "power".
    @app.api_route(
        POWER,
        methods=["GET", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
        name=openapi.NO_METHOD,
    )
    async def power_only_by_post() -> None:
        raise HTTPException(405)

    @app.get(SERVERS + "/{name}", response_model=schemas.ServerBody, responses=_refusals(404))
    async def get_server(name: str) -> schemas.ServerBody:
        """One machine."""
        return schemas.ServerBody.of(await service.get(name))

    @app.delete(SERVERS + "/{name}", response_model=schemas.StatusBody, responses=_refusals(404))
    async def delete_server(name: str, request: Request) -> schemas.StatusBody:
        """Remove a machine with its disks."""
        note(request.scope, "delete", name)
        await service.delete(name)
        return schemas.StatusBody(status=f"Server '{name}' was deleted.")

    job_routes.add_faults(app, service)
    job_routes.add_jobs(app, service, jobs)
    return app


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        text = {404: "Not found.", 405: "Method not allowed."}.get(error.status_code, error.detail)
        headers = openapi.allow(app, request) if error.status_code == 405 else error.headers
        return _error(error.status_code, text, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _error(400, "Invalid request.")

    @app.exception_handler(ClusterOpsError)
    async def refused(request: Request, error: ClusterOpsError) -> JSONResponse:
        return _error(_status(error), str(error))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        return _error(500, f"The request failed: {INTERNAL}.")


_STATUSES: dict[type[ClusterOpsError], int] = {
    UnknownServer: 404,
    NoSuchJob: 404,
    NameNotAllowed: 400,
    NameTaken: 409,
    NotAnAgent: 409,
    NotPossible: 409,
    JobRefused: 409,
    UnknownApplication: 422,
    NotSupported: 501,
}


def _status(error: ClusterOpsError) -> int:
    if status := _STATUSES.get(type(error)):
        return status
    if not isinstance(error, DriverError):
        log.error("failed outside of the driver: %s", error)
    return 500


def _action(body: dict[str, Any]) -> Literal["on", "off"]:
    action = body.get("action")
    if action == "on":
        return "on"
    if action == "off":
        return "off"
    found = "nothing" if action is None else f"'{printable(str(action))}'"
    raise HTTPException(400, f"Invalid action: found {found}; allowed: 'on', 'off'.")


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if isinstance(value, str) and value:
        return value
    if value is None or value == "":
        raise HTTPException(400, f"Missing '{key}'.")
    raise HTTPException(400, f"Invalid '{key}': expected text.")


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    """The body is read by hand, for the contract's own errors; this describes it."""
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": model.model_json_schema()}},
        }
    }


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: openapi.error_answer(_REFUSALS[status]) for status in statuses}


_REFUSALS = {404: "There is no such server.", 409: "Something else has that name."}


async def _settle(service: Service) -> None:
    try:
        await service.settle()
    except ClusterOpsError as error:
        log.warning("the machines' sizes could not be checked: %s", error)
