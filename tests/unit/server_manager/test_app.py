# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP contract, on the fake provider."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from clusterops import program
from clusterops.server_manager.app import MAX_BODY_BYTES
from clusterops.server_manager.driver import DriverFailure, NameTaken

from .conftest import READ_TOKEN, SCALER_TOKEN, TOKEN, Fixture

POWER = "/api/v1/servers/power"


async def made(api: httpx.AsyncClient, name: str = "agent-1") -> dict[str, Any]:
    answer = await api.post("/api/v1/servers", json={"name": name})
    assert answer.status_code == 201
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize(
    ("token", "reads", "creates", "deletes"),
    [(TOKEN, 200, 200, 200), (SCALER_TOKEN, 200, 200, 403), (READ_TOKEN, 200, 403, 403)],
)
async def test_what_each_token_opens(
    manager: Fixture,
    api: httpx.AsyncClient,
    token: str,
    reads: int,
    creates: int,
    deletes: int,
) -> None:
    await made(api)
    async with manager.client(Authorization=f"Bearer {token}") as client:
        assert (await client.get("/api/v1/servers")).status_code == reads
        created = await client.post("/api/v1/servers", json={"name": "agent-1"})
        assert created.status_code == creates
        answer = await client.delete("/api/v1/servers/agent-1")
        assert answer.status_code == deletes
        if deletes == 403:
            assert "token" in answer.json()["error"]


async def test_changes_are_written_down_with_who_made_them(
    manager: Fixture, api: httpx.AsyncClient
) -> None:
    await made(api)
    await api.post(POWER, json={"action": "on", "server": "agent-1"})
    await api.get("/api/v1/servers")
    done = [(each.who, each.action, each.server, each.status) for each in manager.audited]
    assert done == [("admin", "create", "agent-1", 201), ("admin", "turn on", "agent-1", 200)]


async def test_the_banner_needs_no_token(manager: Fixture) -> None:
    async with manager.client() as client:
        answer = await client.get("/")
        assert answer.status_code == 200
        assert answer.text == '{"service":"server-manager-api","status":"running"}'
        health = await client.get("/health")
        assert health.status_code == 200
        assert health.json() == {
            "service": "server-manager-api", "status": "healthy", "config": "current",
        }  # fmt: skip
        manager.problem = "cluster.yml: line 1: wrong"
        assert (await client.get("/health")).json()["config"] == "stale"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer wrong")],
        [("Authorization", f"Basic {TOKEN}")],
        [("Authorization", TOKEN)],
        [("Authorization", f"Bearer {TOKEN}x")],
        [("Authorization", "Bearer \xff\xfe")],
        [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other")],
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/servers"),
        ("POST", POWER),
        ("DELETE", "/api/v1/servers/agent-1"),
        ("GET", "/api/v1/cluster"),
        ("GET", "/metrics"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/nowhere"),
    ],
)
async def test_everything_else_does(
    manager: Fixture, method: str, path: str, headers: list[tuple[str, str]]
) -> None:
    encoded = [(name, value.encode("latin-1")) for name, value in headers]
    async with manager.client() as client:
        answer = await client.request(method, path, headers=encoded)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert set(answer.json()) == {"error"}
    assert manager.world.calls == []


async def test_web_pages_are_refused(api: httpx.AsyncClient) -> None:
    for path in ("/", "/health", "/api/v1/servers"):
        answer = await api.get(path, headers={"Origin": "http://evil.example"})
        assert answer.status_code == 403


