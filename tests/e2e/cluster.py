# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole cluster, driven as a user drives it: through ./playground and HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import yaml

ROOT = Path(__file__).resolve().parents[2]

PORTS = {
    "server_manager": 13000,
    "load_balancer": 18080,
    "load_balancer_tls": 18443,
    "dashboard": 19000,
    "prometheus": 19090,
    "ssh": 12223,
    "app": 15000,
    "metrics": 15100,
}
"""Other than the defaults: a cluster of the same user may be running."""
SETTINGS = {
    "agents_min": 1,
    "agents_max": 3,
    "scaling_interval_s": 5,
    "scaling_cooldown_s": 15,
    "scaling_hold_s": 20,
    "application_ready_timeout_s": 30,
    "load_balancer_tls": "cluster",
}


@dataclass
class Cluster:
    """One cluster below ``folder``; ``offset`` keeps its ports apart from another's."""

    name: str
    folder: Path
    more_environment: Mapping[str, str] = field(default_factory=dict)
    offset: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port('load_balancer')}"

    def port(self, what: str) -> int:
        """The host's port of a service, or before that of the first agent."""
        return PORTS[what] + self.offset

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.port('dashboard')}"

    @property
    def prometheus(self) -> str:
        """Where Prometheus is asked."""
        return f"http://127.0.0.1:{self.port('prometheus')}/api/v1"

    @property
    def token(self) -> str:
        """The cluster's token, which may change everything."""
        return (self.folder / ".playground/token").read_text().strip()

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PLAYGROUND_CLUSTER_FILE": str(self.folder / "cluster.yml"),
            "CLUSTEROPS_ENDPOINT_FILE": str(self.folder / ".playground/endpoint.json"),
            **self.more_environment,
        }

    def configure(self, **changes: Any) -> None:
        """Write cluster.yml, with changes."""
        ports = {f"port_{what}": self.port(what) for what in PORTS}
        settings = {"cluster_name": self.name, **ports, **SETTINGS, **changes}
        text = yaml.safe_dump(settings, sort_keys=False)
        (self.folder / "cluster.yml").write_text(text)

    def left(self, kind: str, *columns: str) -> str:
        """What the engine has of the cluster, of one kind (container, volume, network, image)."""
        everything = ["--all"] if kind == "container" else []
        label = f"label=clusterops.cluster={self.name}"
        return docker(
            kind, "ls", *everything, *(columns or ("--quiet",)), "--filter", label
        ).strip()

    def named(self, kind: str, column: str) -> list[str]:
        """What the engine has of one kind with the cluster's name in a column, labelled or not."""
        lines = docker(kind, "ls", f"--format={{{{.{column}}}}}").splitlines()
        return [line for line in lines if self.name in line]

    def start(self, *arguments: str, output: IO[str] | None = None) -> subprocess.Popen[str]:
        """Start a ./playground command in the background, in a process group of its own."""
        return subprocess.Popen(
            [str(ROOT / "playground"), *arguments],
            env=self.environment,
            text=True,
            stdout=output or subprocess.PIPE,
            stderr=output or subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(
        self, *arguments: str, timeout: float = 900, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a ./playground command to its end; how long it took is shown where a test fails."""
        began = time.monotonic()
        result = subprocess.run(
            [str(ROOT / "playground"), *arguments],
            env=self.environment,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
        print(f"./playground {' '.join(arguments)}: {time.monotonic() - began:.0f} s")
        if check:
            assert result.returncode == 0, (
                f"./playground {' '.join(arguments)} ended with {result.returncode}\n"
                f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
            )
        return result

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return status

    def in_service(self) -> list[str]:
        """The agents in service, as the scaler says; nobody while it says nothing.

        `status` says the same, and starts a program each time that a test asks.
        """
        try:
            code, status, _ = request("GET", f"{self.dashboard}/api/v1/status")
        except OSError:
            return []
        if code != 200:
            return []
        return sorted(agent["name"] for agent in status["agents"] if agent["in_service"])

    def on(self, node: str, command: str) -> str:
        """What a command on a node prints."""
        return self.run("ssh", node, "--", command).stdout

    def requests_per_agent(self) -> dict[str, int]:
        """Requests that the load balancer has sent to each agent since it started."""
        served: dict[str, int] = {}
        for line in self.on("control-1", "curl -s http://127.0.0.1:8081/metrics").splitlines():
            if line.startswith("clusterops_load_balancer_requests_total{"):
                agent = line.split('agent="')[1].split('"')[0]
                served[agent] = served.get(agent, 0) + int(float(line.rsplit(" ", 1)[1]))
        return served


def docker(*arguments: str) -> str:
    """What the container engine's own command prints."""
    command = ["docker", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def wait_for(what: str, condition: Callable[[], bool], timeout: float, every: float = 1.0) -> float:
    """Seconds until a condition held; fails the test when it does not in time."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout, f"{what}: not within {timeout:g} s"
        time.sleep(every)
    return time.monotonic() - began


def request(
    method: str, url: str, body: Any = None, token: str | None = None, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """Status, decoded JSON (or text) and headers of an answer."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    message = urllib.request.Request(url, data=data, method=method, headers=headers)
    if data is not None:
        message.add_header("Content-Type", "application/json")
    if token:
        message.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(message, timeout=15) as answer:
            return answer.status, _decoded(answer.read()), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, _decoded(error.read()), dict(error.headers)


def _decoded(raw: bytes) -> Any:
    text = raw.decode()
    try:
        return json.loads(text)
    except ValueError:
        return text
