# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterops.http_api.access import digest
from tests.integration.scaler import fakes

STAGES = {
    "scale_up": ["power_on", "deploy", "serve"],
    "scale_down": ["drain", "leave", "undeploy", "power_off"],
    "prepare": ["power_on", "pull", "power_off"],
}


class Daemon:
    """The real daemon as a process of its own, around a fake cluster."""

    def __init__(self, folder: Path, cluster: fakes.FakeCluster, **settings: Any) -> None:
        self.folder = folder
        self.cluster = cluster
        self.process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        (folder / "token").write_text(fakes.TOKEN + "\n")
        access = {"admin": [digest(fakes.TOKEN)], "read": [digest(fakes.READ_TOKEN)]}
        (folder / "access.json").write_text(json.dumps(access))
        (folder / "ansible.cfg").write_text("[defaults]\nretry_files_enabled = False\n")
        (folder / "hosts.ini").write_text(
            f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}"
            f" fake_url={cluster.url}\n"
        )
        for kind, stages in STAGES.items():
            (folder / f"{kind}.yml").write_text(json.dumps([_play(stages)]))
        (folder / "deployment.json").write_text(
            json.dumps(
                {
                    "application": {"name": "fake", "port": cluster.port, "ready_path": "/ready"},
                    "release": "r1",
                }
            )
        )
        self.state_dir = folder / "state"
        self.config = folder / "scaler.json"
        self.config.write_text(
            json.dumps(
                {
                    "server_manager_url": cluster.url,
                    "load_balancer_admin_url": cluster.url,
                    "token_file": str(folder / "token"),
                    "access_file": str(folder / "access.json"),
                    "deployment_file": str(folder / "deployment.json"),
                    "listen_address": "127.0.0.1",
                    "listen_port": self.port,
                    "scaling_interval_s": 0.3,
                    "scaling_cooldown_s": 0,
                    "sweep_timeout_s": 1,
                    "confirm_after_s": 0.2,
                    "metrics_port": cluster.port,
                    "playbook_scale_up": str(folder / "scale_up.yml"),
                    "playbook_scale_down": str(folder / "scale_down.yml"),
                    "playbook_prepare": str(folder / "prepare.yml"),
                    "inventory": str(folder / "hosts.ini"),
                    "ansible_config": str(folder / "ansible.cfg"),
                    "state_dir": str(self.state_dir),
                    "backoff_s": 0.2,
                    **settings,
                }
            )
        )

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clusterops.scaler", "--config", str(self.config)],
            stdout=log,
            stderr=log,
        )
        log.close()

    def kill(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGKILL)

    def stop(self) -> int:
        assert self.process
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        return self.process.wait(15)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {fakes.TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read())

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.call("GET", "/api/v1/status")
        return status

    def up(self) -> None:
        """Start, and wait for the first look at the cluster."""
        self.start()
        self.wait_for(lambda: self.status()["last_decision"] is not None)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if condition():
                    return
            time.sleep(0.05)
        pytest.fail(f"not within {timeout_s:g} s; {self.cluster.hooks}\n{self.log[-4000:]}")

    def playbook_processes(self) -> list[int]:
        mark = f"CLUSTEROPS_SCALER_RUN={self.state_dir.resolve()}:".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found


def _play(stages: list[str]) -> dict[str, Any]:
    return {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {
                "name": f"Stage {stage}",
                "ansible.builtin.uri": {
                    "url": f"{{{{ fake_url }}}}/{stage}/{{{{ agent }}}}",
                    "method": "POST",
                    "use_proxy": False,
                },
            }
            for stage in stages
        ],
    }


@pytest.fixture
def cluster() -> Iterator[fakes.FakeCluster]:
    made, stop = fakes.start()
    made.serve("agent-1")
    yield made
    stop()


@pytest.fixture
def make_daemon(tmp_path: Path, cluster: fakes.FakeCluster) -> Iterator[Callable[..., Daemon]]:
    made: list[Daemon] = []

    def make(**settings: Any) -> Daemon:
        made.append(Daemon(tmp_path, cluster, **settings))
        return made[-1]

    yield make
    for daemon in made:
        if daemon.process and daemon.process.poll() is None:
            daemon.kill()
            daemon.process.wait(5)
        for pid in daemon.playbook_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
