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
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, request, wait_for
from tests.e2e.steady_client import SteadyClient

pytestmark = pytest.mark.e2e

# What a node's death may cost at most: the requests that it held.
CONNECTIONS = 4
# Whoever cannot serve is out of the load balancer within this time.
INTERVAL_S = 10
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
BROKEN_APPLICATION = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_error(500)
    do_POST = do_GET
http.server.ThreadingHTTPServer(('0.0.0.0', 5000), Handler).serve_forever()
"""
REJECT = (
    "set $reject $request_method; "
    'if (-f {file}) {{ set $reject "no $request_method"; }} '
    'if ($reject ~ "no (PUT|DELETE)") {{ return 403; }}'
)
# For a program of its own: the time that it sees is in a file.
FAKE_CLOCK = """
[Service]
Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
Environment=FAKETIME_TIMESTAMP_FILE=/run/fake-clock FAKETIME_NO_CACHE=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1
"""


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
        states, serving = _states(self.cluster), _serving(self.cluster)
        return len(serving) >= 2 and all(states[name] == "running" for name in serving)

    def left_the_pool(self, agent: str) -> float:
        """Seconds until the load balancer does not send requests to an agent any more."""
        wait_for(
            f"{agent} leaves the pool",
            lambda: agent not in _serving(self.cluster),
            30,
            every=0.1,
        )
        seconds = time.monotonic() - self.began
        assert seconds <= INTERVAL_S, f"{agent} left the load balancer after {seconds:.1f} s"
        return seconds

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
    cluster.configure(agents_min=2, scaling_interval_s=INTERVAL_S)
    cluster.run("up")
    wait_for("two agents", lambda: len(cluster.in_service()) == 2, 120)
    return cluster


@pytest.fixture
def watch(pair: Cluster) -> Iterator[Watch]:
    with watched(pair) as watch:
        yield watch


@contextlib.contextmanager
def watched(pair: Cluster) -> Iterator[Watch]:
    with SteadyClient(pair.url, CONNECTIONS) as steady:
        time.sleep(1)
        yield Watch(pair, steady)
    wait_for("two agents", lambda: len(pair.in_service()) == 2, 150)


def test_an_agent_is_killed(watch: Watch) -> None:
    watch.began = time.monotonic()
    _engine("kill", f"{watch.cluster.name}-agent-2")
    gone = watch.left_the_pool("agent-2")
    watch.report(
        f"agent killed (out of the pool in {gone:.1f} s)", watch.whole_again(), CONNECTIONS
    )


def test_an_agent_freezes(watch: Watch) -> None:
    agent = _victim(watch.cluster)
    machine = f"{watch.cluster.name}-{agent}"
    watch.began = time.monotonic()
    _engine("pause", machine)
    try:
        gone = watch.left_the_pool(agent)
        seconds = watch.whole_again()
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _engine("unpause", machine)
    watch.report(f"agent frozen (out of the pool in {gone:.1f} s)", seconds, CONNECTIONS)


def test_an_agents_network_vanishes(watch: Watch) -> None:
    agent = _victim(watch.cluster)
    machine, network = f"{watch.cluster.name}-{agent}", f"{watch.cluster.name}-net"
    address = _engine(
        "inspect", "--format", f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}',
        machine,
    )  # fmt: skip
    watch.began = time.monotonic()
    _engine("network", "disconnect", network, machine)
    try:
        gone = watch.left_the_pool(agent)
        seconds = watch.whole_again()
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _engine("network", "connect", "--ip", address, network, machine)
    watch.report(f"network cut (out of the pool in {gone:.1f} s)", seconds, CONNECTIONS)


def test_an_application_hangs(watch: Watch) -> None:
    agent = _victim(watch.cluster)
    watch.cluster.on(agent, "docker pause fibonacci-api-1")
    watch.began = time.monotonic()
    try:
        gone = watch.left_the_pool(agent)
        seconds = watch.whole_again()
    finally:
        watch.cluster.run("ssh", agent, "--", "docker unpause fibonacci-api-1", check=False)
    watch.report(f"application hangs (out of the pool in {gone:.1f} s)", seconds, CONNECTIONS)


def test_an_application_answers_errors(watch: Watch) -> None:
    agent = _victim(watch.cluster)
    watch.cluster.on(
        agent,
        "docker stop fibonacci-api-1 && systemd-run --collect --unit=fake-application "
        f"python3 -c {shlex.quote(BROKEN_APPLICATION)}",
    )
    watch.began = time.monotonic()
    try:
        gone = watch.left_the_pool(agent)
        # Until then its errors are passed on, as they are any application's.
        failed = sum(watch.steady.failures.values())
        seconds = watch.whole_again()
    finally:
        watch.cluster.run("ssh", agent, "--", "systemctl stop fake-application", check=False)
    fault = f"application answers errors (out of the pool in {gone:.1f} s)"
    watch.report(fault, seconds, failed + CONNECTIONS)


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
        time.sleep(2 * INTERVAL_S + 2)  # two looks
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
        wait_for(under_way, lambda kind=under_way: _action(watch.cluster) == kind, 60, every=0.2)
        time.sleep(2)
        watch.cluster.on("control-1", "systemctl kill --signal=KILL clusterops-scaler")
        watch.began = time.monotonic()
        wait_for(
            f"{count} agents",
            lambda wanted=count: (
                len(watch.cluster.in_service()) == wanted and _action(watch.cluster) is None
            ),
            150,
        )
        watch.report(f"scaler killed during {under_way}", time.monotonic() - watch.began)


def test_the_server_manager_is_away_during_a_spike(watch: Watch) -> None:
    pid = (watch.cluster.folder / ".playground/server-manager.pid").read_text().strip()
    load = watch.cluster.start("load", "--duration", "60", "--users", "30", "--json")
    subprocess.run(["kill", "-STOP", pid], check=True)
    try:
        output, errors = load.communicate(timeout=120)
        assert load.returncode == 0, errors
    finally:
        subprocess.run(["kill", "-CONT", pid], check=True)
    assert '"failures": 0' in output
    watch.report("Server Manager away for 60 s in a spike", watch.whole_again())


def test_the_load_balancer_rejects_changes(pair: Cluster) -> None:
    """A scale-up that cannot be finished is rolled back, and succeeds when it can."""
    conf, rejects = "/etc/nginx/nginx.conf", "/etc/nginx/rejects-changes"
    # A reload may close connections; a file makes it reject changes without one.
    pair.on(
        "control-1",
        f"cp -p {conf} {conf}.kept && sed -i "
        f"'/require(\"clusterops.admin\").agent/i {REJECT.format(file=rejects)}' {conf} "
        "&& nginx -t -q && systemctl reload nginx",
    )
    time.sleep(3)  # nginx's old workers take no more connections
    try:
        with watched(pair) as watch:
            since = datetime.now(UTC)
            pair.on("control-1", f"touch {rejects}")
            pair.run("scale", "3", "--no-wait")
            wait_for("a failed start", lambda: _happened(pair, since, "failed", "scale_up"), 60)
            wait_for("the rollback", lambda: _happened(pair, since, "finished", "scale_down"), 60)
            assert len(_serving(pair)) == 2
            assert _states(pair).get("agent-3") == "stopped"
            pair.on("control-1", f"rm {rejects}")
            watch.began = time.monotonic()
            wait_for("three agents", lambda: len(pair.in_service()) == 3, 150)
            seconds = time.monotonic() - watch.began
            pair.run("scale", "2")
            watch.report("load balancer rejected changes", seconds)
    finally:
        pair.on("control-1", f"rm -f {rejects}; mv {conf}.kept {conf} && systemctl reload nginx")
        time.sleep(3)


def test_the_clock_jumps(watch: Watch) -> None:
    """Forward by an hour, and back by two, for the scaler alone; nothing must come of it."""
    unit = "/run/systemd/system/clusterops-scaler.service.d"
    on = watch.cluster.on
    on(
        "control-1",
        "(dpkg -s libfaketime || (apt-get update && apt-get install --yes libfaketime)) >/dev/null "
        f"&& mkdir -p {unit} && echo {shlex.quote(FAKE_CLOCK)} > {unit}/fake-clock.conf "
        "&& echo +0 > /run/fake-clock && systemctl daemon-reload "
        "&& systemctl restart clusterops-scaler",
    )
    try:
        for jump, count in (("+3600", 3), ("-3600", 2)):
            wait_for("a look", lambda: _observed_at(watch.cluster) is not None, 30)
            before = _observed_at(watch.cluster)
            assert before is not None
            on("control-1", f"echo {jump} > /run/fake-clock.new; mv /run/fake-clock{{.new,}}")
            watch.began = time.monotonic()
            wait_for("the jump", lambda then=before: _jumped(watch.cluster, then), 60)
            assert len(_serving(watch.cluster)) == (2 if count == 3 else 3)
            watch.cluster.run("scale", str(count), timeout=150)
            watch.report(f"clock of the scaler jumps to {jump} s", time.monotonic() - watch.began)
    finally:
        on(
            "control-1",
            f"rm -r {unit} && systemctl daemon-reload && systemctl restart clusterops-scaler",
        )


def test_postgresql_is_restarted(watch: Watch) -> None:
    watch.cluster.on("control-1", "systemctl restart postgresql")
    time.sleep(5)
    seconds = watch.whole_again()
    # The fault is on the node that every request needs: what was in flight may fail.
    watch.report("PostgreSQL restarted", seconds, allowed=10 * CONNECTIONS)
    assert len(watch.cluster.in_service()) == 2


def _victim(cluster: Cluster) -> str:
    return cluster.in_service()[-1]


def _action(cluster: Cluster) -> str | None:
    """What the scaler is doing; nothing while it does not answer."""
    action = _scaler(cluster).get("action")
    return str(action["kind"]) if action else None


def _scaler(cluster: Cluster) -> dict[str, Any]:
    """The scaler's own status; empty while it does not answer."""
    with contextlib.suppress(OSError):
        status, body, _ = request("GET", f"{cluster.dashboard}/api/v1/status")
        if status == 200:
            return dict(body)
    return {}


