# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that exist in memory only: for tests, and to try the API without an engine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from clusterops.server_manager.driver import (
    Cluster,
    Server,
    ServerSpec,
    ServerState,
    UnknownServer,
    is_to_freeze,
    is_to_thaw,
    node_number,
)


@dataclass
class FakeWorld:
    """What a real provider would remember; drivers that share one see the same machines.

    ``held`` and ``errors`` are by operation (``start``, ``list``, …): a held call lasts until its
    event is set, the others fail; ``calls`` records what was asked, in order.
    """

    machines: dict[str, Server] = field(default_factory=dict)
    seeds: dict[str, dict[str, tuple[int, bytes]]] = field(default_factory=dict)
    held: dict[str, threading.Event] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class FakeDriver:
    """A provider without machines; see :class:`clusterops.server_manager.driver.Driver`."""

    provider = "fake"
    ssh_user = "root"

    def __init__(self, cluster: Cluster, world: FakeWorld | None = None) -> None:
        self.cluster = cluster
        self.world = world or FakeWorld()

    def check(self) -> None:
        self._enter("check")

    def prepare(self) -> None:
        self._enter("prepare")

    def host_address(self) -> str:
        return "192.0.2.1"

    def network(self) -> str:
        return "192.0.2.0/24"

    def list(self) -> list[Server]:
        self._enter("list")
        with self.world.lock:
            return sorted(self.world.machines.values(), key=lambda s: node_number(s.name))

    def get(self, name: str) -> Server | None:
        self._enter("get", name)
        return self.world.machines.get(name)

    def create(self, spec: ServerSpec) -> bool:
        self._enter("create", spec.name)
        address = f"192.0.2.{node_number(spec.name)}"
        with self.world.lock:
            old = self.world.machines.get(spec.name)
            if old is not None:
                new = replace(old, cpus=spec.cpus, memory_mb=spec.memory_mb)
                self.world.machines[spec.name] = new
                return new != old
            self.world.seeds[spec.name] = dict(spec.seed([address]))
            self.world.machines[spec.name] = Server(
                name=spec.name,
                role=spec.role,
                state=ServerState.STOPPED,
                provider=self.provider,
                address=address,
                cpus=spec.cpus,
                memory_mb=spec.memory_mb,
                created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                ports=dict(spec.ports),
            )
            return True

    def start(self, name: str) -> bool:
        self._enter("start", name)
        return self._become(name, ServerState.RUNNING)

    def stop(self, name: str, grace_s: float = 30) -> bool:
        self._enter("stop", name)
        return self._become(name, ServerState.STOPPED)

    def freeze(self, name: str) -> bool:
        self._enter("freeze", name)
        return is_to_freeze(name, self._state(name)) and self._become(name, ServerState.PAUSED)

    def thaw(self, name: str) -> bool:
        self._enter("thaw", name)
        return is_to_thaw(name, self._state(name)) and self._become(name, ServerState.RUNNING)

    def kill(self, name: str) -> bool:
        self._enter("kill", name)
        return self._become(name, ServerState.STOPPED)

    def delete(self, name: str) -> bool:
        self._enter("delete", name)
        with self.world.lock:
            return self.world.machines.pop(name, None) is not None

    def teardown(self) -> Sequence[str]:
        self._enter("teardown")
        with self.world.lock:
            removed = [f"machine {name}" for name in self.world.machines]
            self.world.machines.clear()
            return removed

    def _state(self, name: str) -> ServerState:
        server = self.world.machines.get(name)
        if server is None:
            raise UnknownServer(name)
        return server.state

    def _become(self, name: str, state: ServerState) -> bool:
        with self.world.lock:
            server = self.world.machines.get(name)
            if server is None:
                raise UnknownServer(name)
            self.world.machines[name] = replace(server, state=state)
            return server.state != state

    def _enter(self, operation: str, name: str = "") -> None:
        self.world.calls.append((operation, name))
        if event := self.world.held.get(operation):
            event.wait()
        if error := self.world.errors.get(operation):
            raise error
