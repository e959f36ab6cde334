# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module load_balancer_agent does to a pool, without a load balancer."""

from __future__ import annotations

import ast
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.module_utils._load_balancer import (
    Client,
    LoadBalancerError,
    Outcome,
    Wanted,
    apply,
)

MODULE = Path(__file__).parents[4] / "plugins/modules/load_balancer_agent.py"


class FakePool:
    """A pool in memory whose requests in flight end one per look."""

    def __init__(self, **agents: dict[str, Any]) -> None:
        self.agents = agents
        self.writes: list[str] = []

    def get(self, name: str) -> dict[str, Any] | None:
        agent = self.agents.get(name)
        return dict(agent) if agent else None

    def put(self, name: str, address: str, state: str, health_path: str | None) -> dict[str, Any]:
        self.writes.append(f"put {name} {address} {state}")
        old = self.agents.get(name, {"in_flight": 0})
        agent = {**old, "name": name, "address": address, "state": state}
        if health_path is not None:
            agent["health_path"] = health_path
        if not agent.get("health_path"):
            agent.pop("health_path", None)
        self.agents[name] = agent
        return dict(self.agents[name])

    def delete(self, name: str) -> dict[str, Any] | None:
        self.writes.append(f"delete {name}")
        agent = self.agents.pop(name, None)
        if agent and agent["in_flight"]:
            self.agents[name] = {**agent, "state": "out"}
        return {**agent, "state": "out"} if agent else None


class Clock:
    """Time that passes only by sleeping; every sleep ends one request of every agent."""

    def __init__(self, pool: FakePool, ends: bool = True) -> None:
        self.now = 100.0
        self.pool = pool
        self.ends = ends

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for name, agent in list(self.pool.agents.items()):
            if self.ends and agent["in_flight"]:
                agent["in_flight"] -= 1
            if agent["state"] == "out" and not agent["in_flight"]:
                del self.pool.agents[name]


def entry(state: str, in_flight: int = 0, address: str = "10.0.0.1:5000") -> dict[str, Any]:
    return {"name": "agent-1", "address": address, "state": state, "in_flight": in_flight}


def run(pool: FakePool, *, check: bool = False, ends: bool = True, **wanted: Any) -> Outcome:
    clock = Clock(pool, ends)
    return apply(
        pool,
        Wanted(name="agent-1", **wanted),
        check_mode=check,
        clock=lambda: clock.now,
        sleep=clock.sleep,
    )


def test_a_new_agent_is_put_into_service() -> None:
    pool = FakePool()
    outcome = run(pool, state="in_service", address="10.0.0.1:5000")
    assert (outcome.changed, outcome.agent, outcome.idle) == (True, entry("in_service"), True)


def test_what_is_already_so_is_not_written() -> None:
    pool = FakePool(**{"agent-1": entry("in_service", 3)})
    outcome = run(pool, state="in_service", address="10.0.0.1:5000")
    assert not outcome.changed
    assert not run(pool, state="in_service").changed
    assert not run(FakePool(), state="absent").changed
    assert pool.writes == []


@pytest.mark.parametrize(
    ("wanted", "write"),
    [
        ({"state": "draining"}, "put agent-1 10.0.0.1:5000 draining"),
        (
            {"state": "in_service", "address": "10.0.0.2:5000"},
            "put agent-1 10.0.0.2:5000 in_service",
        ),
        ({"state": "absent"}, "delete agent-1"),
    ],
)
def test_a_change_is_written_once_and_not_at_all_in_check_mode(
    wanted: dict[str, Any], write: str
) -> None:
    checked = FakePool(**{"agent-1": entry("in_service")})
    assert run(checked, check=True, **wanted).changed
    assert checked.writes == []
    pool = FakePool(**{"agent-1": entry("in_service")})
    assert run(pool, **wanted).changed
    assert pool.writes == [write]
    assert not run(pool, **wanted).changed


def test_health_path_is_kept_changed_and_taken_away() -> None:
    pool = FakePool(**{"agent-1": {**entry("in_service"), "health_path": "/ready"}})
    assert not run(pool, state="in_service").changed
    assert not run(pool, state="in_service", health_path="/ready").changed
    outcome = run(pool, check=True, state="draining")
    assert outcome.agent is not None
    assert outcome.agent["health_path"] == "/ready"
    assert run(pool, state="in_service", health_path="/health").changed
    assert pool.agents["agent-1"]["health_path"] == "/health"
    assert run(pool, state="in_service", health_path="").changed
    assert not run(pool, state="in_service", health_path="").changed
    with pytest.raises(LoadBalancerError, match=r"^health_path: 'ready'"):
        run(pool, state="in_service", health_path="ready")


