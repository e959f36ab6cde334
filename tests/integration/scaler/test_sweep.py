# SPDX-License-Identifier: GPL-3.0-or-later
"""Hundreds of agents at once, some of them hanging, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from clusterops.scaler import observe
from clusterops.scaler.model import Observation
from clusterops.scaler.observe import Observer
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.sweep import Answer, Getter, ShortageError
from tests.integration.scaler.fleet import Fleet, serving

pytestmark = pytest.mark.integration

TIMEOUT_S = 1.0
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def settings(folder: Path, fleet: Fleet) -> ScalerSettings:
    (folder / "token").write_text("token\n")
    (folder / "deployment.json").write_text(
        json.dumps({"application": {"name": "fake", "port": fleet.port}, "release": "r1"})
    )
    return ScalerSettings(
        server_manager_url=fleet.url,
        load_balancer_admin_url=fleet.url,
        token_file=folder / "token",
        deployment_file=folder / "deployment.json",
        metrics_port=fleet.port,
        sweep_timeout_s=TIMEOUT_S,
    ).model_copy(update={"agents_max": len(fleet.addresses)})


@contextlib.asynccontextmanager
async def observing(folder: Path, fleet: Fleet) -> AsyncIterator[Observer]:
    observer = Observer(settings(folder, fleet))
    try:
        yield observer
    finally:
        await observer.close()


def known(seen: Observation) -> set[str]:
    return {a.name for a in seen.agents if a.has_metrics and a.ready}


def silent(seen: Observation) -> set[str]:
    return {a.name for a in seen.agents if a.swept and not a.has_metrics and a.ready is False}


async def test_hanging_agents_cost_one_time_out_in_total(tmp_path: Path) -> None:
    async with serving(200) as fleet, observing(tmp_path, fleet) as observer:
        seen = await observer.observe()
        assert len(known(seen)) == 200 and not seen.problems
        fleet.hang(10)
        began = time.monotonic()
        seen = await observer.observe()
        assert time.monotonic() - began < 10 * TIMEOUT_S  # 20 of them hang
        assert len(known(seen)) == 180
        assert silent(seen) == {a.name for a in seen.agents if (a.number - 1) % 100 < 10}
        fleet.hang(0)
        assert len(known(await observer.observe())) == 200


async def test_a_glance_tells_who_is_unwell_and_when(tmp_path: Path) -> None:
    async with serving(100) as fleet, observing(tmp_path, fleet) as observer:
        before = await observer.observe()
        seen = await observer.glance(before)
        assert len(known(seen)) == 100
        fleet.hang(10)
        began = time.time()
        seen = await observer.glance(before)
        assert TIMEOUT_S <= time.time() - began < 5 * TIMEOUT_S  # 10 of them hang
        assert seen.at >= began + TIMEOUT_S
        assert len(known(seen)) == 90
        assert silent(seen) == {a.name for a in seen.agents if (a.number - 1) % 100 < 10}


async def test_no_connection_outlives_its_sweep(tmp_path: Path) -> None:
    async with serving(20) as fleet, observing(tmp_path, fleet) as observer:
        fleet.hang(10)
        await observer.observe()
        await asyncio.sleep(0.1)
        assert fleet.requests == 22 and not any(fleet.connections.values())


async def test_more_hanging_ones_than_connections_do_not_starve_the_others() -> None:
    async with serving(30) as fleet:
        fleet.hang(10)
        getter = Getter(TIMEOUT_S, connections=10)
        began = time.monotonic()
        answers = await asyncio.gather(
            *(getter.get(address, fleet.port, "/ready") for address in fleet.addresses)
        )
        assert time.monotonic() - began < 5 * TIMEOUT_S
        assert [answer is None for answer in answers] == [True] * 10 + [False] * 20


async def test_a_shortage_on_this_side_is_held_against_no_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Short(Getter):
        async def get(self, host: str, port: int, path: str) -> Answer | None:
            raise ShortageError

    monkeypatch.setattr(observe, "Getter", Short)
    async with serving(3) as fleet, observing(tmp_path, fleet) as observer:
        seen = await observer.observe()
    assert len(seen.in_service) == 3 and not any(agent.swept for agent in seen.agents)
    assert "3 agents were not asked" in caplog.text


async def test_a_shortage_is_told_from_an_agents_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    getter = Getter(1.0)
    assert await getter.get("127.1.9.9", 1, "/") is None  # refused

    async def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", fail)
    with pytest.raises(ShortageError, match="Too many open files"):
        await getter.get("127.1.9.9", 1, "/")


# --- servers that are not what they should be --------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"


def says(*pieces: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)

    return serve


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"Content-Length: 60000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 65536)
        await writer.drain()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def asked(serve: Serve, timeout_s: float = 5) -> tuple[Answer | None, float]:
    """What a server's answer is taken for, and after how many seconds."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
            writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    async with server:
        began = time.monotonic()
        answer = await Getter(timeout_s).get("127.0.0.1", server.sockets[0].getsockname()[1], "/x")
        return answer, time.monotonic() - began


@pytest.mark.parametrize(
    "serve",
    [
        says(OK + b"Content-Length: 2\r\n\r\n", b"{", b"}"),
        says(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n"),
        says(OK[:5], OK[5:] + b"\r\n{", b"}"),
    ],
)
async def test_every_way_to_send_a_body_is_understood(serve: Serve) -> None:
    answer, _ = await asked(serve)
    assert answer and (answer.status, answer.body) == (200, b"{}")


@pytest.mark.parametrize(
    "serve",
    [
        says(b"\x00\xff\r\n\r\n" * 3),
        says(OK + b"Content-Length: 9\r\n\r\nshort"),
        says(OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nshort"),
        says(OK),
        says(),
        floods,
        resets,
    ],
)
async def test_everything_else_counts_as_no_answer_at_once(serve: Serve) -> None:
    answer, seconds = await asked(serve)
    assert answer is None and seconds < 4


async def test_an_answer_that_drips_ends_at_the_time_out() -> None:
    answer, seconds = await asked(drips, timeout_s=0.5)
    assert answer is None and 0.4 < seconds < 4
