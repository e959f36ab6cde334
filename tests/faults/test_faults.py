# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a working cluster fail under traffic; every answer is counted by the client.

Two agents always run, a third may. Each test begins and ends with a cluster in good health, and
prints what was asked, what failed, and how long it took to be whole again.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.e2e.cluster import Cluster, request, wait_for
from tests.e2e.steady_client import SteadyClient

pytestmark = pytest.mark.e2e

# What a node's death may cost at most: the requests that it held.
CONNECTIONS = 4
FAKE_METRICS = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        {answer}
http.server.ThreadingHTTPServer(('0.0.0.0', 5100), Handler).serve_forever()
"""
ANSWERS = {
    "garbage": "self.wfile.write(b'HTTP/1.1 200 OK\\r\\n\\r\\n\\x00\\xff{{{{')",
    "500": "self.send_error(500)",
    "10 MB": "self.wfile.write(b'HTTP/1.1 200 OK\\r\\n\\r\\n' + b' ' * 10_000_000)",
    "nothing": "import time; time.sleep(60)",
}


@dataclass
class Watch:
    """A client at work, and how long things take."""

    cluster: Cluster
    steady: SteadyClient
    began: float = field(default_factory=time.monotonic)

    def whole_again(self, timeout: float = 150) -> float:
        """Seconds since the fault until two agents serve and nothing is under way."""
        wait_for("the cluster is whole", self._is_whole, timeout)
        return time.monotonic() - self.began

    def _is_whole(self) -> bool:
        status = self.cluster.status()
        serving = [node for node in status["nodes"] if node["in_service"]]
        return len(serving) >= 2 and all(node["state"] == "running" for node in serving)

    def left_the_pool(self, agent: str, timeout: float) -> float:
        """Seconds until the load balancer does not send requests to an agent any more."""
        return wait_for(
            f"{agent} leaves the pool",
            lambda: agent not in _serving(self.cluster),
            timeout,
            every=0.2,
        )

    def report(self, fault: str, seconds: float, allowed: int = 0) -> None:
        failed = sum(self.steady.failures.values())
        print(
            f"{fault}: {self.steady.requests} requests, {failed} failed, whole in {seconds:.0f} s"
        )
        assert failed <= allowed, self.steady.failures
        assert self.steady.requests > 50


@pytest.fixture(scope="module")
def pair(cluster: Cluster) -> Cluster:
    """The cluster with two agents in service."""
    cluster.configure(agents_min=2)
    cluster.run("up")
    wait_for("two agents", lambda: len(cluster.in_service()) == 2, 120)
    return cluster


@pytest.fixture
def watch(pair: Cluster) -> Iterator[Watch]:
    with SteadyClient(pair.url, CONNECTIONS) as steady:
        time.sleep(1)
        yield Watch(pair, steady)
    wait_for("two agents", lambda: len(pair.in_service()) == 2, 150)


def test_an_agent_is_killed(watch: Watch) -> None:
    _engine("kill", f"{watch.cluster.name}-agent-2")
    gone = watch.left_the_pool("agent-2", 20)
    watch.report(
        f"agent killed (out of the pool in {gone:.0f} s)", watch.whole_again(), CONNECTIONS
    )


def test_an_agent_freezes(watch: Watch) -> None:
    machine = f"{watch.cluster.name}-{_victim(watch.cluster)}"
    _engine("pause", machine)
    try:
        gone = watch.left_the_pool(machine.removeprefix(f"{watch.cluster.name}-"), 30)
        seconds = watch.whole_again()
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _engine("unpause", machine)
    watch.report(f"agent frozen (out of the pool in {gone:.0f} s)", seconds, CONNECTIONS)


def test_an_agents_network_vanishes(watch: Watch) -> None:
    agent = _victim(watch.cluster)
    machine, network = f"{watch.cluster.name}-{agent}", f"{watch.cluster.name}-net"
    address = _engine(
        "inspect", "--format", f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}',
        machine,
    )  # fmt: skip
    _engine("network", "disconnect", network, machine)
    try:
        gone = watch.left_the_pool(agent, 30)
        seconds = watch.whole_again()
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _engine("network", "connect", "--ip", address, network, machine)
    watch.report(f"network cut (out of the pool in {gone:.0f} s)", seconds, CONNECTIONS)


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_metrics_api_answers_nonsense(watch: Watch, answer: str) -> None:
    agent = _victim(watch.cluster)
    script = FAKE_METRICS.format(answer=ANSWERS[answer])
    watch.cluster.on(
        agent,
        "systemctl stop clusterops-metrics-api && "
        f"systemd-run --unit=fake-metrics python3 -c {shlex.quote(script)}",
    )
    try:
        time.sleep(12)  # two looks
        status = watch.cluster.status()
        node = next(node for node in status["nodes"] if node["name"] == agent)
        assert node["in_service"]  # the application answers: no reason to lose it
        assert status["scaler"]["last_decision"]["action"] != "scale_down"
    finally:
        watch.cluster.on(
            agent, "systemctl stop fake-metrics; systemctl start clusterops-metrics-api"
        )
    watch.report(f"metrics API answers {answer}", watch.whole_again())


def test_the_scaler_is_killed_during_a_scale_up_and_a_scale_down(watch: Watch) -> None:
    for count, under_way in ((3, "scale_up"), (2, "scale_down")):
        watch.cluster.run("scale", str(count), "--no-wait")
        wait_for(under_way, lambda kind=under_way: _action() == kind, 60, every=0.2)
        time.sleep(2)
        watch.cluster.on("control-1", "systemctl kill --signal=KILL clusterops-scaler")
        watch.began = time.monotonic()
        wait_for(
            f"{count} agents",
            lambda wanted=count: len(watch.cluster.in_service()) == wanted and _action() is None,
            150,
        )
        watch.report(f"scaler killed during {under_way}", time.monotonic() - watch.began)


def test_the_server_manager_is_away_during_a_spike(watch: Watch) -> None:
    pid = (watch.cluster.folder / ".playground/server-manager.pid").read_text().strip()
    load = watch.cluster.start("load", "--duration", "30", "--users", "30", "--json")
    subprocess.run(["kill", "-STOP", pid], check=True)
    try:
        output, errors = load.communicate(timeout=120)
        assert load.returncode == 0, errors
    finally:
        subprocess.run(["kill", "-CONT", pid], check=True)
    assert '"failures": 0' in output
    watch.report("Server Manager away for 30 s in a spike", watch.whole_again())


def test_postgresql_is_restarted(watch: Watch) -> None:
    watch.cluster.on("control-1", "systemctl restart postgresql")
    time.sleep(5)
    seconds = watch.whole_again()
    # The fault is on the node that every request needs: what was in flight may fail.
    watch.report("PostgreSQL restarted", seconds, allowed=10 * CONNECTIONS)
    assert len(watch.cluster.in_service()) == 2


def _victim(cluster: Cluster) -> str:
    return cluster.in_service()[-1]


def _action() -> str | None:
    """What the scaler is doing; nothing while it does not answer."""
    with contextlib.suppress(OSError):
        status, body, _ = request("GET", "http://127.0.0.1:19000/api/v1/status")
        if status == 200 and body["action"]:
            return str(body["action"]["kind"])
    return None


def _serving(cluster: Cluster) -> list[str]:
    """Who gets requests, by the load balancer's own word."""
    listed = json.loads(cluster.on("control-1", "curl -s http://127.0.0.1:8081/agents"))
    return [agent["name"] for agent in listed["agents"] if agent["state"] == "in_service"]


def _engine(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