async def test_life_of_a_server(api: httpx.AsyncClient) -> None:
    server = await made(api)
    assert server == {
        "name": "agent-1",
        "role": "agent",
        "state": "stopped",
        "provider": "fake",
        "address": "192.0.2.101",
        "ports": {"ssh": 2224, "app": 5001, "metrics": 5101},
        "cpus": 0.5,
        "memory_mb": 768,
        "created_at": server["created_at"],
    }
    again = await api.post("/api/v1/servers", json={"name": "agent-1"})
    assert (again.status_code, again.json()) == (200, server)
    assert (await api.get("/api/v1/servers/agent-1")).json() == server
    assert (await api.get("/api/v1/servers")).json() == {"servers": [server]}

    for action, expected in (
        ("on", "Server 'agent-1' turned on successfully."),
        ("on", "Server 'agent-1' was already on."),
        ("off", "Server 'agent-1' turned off successfully."),
        ("off", "Server 'agent-1' was already off."),
    ):
        answer = await api.post(POWER, json={"action": action, "server": "agent-1"})
        assert (answer.status_code, answer.json()) == (200, {"status": expected})
    answer = await api.delete("/api/v1/servers/agent-1")
    assert (answer.status_code, answer.json()) == (200, {"status": "Server 'agent-1' was deleted."})
    assert (await api.get("/api/v1/servers/agent-1")).status_code == 404


async def test_the_control_node_publishes_its_services(api: httpx.AsyncClient) -> None:
    server = await made(api, "control-1")
    assert server["role"] == "control"
    assert server["ports"] == {
        "ssh": 2223, "load_balancer": 8080, "dashboard": 9000, "prometheus": 9090,
    }  # fmt: skip
    assert (await api.delete("/api/v1/servers/control-1")).status_code == 200


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "Invalid JSON."),
        (b"{", "Invalid JSON."),
        (b"\xff", "Invalid JSON."),
        (b"[" * 60_000, "Invalid JSON."),
        (b"[]", "Invalid JSON: expected an object."),
        (b'{"server":"agent-1"}', "Invalid action: found nothing; allowed: 'on', 'off'."),
        (
            b'{"action":"ON","server":"agent-1"}',
            "Invalid action: found 'ON'; allowed: 'on', 'off'.",
        ),
        (b'{"action":["on"],"server":"agent-1"}', None),
        (b'{"action":"\\ud800","server":"agent-1"}', None),
        (b'{"action":"on"}', "Missing 'server'."),
        (b'{"action":"on","server":""}', "Missing 'server'."),
        (b'{"action":"on","server":null}', "Missing 'server'."),
        (b'{"action":"on","server":7}', "Invalid 'server': expected text."),
    ],
)
async def test_power_requests_that_are_wrong(
    api: httpx.AsyncClient, manager: Fixture, body: bytes, error: str | None
) -> None:
    answer = await api.post(POWER, content=body)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    if error:
        assert answer.json()["error"] == error
    assert manager.world.calls == []


@pytest.mark.parametrize(
    "name", ["agent-9", "agent-0", "agent-01", "control-2", "nas", "../x", "agent-1 ", "a\ud800b"]
)
async def test_names_outside_the_cluster(
    api: httpx.AsyncClient, manager: Fixture, name: str
) -> None:
    body = f'{{"action":"on","server":{json.dumps(name)}}}'
    answer = await api.post(POWER, content=body)
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("Unknown server '")
    created = await api.post("/api/v1/servers", content=body.replace("server", "name"))
    assert created.status_code == 400
    assert "control-1, agent-1 to agent-4" in created.json()["error"]
    assert ("start", name) not in manager.world.calls


async def test_a_server_that_was_not_created(api: httpx.AsyncClient) -> None:
    for answer in (
        await api.get("/api/v1/servers/agent-2"),
        await api.delete("/api/v1/servers/agent-2"),
        await api.post(POWER, json={"action": "on", "server": "agent-2"}),
        await api.post(POWER, json={"action": "off", "server": "agent-2"}),
    ):
        assert answer.status_code == 404
        assert answer.text == """{"error":"Unknown server 'agent-2'."}"""


