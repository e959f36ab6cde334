# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of the host and faults of machines, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException

from clusterops.config import CONTROL_NODE
from clusterops.http_api import jobs as contract
from clusterops.http_api.bodies import json_object
from clusterops.http_api.guard import note
from clusterops.server_manager.driver import ServerState
from clusterops.server_manager.job_processes import Jobs
from clusterops.server_manager.jobs import JobRefused
from clusterops.server_manager.service import Service

JOBS = "/api/v1/jobs"
FAULTS = "/api/v1/servers/{name}/faults"
DONE: dict[contract.Fault, tuple[str, str]] = {
    "kill": ("was powered off without warning", "was off already"),
    "freeze": ("is frozen", "was frozen already"),
    "thaw": ("runs again", "was not frozen"),
}
T = TypeVar("T")


def add_faults(app: FastAPI, service: Service) -> None:
    @app.post(
        FAULTS,
        response_model=contract.FaultDone,
        responses=contract.refusals(404, 409, 422, 501),
        openapi_extra=contract.takes_fault(),
    )
    async def fault(name: str, request: Request) -> contract.FaultDone:
        """Kill a machine, freeze it, or thaw it; control-1 is spared."""
        wanted = valid(contract.fault_request, await json_object(request))
        note(request.scope, wanted, name)
        changed = await service.fault(wanted, name)
        return contract.FaultDone(status=f"Server '{name}' {DONE[wanted][0 if changed else 1]}.")


def add_jobs(app: FastAPI, service: Service, jobs: Jobs) -> None:
    @app.get(JOBS, response_model=contract.JobList)
    async def list_jobs() -> contract.JobList:
        """The last job of each kind, and what may be deployed."""
        found = [contract.Job(**job) for job in jobs.list()]
        return contract.JobList(jobs=found, applications=list(jobs.applications()))

    @app.post(
        JOBS,
        response_model=contract.Job,
        status_code=202,
        responses=contract.refusals(409, 422),
        openapi_extra=contract.takes_job(list(jobs.applications())),
    )
    async def start_job(request: Request) -> contract.Job:
        """Start load, a release or a rollback on the host."""
        wanted = valid(contract.job_request, await json_object(request))
        note(request.scope, contract.in_words(wanted))
        if not await _is_up(service):
            raise JobRefused("The cluster is not up: control-1 does not run.")
        return contract.Job(**jobs.start(wanted))

    @app.delete(JOBS + "/{kind}", response_model=contract.Job, responses=contract.refusals(404))
    async def stop_job(kind: str, request: Request) -> contract.Job:
        """End a job with all that it has started."""
        note(request.scope, f"stop {kind}")
        return contract.Job(**await jobs.stop(kind))


def valid(check: Callable[[dict[str, Any]], T], body: dict[str, Any]) -> T:
    """A checked body; one that is not allowed is answered with 422."""
    try:
        return check(body)
    except contract.InvalidBody as error:
        raise HTTPException(422, str(error)) from error


async def _is_up(service: Service) -> bool:
    servers = await service.list()
    return any(
        server.name == CONTROL_NODE and server.state is ServerState.RUNNING for server in servers
    )
