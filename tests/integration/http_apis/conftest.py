# SPDX-License-Identifier: GPL-3.0-or-later
"""Every HTTP API as a real process on loopback, with nothing behind it that costs time."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clusterops.state import State
from tests.integration.scaler import fakes
from tests.integration.scaler.conftest import Daemon

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Api:
    """A running API."""

    port: int
    token: str = ""
    read_token: str = ""
    folder: Path = field(default_factory=Path)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> State:
        return State.beside(self.folder / "cluster.yml")

    def status(self, method: str, path: str, token: str = "", **headers: str) -> int:
        """The status of an answer."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = f"{self.url}{path}"
        request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]


def until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        assert process.poll() is None, "it ended"
        assert time.monotonic() < deadline, "it does not answer"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A Server Manager whose machines exist in its memory only."""
    folder = tmp_path_factory.mktemp("manager")
    port, nobody = free_ports(2)
    (folder / "cluster.yml").write_text(
        "cluster_name: httpapis\ncluster_provider: fake\nagents_max: 50\n"
        f"port_server_manager: {port}\nport_load_balancer: {nobody}\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable, str(Path(__file__).with_name("manager.py")),
                "--cluster-file", str(folder / "cluster.yml"),
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until_it_answers(f"http://127.0.0.1:{port}/health", process)
        state = State.beside(folder / "cluster.yml")
        read_token = (state.root / "token-read").read_text().strip()
        yield Api(port, state.token(), read_token, folder)
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture(scope="session")
def scaler_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    cluster, stop = fakes.start()
    cluster.serve("agent-1")
    daemon = Daemon(tmp_path_factory.mktemp("scaler"), cluster, agents_max=1, health_interval_s=5)
    try:
        daemon.start()
        assert daemon.process
        until_it_answers(f"http://127.0.0.1:{daemon.port}/health", daemon.process)
        daemon.wait_for(lambda: daemon.status()["last_decision"] is not None)
        yield daemon
        assert daemon.stop() == 0
    finally:
        if daemon.process and daemon.process.poll() is None:
            daemon.kill()
        stop()
    assert "Traceback" not in daemon.log


@pytest.fixture(scope="session")
def scaler(scaler_daemon: Daemon) -> Api:
    """The real scaler, around a fake cluster whose numbers do not change."""
    return Api(scaler_daemon.port, fakes.TOKEN, fakes.READ_TOKEN, scaler_daemon.folder)


@pytest.fixture(scope="session")
def metrics() -> Iterator[Api]:
    """The metrics API, of this machine."""
    process = subprocess.Popen(
        [sys.executable, "-m", "clusterops.metrics_api", "--port", "0"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert process.stderr
    try:
        found = re.search(r"port (\d+),", process.stderr.readline())
        assert found
        yield Api(int(found[1]))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        said = process.stderr.read()
        process.stderr.close()
    assert said == ""