def _happened(cluster: Cluster, since: datetime, kind: str, action: str) -> bool:
    """Whether the scaler wrote down such an event since then."""
    after = since.isoformat().replace("+00:00", "Z")
    url = f"{cluster.dashboard}/api/v1/events?kind={kind}&after={after}"
    return any(event.get("action") == action for event in request("GET", url)[1]["events"])


def _states(cluster: Cluster) -> dict[str, str]:
    return {node["name"]: node["state"] for node in cluster.status()["nodes"]}


def _observed_at(cluster: Cluster) -> datetime | None:
    """When the scaler looked last, by its own clock; nothing while it does not answer."""
    at = _scaler(cluster).get("observed_at")
    return datetime.fromisoformat(at) if at else None


def _jumped(cluster: Cluster, before: datetime) -> bool:
    now = _observed_at(cluster)
    return now is not None and abs(now - before) > timedelta(minutes=30)


def _serving(cluster: Cluster) -> list[str]:
    """Who gets requests, by the load balancer's own word."""
    curl = ("curl", "--silent", "http://127.0.0.1:8081/agents")
    listed = json.loads(_engine("exec", f"{cluster.name}-control-1", *curl))
    return [agent["name"] for agent in listed["agents"] if agent["state"] == "in_service"]


def _engine(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
