# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian 13 machine in a container with the role load_balancer applied, and upstreams in it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .machine import Playbooks, build, run, started

PORTS = (7001, 7002, 7003, 7004)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.05)


class Machine:
    """The container: where the load balancer runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = run(
            "docker", "inspect", "-f", "{{.NetworkSettings.IPAddress}}", name
        ).strip()

    def sh(self, script: str, check: bool = True) -> str:
        """Run a shell script in the machine."""
        return run("docker", "exec", self.name, "sh", "-c", script, check=check)

    def calls(self, requests: list[tuple[str, str, object]]) -> list[tuple[int, Any]]:
        """Send requests from inside; bodies that are no strings become JSON."""
        ready = [
            [method, url, body if body is None or isinstance(body, str) else json.dumps(body)]
            for method, url, body in requests
        ]
        command = ("docker", "exec", "-i", self.name, "python3", "/opt/test/calls.py")
        answers = json.loads(run(*command, stdin=json.dumps(ready)))
        return [(status, _value(text)) for status, text in answers]

    def admin(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request to the administration interface."""
        return self.calls([(method, f"http://127.0.0.1:8081{path}", body)])[0]

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, Any]:
        """One request from outside on a connection of its own."""
        connection = http.client.HTTPConnection(self.address, 80, timeout=30)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, _value(response.read().decode())
        finally:
            connection.close()

    def metric(self, name: str, labels: str) -> float:
        """The value of a metric of the load balancer; 0 for one that is not there."""
        wanted = f"clusterops_load_balancer_{name}{{{labels}}} "
        lines = self.admin("GET", "/metrics")[1].splitlines()
        return next((float(ln.split()[-1]) for ln in lines if ln.startswith(wanted)), 0.0)

    @contextmanager
    def settings(self, **values: object) -> Iterator[None]:
        """Other settings of the balancer, and back again afterwards."""
        path = "/etc/nginx/nginx.conf"
        edits = " ".join(f"-e 's/ {k} = .*,/ {k} = {v},/'" for k, v in values.items())
        self.sh(f"cp {path} /tmp/kept && sed -i {edits} {path}")
        self.reload()
        try:
            yield
        finally:
            self.sh(f"cp /tmp/kept {path}")
            self.reload()

    def reload(self) -> None:
        """Have nginx take its configuration over, and wait until it has."""
        wanted = self.sh("nginx -s reload && sha1sum /etc/nginx/nginx.conf").split()[0]
        for _ in range(2):  # both workers
            until(lambda: self.admin("GET", "/health")[1]["configuration"] == wanted)

    def tell(self, **answers: dict[int, int]) -> None:
        """Have upstreams answer otherwise, by port: ``status={7001: 500}``, ``ready=…``."""
        self.calls([("POST", "http://127.0.0.1:7001/set", answers)])

    def put(self, health_path: str | None = None, **agents: str) -> None:
        """Put agents, e.g. ``a="127.0.0.1:7001 draining"`` (in_service when left out)."""
        requests: list[tuple[str, str, object]] = []
        for name, text in agents.items():
            address, _, state = text.partition(" ")
            body = {"address": address, "state": state or "in_service"}
            if health_path:
                body["health_path"] = health_path
            requests.append(("PUT", f"http://127.0.0.1:8081/agents/{name}", body))
        for status, value in self.calls(requests):
            assert status == 200, value

    def empty(self) -> None:
        """Remove every agent."""
        agents = self.status()
        self.calls([("DELETE", f"http://127.0.0.1:8081/agents/{a}", None) for a in agents])

    def status(self) -> dict[str, dict[str, Any]]:
        """GET /lb/status, by name."""
        status, value = self.calls([("GET", "http://127.0.0.1/lb/status", None)])[0]
        assert status == 200
        return {agent["name"]: agent for agent in value["agents"]}

    def reset_upstreams(self, slow: dict[int, float] | None = None) -> None:
        """Forget the upstreams' counts and set how many seconds each takes."""
        self.calls([("POST", "http://127.0.0.1:7001/reset", slow or {})])

    def release(self) -> None:
        """Let the upstreams answer what they hold."""
        self.calls([("POST", "http://127.0.0.1:7001/release", None)])

    def counts(self) -> dict[str, dict[str, int]]:
        """What the upstreams have executed (by id) and served (by port)."""
        value = self.calls([("GET", "http://127.0.0.1:7001/counts", None)])[0][1]
        assert isinstance(value, dict)
        return value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.fixture(scope="session")
def container(base_image: str) -> Iterator[str]:
    """A running machine with the packages, before the role."""
    with started(build(base_image)) as name:
        ports = [str(port) for port in PORTS]
        run("docker", "exec", "-d", name, "python3", "/opt/test/upstream.py", *ports)
        yield name


@pytest.fixture(scope="session")
def playbooks(container: str, tmp_path_factory: pytest.TempPathFactory) -> Playbooks:
    """Ansible for the machine."""
    return Playbooks(tmp_path_factory.mktemp("playbooks"), container)


@pytest.fixture(scope="session")
def applied(playbooks: Playbooks) -> dict[str, Any]:
    """The first run of the role."""
    return playbooks.role()


class Far:
    """An agent in a network of its own, whose network can vanish: no answer, no refusal."""

    address = "10.99.0.2:7001"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def vanish(self) -> None:
        """What it is sent gets lost from now on."""
        self.machine.sh("ip -n far address flush dev far1")

    def come_back(self) -> None:
        """It is there again, and nothing has happened to it."""
        self.machine.sh("ip -n far address add 10.99.0.2/24 dev far1 2>&1 || true")

    def executed(self) -> dict[str, int]:
        """How often it has executed each POST."""
        value = self.machine.calls([("GET", f"http://{self.address}/counts", None)])[0][1]
        return dict(value["executed"])


@pytest.fixture
def far(lb: Machine) -> Iterator[Far]:
    """An upstream in a network of its own."""
    lb.sh(
        "ip netns add far && ip link add far0 type veth peer name far1 netns far"
        " && ip address add 10.99.0.1/24 dev far0 && ip link set far0 up"
        " && ip -n far link set lo up && ip -n far link set far1 up"
    )
    agent = Far(lb)
    agent.come_back()
    command = ("ip", "netns", "exec", "far", "python3", "/opt/test/upstream.py", "7001")
    run("docker", "exec", "-d", lb.name, *command)
    until(lambda: "executed" in lb.sh(f"curl -s {agent.address}/counts", check=False))
    yield agent
    lb.empty()
    lb.sh("kill $(ip netns pids far); ip netns delete far; ip link delete far0 2>&1 || true")


@pytest.fixture
def lb(container: str, applied: dict[str, Any]) -> Iterator[Machine]:
    """The machine with the role applied, an empty pool and fresh upstreams."""
    assert applied["stats"]["failures"] == 0, applied["tasks"]
    machine = Machine(container)
    machine.reset_upstreams()
    yield machine
    machine.release()
    machine.empty()