def test_draining_waits_until_the_last_request_has_ended() -> None:
    pool = FakePool(**{"agent-1": entry("in_service", 5)})
    outcome = run(pool, state="draining", wait_idle=True)
    assert outcome.idle
    assert outcome.agent == entry("draining", 0)
    assert outcome.drained_s == pytest.approx(1.0)


def test_waiting_ends_with_the_time_limit() -> None:
    pool = FakePool(**{"agent-1": entry("draining", 2)})
    outcome = run(pool, ends=False, state="draining", wait_idle=True, timeout_s=3.3)
    assert not outcome.changed
    assert not outcome.idle
    assert outcome.drained_s == pytest.approx(3.3)


def test_removing_can_wait_as_well() -> None:
    pool = FakePool(**{"agent-1": entry("in_service", 2)})
    outcome = run(pool, state="absent", wait_idle=True)
    assert (outcome.changed, outcome.agent, outcome.idle) == (True, None, True)
    assert outcome.drained_s > 0


def test_an_agent_that_is_out_needs_its_address_to_come_back() -> None:
    pool = FakePool(**{"agent-1": entry("out", 1)})
    with pytest.raises(LoadBalancerError, match=r"^address: .*10\.0\.0\.101:5000"):
        run(pool, state="in_service")
    assert run(pool, state="in_service", address="10.0.0.1:5000").changed


def test_mistakes_are_told_before_anything_is_asked() -> None:
    for name in ("Agent-1", "-a", "a/b", "", "a" * 64):
        with pytest.raises(LoadBalancerError, match=r"^name: "):
            apply(
                FakePool(),
                Wanted(name, "absent"),
                check_mode=False,
                clock=float,
                sleep=lambda _: None,
            )
    with pytest.raises(LoadBalancerError, match=r"^timeout_s: "):
        run(FakePool(), state="absent", timeout_s=-1.0)


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers with what the test has put on the server."""

    def answer(self) -> None:
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.server.seen.append((self.command, self.path))  # type: ignore[attr-defined]
        body_sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.bodies.append(json.loads(body_sent or "null"))  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        server.seen, server.bodies = [], []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_client_reads_answers_and_refusals(server: Any) -> None:
    client = Client(server.server_port)
    server.answer = (200, json.dumps(entry("draining")).encode())
    assert client.put("agent-1", "10.0.0.1:5000", "draining", None) == entry("draining")
    assert client.delete("agent-1") == client.get("agent-1") == entry("draining")
    paths = [("PUT", "/agents/agent-1"), ("DELETE", "/agents/agent-1"), ("GET", "/agents/agent-1")]
    assert server.seen == paths
    server.answer = (404, b'{"error":"Unknown agent"}')
    assert client.get("agent-1") is None
    assert client.delete("agent-1") is None
    server.answer = (400, b'{"error":"\'state\' must be in_service or draining."}')
    with pytest.raises(LoadBalancerError, match="answered 400: 'state' must be"):
        client.put("agent-1", "10.0.0.1:5000", "draining", None)
    server.answer = (200, b"<html>")
    with pytest.raises(LoadBalancerError, match="not the answer of a load balancer"):
        client.get("agent-1")


def test_client_names_service_and_remedy_when_nobody_answers(server: Any) -> None:
    port = server.server_port
    server.server_close()
    with pytest.raises(LoadBalancerError, match=r"does not answer at .*systemctl status nginx"):
        Client(port).get("agent-1")


def test_documentation_names_the_options_of_the_module() -> None:
    tree = ast.parse(MODULE.read_text())
    texts = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    options = yaml.safe_load(texts["DOCUMENTATION"])["options"]
    spec = next(
        ast.literal_eval(keyword.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "argument_spec"
    )
    assert options.keys() == spec.keys()
    for name, values in spec.items():
        assert {k: v for k, v in options[name].items() if k != "description"} == values
    assert yaml.safe_load(texts["EXAMPLES"])
    assert yaml.safe_load(texts["RETURN"])


def test_client_sends_a_health_path_and_takes_it_away(server: Any) -> None:
    server.answer = (200, json.dumps(entry("in_service")).encode())
    client = Client(server.server_port)
    for path in (None, "/ready", ""):
        client.put("agent-1", "10.0.0.1:5000", "in_service", path)
    plain = {"address": "10.0.0.1:5000", "state": "in_service"}
    assert server.bodies == [
        plain,
        {**plain, "health_path": "/ready"},
        {**plain, "health_path": None},
    ]
