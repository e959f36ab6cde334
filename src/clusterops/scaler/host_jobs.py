# SPDX-License-Identifier: GPL-3.0-or-later
"""What people ask of the host through the scaler: load, releases, faults.

A browser knows the scaler alone, and those run where the Server Manager is. The scaler checks who
asks and what for, and passes it on with its own token, which opens little more than this.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import aiohttp
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from clusterops.http_api import jobs as contract
from clusterops.http_api.bodies import json_object
from clusterops.http_api.guard import note
from clusterops.scaler.answers import ProbeError
from clusterops.scaler.model import agent_number
from clusterops.scaler.observe import read_token, reason_of, tls_of
from clusterops.scaler.settings import ScalerSettings

JOBS = "/api/v1/jobs"
FAULTS = "/api/v1/agents/{name}/faults"
TIMEOUT_S = 40.0
"""A machine that is powered off, or a job that is ended, takes its time."""
PASSED_ON = frozenset({200, 202, 404, 409, 422, 501})
T = TypeVar("T")


class Host:
    """The Server Manager, for requests that somebody waits for."""

    def __init__(self, settings: ScalerSettings) -> None:
        self._url = settings.server_manager_url.rstrip("/")
        self._token_file = settings.token_file
        self._tls = tls_of(settings.server_manager_ca_file)

    async def ask(self, method: str, path: str, body: Any = None) -> JSONResponse:
        """Its answer, passed on; what is wrong between it and the scaler is answered with 502."""
        try:
            status, answer = await self._request(method, path, body)
        except ProbeError as error:
            raise HTTPException(502, f"Server Manager: {error}") from error
        if status not in PASSED_ON:
            told = answer.get("error") or f"it answered {status}"
            raise HTTPException(502, f"Server Manager: {told}")
        return JSONResponse(answer, status)

    async def _request(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {read_token(self._token_file)}"}
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                # People ask rarely: a connection would be idle nearly always.
                aiohttp.ClientSession(headers=headers) as session,
                session.request(
                    method, self._url + path, json=body, allow_redirects=False, ssl=self._tls
                ) as answer,
            ):
                return answer.status, _object(await answer.read())
        except TimeoutError as error:
            raise ProbeError(f"no answer within {TIMEOUT_S:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProbeError(reason_of(error)) from error


def add_routes(app: FastAPI, settings: ScalerSettings) -> None:
    """Jobs and faults, for holders of the cluster's token; reading is as for everything else."""
    host = Host(settings)

    @app.get(JOBS, response_model=None, responses=_answers(contract.JobList, 200, 502))
    async def list_jobs() -> JSONResponse:
        """The Server Manager's jobs: the last one of each kind."""
        return await host.ask("GET", JOBS)

    @app.post(
        JOBS,
        response_model=None,
        status_code=202,
        responses=_answers(contract.Job, 202, 409, 422, 502),
        openapi_extra=contract.takes_job(),
    )
    async def start_job(request: Request) -> JSONResponse:
        """Have the Server Manager start load, a release or a rollback."""
        wanted = _valid(contract.job_request, await json_object(request))
        note(request.scope, contract.in_words(wanted))
        return await host.ask("POST", JOBS, wanted.model_dump())

    @app.delete(
        JOBS + "/{kind}", response_model=None, responses=_answers(contract.Job, 200, 404, 502)
    )
    async def stop_job(kind: str, request: Request) -> JSONResponse:
        """Have the Server Manager end a job."""
        note(request.scope, f"stop {kind}")
        if kind not in get_args(contract.Kind):
            raise HTTPException(404, "There is no such kind of job.")
        return await host.ask("DELETE", f"{JOBS}/{kind}")

    @app.post(
        FAULTS,
        response_model=None,
        responses=_answers(contract.FaultDone, 200, 404, 409, 422, 501, 502),
        openapi_extra=contract.takes_fault(),
    )
    async def fault(name: str, request: Request) -> JSONResponse:
        """Ask the Server Manager to kill, freeze or thaw an agent."""
        wanted = _valid(contract.fault_request, await json_object(request))
        note(request.scope, wanted, name)
        # The Server Manager spares control-1; other names must not become a path of its API.
        if name != "control-1" and agent_number(name) is None:
            raise HTTPException(404, "There is no such agent.")
        return await host.ask("POST", f"/api/v1/servers/{name}/faults", {"fault": wanted})


def _answers(model: Any, done: int, *refusals: int) -> dict[int | str, dict[str, Any]]:
    return {done: {"model": model}, **contract.refusals(*refusals)}


def _valid(check: Callable[[dict[str, Any]], T], body: dict[str, Any]) -> T:
    try:
        return check(body)
    except contract.InvalidBody as error:
        raise HTTPException(422, str(error)) from error


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ProbeError("it did not answer JSON") from error
    if not isinstance(body, dict):
        raise ProbeError("it did not answer a JSON object")
    return body
