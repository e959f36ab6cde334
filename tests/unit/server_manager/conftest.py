# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from clusterops.config import ClusterConfig
from clusterops.http_api.access import digest
from clusterops.http_api.audit import Audit, Entry
from clusterops.http_api.jobs import JobRequest
from clusterops.server_manager.app import create_app
from clusterops.server_manager.driver import Cluster
from clusterops.server_manager.drivers.fake import FakeDriver, FakeWorld
from clusterops.server_manager.job_processes import Jobs
from clusterops.server_manager.jobs import NoSuchJob, Record, arguments_of, check
from clusterops.server_manager.service import Limits, Service
from clusterops.server_manager.telemetry import Telemetry

TOKEN = "t" * 64
READ_TOKEN = "r" * 64
SCALER_TOKEN = "s" * 64


class FakeJobs(Jobs):
    """Jobs that start nothing; what would run is in ``asked``."""

    def __init__(self) -> None:
        self.asked: list[JobRequest] = []
        self.stopped: list[str] = []

    def applications(self) -> list[str]:  # type: ignore[override]
        return ["apps/whoami"]

    def list(self) -> list[dict[str, Any]]:
        return [
            {**job(request), "state": "stopped" if request.kind in self.stopped else "running"}
            for request in self.asked
        ]

    def start(self, request: JobRequest) -> dict[str, Any]:
        running = {each.kind for each in self.asked} - set(self.stopped)
        check(request, running, self.applications())
        self.asked.append(request)
        return job(request)

    async def stop(self, kind: str) -> dict[str, Any]:
        for request in self.asked:
            if request.kind == kind:
                self.stopped.append(kind)
                return {**job(request), "state": "stopped"}
        raise NoSuchJob(f"There is no {kind} to stop.")

    async def close(self) -> None:
        return


def job(request: JobRequest) -> dict[str, Any]:
    began = "2026-01-31T14:05:30.000Z"
    return Record(request.kind, "running", began, arguments_of(request)).shown()


class Fixture:
    """A Server Manager without sockets, files and machines."""

    def __init__(self, **config: Any) -> None:
        self.config = ClusterConfig(**config)
        self.world = FakeWorld()
        self.problem: str | None = None
        self.telemetry = Telemetry()
        self.service = Service(
            config=lambda: self.config,
            driver=FakeDriver(Cluster("unit"), self.world),
            make_seed=lambda name, addresses: {"/seed": (0o600, f"{name} {addresses}".encode())},
            url_for=lambda host: f"http://{host}:3000",
            limits=Limits(read_s=1, create_s=5, start_s=1, grace_s=0, stop_s=5, delete_s=5),
            observe=self.telemetry.driver_call,
        )
        self.audited: list[Entry] = []
        self.jobs = FakeJobs()
        self.app = create_app(
            self.service,
            known=lambda: {
                "admin": [digest(TOKEN)],
                "read": [digest(READ_TOKEN)],
                "scaler": [digest(SCALER_TOKEN)],
            },
            audit=Audit("server-manager", self.audited.append),
            jobs=self.jobs,
            names=frozenset({"server-manager"}),
            telemetry=self.telemetry,
            expiries=lambda: {"ca": 2e9},
            config_problem=lambda: self.problem,
        )

    @contextlib.contextmanager
    def held(self, operation: str) -> Iterator[None]:
        """Calls of this operation last until the end of the block."""
        event = self.world.held.setdefault(operation, threading.Event())
        try:
            yield
        finally:
            event.set()
            del self.world.held[operation]

    async def asked(self, operation: str, times: int = 1) -> None:
        """Wait until the provider has been asked for this so often."""
        await self.until(lambda: [call for call, _ in self.world.calls].count(operation) >= times)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - what it waits for happens in other threads
                await asyncio.sleep(0.005)

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://server-manager",
            headers=headers,
        )


@pytest.fixture
def manager() -> Iterator[Fixture]:
    fixture = Fixture()
    yield fixture
    fixture.service.close()


@pytest.fixture
async def api(manager: Fixture) -> AsyncIterator[httpx.AsyncClient]:
    async with manager.client(Authorization=f"Bearer {TOKEN}") as client:
        yield client