async def test_surplus_agents_can_go_but_not_run(api: httpx.AsyncClient, manager: Fixture) -> None:
    await made(api, "agent-4")
    manager.config = manager.config.model_copy(update={"agents_max": 2})
    assert (await api.get("/api/v1/servers/agent-4")).status_code == 200
    on = await api.post(POWER, json={"action": "on", "server": "agent-4"})
    assert on.status_code == 404
    off = await api.post(POWER, json={"action": "off", "server": "agent-4"})
    assert off.status_code == 200
    assert (await api.delete("/api/v1/servers/agent-4")).status_code == 200


async def test_failures_of_the_provider(api: httpx.AsyncClient, manager: Fixture) -> None:
    await made(api)
    for error, reason in (
        (DriverFailure("no disk left", remedy="buy one"), "no disk left (buy one)"),
        (ValueError("secret detail"), "an internal error, described in the Server Manager's log"),
    ):
        manager.world.errors["start"] = error
        answer = await api.post(POWER, json={"action": "on", "server": "agent-1"})
        assert answer.status_code == 500
        assert answer.json() == {"error": f"Failed to perform on on 'agent-1': {reason}"}
    manager.world.errors["list"] = ValueError("secret detail")
    answer = await api.get("/api/v1/servers")
    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    assert "secret" not in answer.text
    manager.world.errors["create"] = NameTaken("a container 'x' exists")
    assert (await api.post("/api/v1/servers", json={"name": "agent-2"})).status_code == 409


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", POWER, 405),
        ("PUT", POWER, 405),
        ("DELETE", POWER, 405),
        ("POST", "/", 405),
        ("PUT", "/api/v1/servers", 405),
        ("POST", "/api/v1/servers/agent-1", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/servers/", 404),
        ("GET", "/api/v1/servers/a/b", 404),
    ],
)
async def test_wrong_methods_and_routes(
    api: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await api.request(method, path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    if status == 405:
        assert answer.headers["Allow"]


async def test_large_bodies_are_refused(api: httpx.AsyncClient) -> None:
    body = b'{"a":"' + b"x" * MAX_BODY_BYTES + b'"}'
    assert (await api.post(POWER, content=body)).status_code == 413

    async def stream() -> Any:
        for _ in range(5):
            yield b"x" * 20_000

    assert (await api.post(POWER, content=stream())).status_code == 413


async def test_the_cluster_is_described(api: httpx.AsyncClient, manager: Fixture) -> None:
    body = (await api.get("/api/v1/cluster")).json()
    assert body["config"] == manager.config.model_dump(mode="json")
    assert {key: body[key] for key in body if key != "config"} == {
        "name": "playground",
        "provider": "fake",
        "host_address": "192.0.2.1",
        "network": "192.0.2.0/24",
        "node_python": "3.12",
        "program": program.digest(),
        "server_manager_url": "http://192.0.2.1:3000",
        "ssh_user": "root",
    }


async def test_metrics(api: httpx.AsyncClient, manager: Fixture) -> None:
    await made(api)
    await api.get("/api/v1/servers/agent-1")
    await api.get("/no/such/path")
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.text
    assert 'clusterops_servers{role="agent",state="stopped"} 1.0' in text
    assert 'clusterops_servers{role="control",state="running"} 0.0' in text
    assert "clusterops_server_manager_provider_up 1.0" in text
    assert 'route="/api/v1/servers/{name}",status="200"' in text
    assert "/no/such/path" not in text
    assert TOKEN not in text
    assert 'clusterops_certificate_expiry_timestamp_seconds{certificate="ca"} 2e+09' in text
    assert "_created" not in text
    assert 'duration_seconds_count{operation="create",outcome="success"} 1.0' in text
    manager.world.errors["list"] = DriverFailure("down")
    assert "clusterops_server_manager_provider_up 0.0" in (await api.get("/metrics")).text


async def test_the_api_describes_itself(api: httpx.AsyncClient) -> None:
    assert (await api.get("/docs")).status_code == 200
    paths = (await api.get("/openapi.json")).json()["paths"]
    assert set(paths[POWER]) == {"post"}
    assert {"/", "/health", "/metrics", "/api/v1/cluster", "/api/v1/servers/{name}"} <= set(paths)
