# SPDX-License-Identifier: GPL-3.0-or-later
"""Unit tests cannot touch the world: no processes, no connections to other programs."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

MARKER = "allow_subprocess"
# How long an example takes says how busy the machine is.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


class Guard:
    """Refuses processes and connections, except to sockets that this process listens on."""

    def __init__(self) -> None:
        self.open = False
        self.violations: list[str] = []
        self.own: set[Any] = set()

    def refuse(self, what: str) -> None:
        if not self.open:
            self.violations.append(what)
            # Not an Exception: the code under test must not take it for an ordinary failure.
            pytest.fail(f"a unit test touched the world: {what}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}: the unit test may start processes and connect")


@pytest.fixture(scope="session", autouse=True)
def _guard() -> Iterator[Guard]:
    guard = Guard()
    start, connect, connect_ex, listen = (
        subprocess.Popen.__init__,
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.socket.listen,
    )

    def guarded_start(process: Any, args: Any, *rest: Any, **named: Any) -> None:
        guard.refuse(f"process {args!r}")
        start(process, args, *rest, **named)

    def guarded_connect(client: socket.socket, address: Any) -> None:
        if address not in guard.own:
            guard.refuse(f"connection to {address!r}")
        connect(client, address)

    def guarded_connect_ex(client: socket.socket, address: Any) -> int:
        if address not in guard.own:
            guard.refuse(f"connection to {address!r}")
        return connect_ex(client, address)

    def noted_listen(server: socket.socket, *backlog: int) -> None:
        listen(server, *backlog)
        guard.own.add(server.getsockname())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", guarded_start)
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket.socket, "listen", noted_listen)
        yield guard


@pytest.fixture(autouse=True)
def _stay_inside(_guard: Guard, request: pytest.FixtureRequest) -> Iterator[None]:
    _guard.open = request.node.get_closest_marker(MARKER) is not None
    _guard.violations.clear()
    yield
    _guard.open = False
    # A thread of the code under test, or an `except BaseException`, may have hidden it.
    assert _guard.violations == []
