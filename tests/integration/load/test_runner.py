# SPDX-License-Identifier: GPL-3.0-or-later
"""The real generator against a server that counts, drops and stalls."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from clusterops.cli import main
from clusterops.errors import CommandError
from clusterops.load.options import LoadOptions
from clusterops.load.process import LoadRun

pytestmark = pytest.mark.integration

OK = b"HTTP/1.1 200 OK\r\nX-Served-By: agent-1\r\nContent-Length: 2\r\n\r\nok"
CONFLICT = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"
ERROR = b'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 16\r\n\r\n{"error":"Away"}'
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok"


class Server:
    """A tiny HTTP server; ``behave(number, method, path)`` gives an answer, or None to hang up."""

    def __init__(self) -> None:
        self.behave: Any = lambda number, method, path: OK
        self.requests: list[tuple[str, str]] = []
        self.connections = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._client, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        clients = asyncio.all_tasks(self._loop)
        for client in clients:
            client.cancel()
        self._loop.run_until_complete(asyncio.gather(*clients, return_exceptions=True))
        self._loop.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                self.requests.append((method, path))
                answer = self.behave(len(self.requests), method, path)
                if isinstance(answer, float):
                    await asyncio.sleep(answer)
                    answer = OK
                if answer is None:
                    break
                writer.write(answer)
                if answer is CUT:
                    break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def run(server: Server, **more: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    settings: dict[str, Any] = {"users": 8, "duration_s": 3.0, **more}
    options = LoadOptions(url=f"http://127.0.0.1:{server.port}", **settings)
    with LoadRun(options) as load:
        lines = list(load.lines())
    return lines[:-1], lines[-1]


def test_every_request_is_counted_and_connections_stay_open(server: Server) -> None:
    seconds, summary = run(server)
    assert summary["requests"] == len(server.requests) > 100
    assert summary["failures"] == 0
    assert summary["errors"] == []
    assert summary["statuses"] == {"200": len(server.requests)}
    assert summary["served_by"] == {"agent-1": len(server.requests)}
    assert server.connections == 8
    assert 2 <= len(seconds) <= 4
    assert seconds[-1]["users"] == 8
    assert seconds[-1]["requests"] == summary["requests"]
    assert 3.0 <= summary["duration_s"] < 4.5
    assert summary["latency_ms"]["p50"] <= summary["latency_ms"]["max"]
    assert {method for method, _ in server.requests} == {"GET", "POST"}


def test_each_dropped_request_is_one_failure_and_none_is_sent_again(server: Server) -> None:
    dropped: list[str] = []

    def behave(number: int, method: str, _path: str) -> bytes | None:
        if number % 5:
            return OK
        dropped.append(method)
        return None

    server.behave = behave
    _, summary = run(server)
    assert {"GET", "POST"} <= set(dropped)
    assert summary["requests"] == len(server.requests)
    assert summary["failures"] == len(dropped)
    assert sum(error["count"] for error in summary["errors"]) == len(dropped)
    assert all("connection" in error["error"] for error in summary["errors"])


def test_an_answer_that_is_cut_off_is_a_failure(server: Server) -> None:
    server.behave = lambda number, method, path: OK if number % 3 else CUT
    _, summary = run(server)
    assert summary["requests"] == len(server.requests)
    assert summary["failures"] == len(server.requests) // 3


def test_wrong_statuses_are_failures_and_expected_ones_are_not(server: Server) -> None:
    def behave(number: int, method: str, _path: str) -> bytes:
        if method == "POST":
            return CONFLICT
        return OK if number % 4 else ERROR

    server.behave = behave
    _, summary = run(server)
    assert summary["statuses"]["409"] > 0
    assert summary["failures"] == summary["statuses"]["503"]
    assert all(error["error"].endswith("status 503, Away") for error in summary["errors"])


def test_a_stalled_answer_is_a_timeout_and_is_waited_for_at_the_end(server: Server) -> None:
    server.behave = lambda number, method, path: 30.0 if number % 10 == 0 else OK
    _, summary = run(server, timeout_s=0.5)
    assert summary["requests"] == len(server.requests)
    assert summary["failures"] == len(server.requests) // 10
    assert all("no answer within 0.5 s" in error["error"] for error in summary["errors"])


def test_redirects_are_not_followed(server: Server) -> None:
    server.behave = lambda number, method, path: REDIRECT
    _, summary = run(server, path="/only", duration_s=1.0)
    assert {path for _, path in server.requests} == {"/only"}
    assert summary["failures"] == 0
    assert list(summary["statuses"]) == ["302"]


def test_the_number_of_users_grows_over_the_ramp(server: Server) -> None:
    seconds, _ = run(server, ramp_s=3.0, duration_s=4.0)
    assert seconds[0]["users"] < 8
    assert seconds[-1]["users"] == 8


def test_a_server_that_goes_away_is_counted_not_fatal(server: Server) -> None:
    server.behave = lambda number, method, path: None
    _, summary = run(server, duration_s=2.0)
    assert summary["requests"] == summary["failures"] == len(server.requests)
    assert summary["latency_ms"]["p50"] is None


def test_an_interrupt_ends_it_early_with_a_summary(server: Server) -> None:
    options = LoadOptions(url=f"http://127.0.0.1:{server.port}", users=4, duration_s=60)
    began = time.monotonic()
    with LoadRun(options) as load:
        lines = []
        for line in load.lines():
            lines.append(line)
            load.interrupt()
    assert lines[-1]["type"] == "summary"
    assert lines[-1]["requests"] == len(server.requests)
    assert time.monotonic() - began < 15


def test_a_runner_that_dies_is_a_clear_error(server: Server) -> None:
    options = LoadOptions(url=f"http://127.0.0.1:{server.port}", users=1, duration_s=60)
    with LoadRun(options) as load, pytest.raises(CommandError, match="the load generator"):
        for _ in load.lines():
            assert load._process is not None
            os.kill(load._process.pid, signal.SIGKILL)


def test_a_runner_that_nobody_listens_to_ends(server: Server) -> None:
    options = LoadOptions(url=f"http://127.0.0.1:{server.port}", users=1, duration_s=60)
    process = subprocess.Popen(
        [sys.executable, "-m", "clusterops.load.runner", *options.command_line()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) != 0
    finally:
        process.kill()


def test_the_command_prints_the_summary(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{server.port}"
    assert main(["load", "--url", url, "--duration", "2", "--users", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["requests"] == len(server.requests)
    assert set(document) >= {
        "duration_s", "users", "requests", "failures", "requests_per_s", "latency_ms", "errors",
        "statuses",
    }  # fmt: skip


def test_ctrl_c_of_the_command_prints_the_summary(server: Server) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "clusterops.cli", "load", "--json", "--duration", "60",
         "--url", f"http://127.0.0.1:{server.port}"],
        stdout=subprocess.PIPE,
        # As a shell at a terminal starts it; a test run in the background ignores the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        while len(server.requests) < 50:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert json.loads(out)["requests"] == len(server.requests)
