# SPDX-License-Identifier: GPL-3.0-or-later
"""Very many agents on loopback addresses, with the Server Manager and the load balancer of them.

``python -m tests.integration.scaler.fleet 1000`` serves until its standard input ends; the first
line that it prints is a JSON object with the port. Lines that it reads are how many agents, of
every hundred, hang from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator

from clusterops.metrics_api import http, render
from clusterops.metrics_api.sampler import Snapshot

MANAGER = "127.0.0.1"
_HEAD_BYTES = 8192


class Fleet:
    """The state that all connections share.

    Attributes:
        hanging: addresses that accept, and never answer.
        connections: how many are open, by the address that they came to.
    """

    def __init__(self, count: int) -> None:
        self.addresses = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(count)]
        self.port = 0
        self.hanging: set[str] = set()
        self.connections: dict[str, int] = {}
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://{MANAGER}:{self.port}"

    def hang(self, percent: int) -> None:
        """Make that many of every hundred agents hang."""
        self.hanging = {a for n, a in enumerate(self.addresses) if n % 100 < percent}

    def answer(self, path: str) -> bytes:
        """The whole answer to a request."""
        if path == "/metrics":
            body = render.to_json(_snapshot())
        elif path == "/ready":
            body = b'{"ready": true}'
        elif path == "/api/v1/servers":
            body = json.dumps({"servers": [_server(*a) for a in self._named]}).encode()
        elif path == "/agents":
            body = json.dumps({"agents": [self._entry(*a) for a in self._named]}).encode()
        else:
            return http.encode(http.json_response(404, {"error": path}), keep_alive=False)
        return http.encode(http.Response(200, body), keep_alive=False)

    @property
    def _named(self) -> list[tuple[str, str]]:
        return [(f"agent-{n}", address) for n, address in enumerate(self.addresses, 1)]

    def _entry(self, name: str, address: str) -> dict[str, object]:
        where = f"{address}:{self.port}"
        return {"name": name, "address": where, "state": "in_service", "in_flight": 3}


def _server(name: str, address: str) -> dict[str, object]:
    return {"name": name, "role": "agent", "state": "running", "address": address}


def _snapshot() -> Snapshot:
    gib = 2**30
    return Snapshot(51.25, 1.0, 2 * gib, gib, 64 * gib, 32 * gib, (0.5, 0.4, 0.3), time.time())


class _Connection(asyncio.Protocol):
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._address = transport.get_extra_info("sockname")[0]
        self._count(1)

    def data_received(self, data: bytes) -> None:
        self._head += data
        if len(self._head) > _HEAD_BYTES:
            self._transport.abort()
        elif b"\r\n\r\n" in self._head and self._address not in self._fleet.hanging:
            self._fleet.requests += 1
            self._transport.write(self._fleet.answer(self._head.split(b" ", 2)[1].decode()))
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        counts = self._fleet.connections
        counts[self._address] = counts.get(self._address, 0) + change


@contextlib.asynccontextmanager
async def serving(count: int) -> AsyncIterator[Fleet]:
    """Serve ``count`` agents, each on an address of its own, all on one port."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    fleet = Fleet(count)
    loop = asyncio.get_running_loop()
    servers = []
    try:
        for address in (MANAGER, *fleet.addresses):
            listener = socket.create_server((address, fleet.port), backlog=128)
            fleet.port = fleet.port or int(listener.getsockname()[1])
            servers.append(await loop.create_server(lambda: _Connection(fleet), sock=listener))
        yield fleet
    finally:
        for server in servers:
            server.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


async def _main(count: int) -> None:
    async with serving(count) as fleet:
        print(json.dumps({"port": fleet.port}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            fleet.hang(int(line))
            print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
