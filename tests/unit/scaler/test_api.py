# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from clusterops.http_api.access import digest
from clusterops.scaler.api import make_app
from clusterops.scaler.daemon import Controller
from clusterops.scaler.model import Trouble
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.store import Store
from tests.unit.scaler.builders import agent
from tests.unit.scaler.test_daemon import World

TOKEN = {"Authorization": "Bearer s3cret"}


@pytest.fixture
async def controller(tmp_path: Path) -> Controller:
    access = {"admin": [digest("s3cret")], "read": [digest("r3ad")]}
    (tmp_path / "access.json").write_text(json.dumps(access))
    settings = ScalerSettings(
        server_manager_url="http://x:1",
        state_dir=tmp_path,
        access_file=tmp_path / "access.json",
        read_open=True,
        names=("scaler",),
    )
    world = World()
    world.agents[2] = agent(2, "draining")
    store = Store(settings.database)
    made = Controller(settings, store, world, world, ThresholdPolicy(), lambda: world.now)
    made.ledger.hold("test", 30)
    await made.tick()
    return made


@pytest.fixture
async def client(controller: Controller) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=make_app(controller), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://scaler:9000") as made:
        yield made


async def test_status_has_the_promised_fields(client: httpx.AsyncClient) -> None:
    status = (await client.get("/api/v1/status")).json()
    assert status["mode"] == "held"
    assert (status["desired"], status["min"], status["max"]) == (1, 1, 4)
    assert status["last_decision"].keys() >= {"at", "action", "reason"}
    assert status["action"] is None and status["alarms"] == []
    one = status["agents"][0]
    assert one["name"] == "agent-1" and one["state"] == "running"
    assert one["in_service"] is True and one["healthy"] is True
    assert (one["cpu_percent"], one["memory_percent"], one["in_flight"]) == (50.0, 50.0, 0)
    assert status["load_balancer"]["agents"][1] == {
        "name": "agent-2",
        "address": "10.0.0.102:5000",
        "state": "draining",
        "in_flight": 0,
    }
    assert status["application"] == {"name": "fibonacci", "release": "r1", "healthy": True}


async def test_status_says_when_the_next_change_may_come(
    client: httpx.AsyncClient, controller: Controller
) -> None:
    status = (await client.get("/api/v1/status")).json()
    assert status["cooldown_ends_at"] is None and status["floor"] is None
    controller.ledger.set_desired(2, 300)
    controller.ledger.release()
    await controller.tick()  # starts an action, which begins the cooldown
    await controller.close()
    status = (await client.get("/api/v1/status")).json()
    assert status["floor"]["agents"] == 2 and status["floor"]["ends_at"].endswith("Z")
    assert status["cooldown_ends_at"] > status["observed_at"]


async def test_the_page_and_its_parts_come_from_here_alone(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy and "unsafe-inline" not in policy
    assert not re.search(r"<style|<script(?! [^>]*src=)| style=| on[a-z]+=", page.text)
    wanted = re.findall(r'(?:src|href)="(static/[^"]+)"', page.text)
    assert len(wanted) > 15
    for name in wanted:
        part = await client.get(f"/{name}")
        assert part.status_code == 200, name
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
        assert part.headers["content-type"].startswith(kind[name.rpartition(".")[2]])
        assert part.headers["x-content-type-options"] == "nosniff"
        # Only the name of the SVG vocabulary looks like an address elsewhere.
        assert "://" not in part.text.replace("http://www.w3.org/2000/svg", ""), name
    for name in ("dashboard.html", "nothing.js", "js/../../api.py", "..%2Fapi.py", "%2e%2e/api.py"):
        assert (await client.get(f"/static/{name}")).status_code == 404


async def test_every_module_that_is_imported_is_asked_for_at_once(
    client: httpx.AsyncClient,
) -> None:
    """A module that is found late costs the first paint a round trip for each level."""
    page = (await client.get("/")).text
    preloaded = set(re.findall(r'rel="modulepreload" href="static/js/([a-z]+\.js)"', page))
    imported: set[str] = set()
    waiting = {"main.js"}
    while waiting:
        name = waiting.pop()
        text = (await client.get(f"/static/js/{name}")).text
        found = set(re.findall(r'from "\./([a-z]+\.js)"', text)) - imported
        imported |= found
        waiting |= found
    assert preloaded == imported


async def test_who_has_a_part_is_not_sent_it_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/static/js/main.js", headers={"Accept-Encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["cache-control"] == "no-cache"
    plain = await client.get("/static/js/main.js", headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers and plain.text == first.text
    again = await client.get(
        "/static/js/main.js", headers={"If-None-Match": f'"else", {first.headers["etag"]}'}
    )
    assert again.status_code == 304 and again.content == b""
    other = await client.get("/static/js/store.js")
    assert other.headers["etag"] != first.headers["etag"]


async def test_the_page_has_landmarks_and_says_decisions_aloud(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    for piece in ("<header>", "<main>", "<noscript>", 'aria-live="polite"', 'role="alert"'):
        assert piece in page
    ids = set(re.findall(r'id="([a-z0-9-]+)"', page))
    for name in set(re.findall(r'static/js/([a-z]+\.js)"', page)):
        script = (await client.get(f"/static/js/{name}")).text
        asked = set(re.findall(r'(?:\$|form|click)\("([a-z-]+)"[,)]', script))
        assert asked <= ids, (name, asked - ids)
        assert "innerHTML" not in script and "outerHTML" not in script


async def test_bounds_are_set_and_reset(client: httpx.AsyncClient, controller: Controller) -> None:
    token = {"Authorization": "Bearer s3cret"}
    answer = await client.post("/api/v1/bounds", json={"min": 2, "max": 3}, headers=token)
    configured = {"min": 1, "max": 4}
    assert answer.json() == {"changed": True, "min": 2, "max": 3, "configured": configured}
    controller.ledger.release()
    await controller.tick()
    await controller.close()
    status = (await client.get("/api/v1/status")).json()
    assert (status["min"], status["max"], status["desired"]) == (2, 3, 2)
    assert status["configured"] == configured
    too_many = await client.post("/api/v1/desired", json={"desired": 4}, headers=token)
    assert too_many.status_code == 422 and "from 2 to 3" in too_many.json()["error"]
    again = await client.delete("/api/v1/bounds", headers=token)
    assert again.json() == {"changed": True, **configured, "configured": configured}
    assert (await client.delete("/api/v1/bounds", headers=token)).json()["changed"] is False


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"min": 1}, "max: found None; allowed: a whole number from 1 to 4 (agents_max in"),
        ({"min": 0, "max": 2}, "min: found 0; allowed: a whole number from 1 to 4"),
        ({"min": 1, "max": 5}, "max: found 5; allowed: a whole number from 1 to 4"),
        ({"min": True, "max": 2}, "min: found True"),
        ({"min": 3, "max": 2}, "min: 3 is more than max (2)"),
    ],
)
async def test_bounds_that_cannot_be(
    client: httpx.AsyncClient, body: dict[str, int], text: str
) -> None:
    token = {"Authorization": "Bearer s3cret"}
    answer = await client.post("/api/v1/bounds", json=body, headers=token)
    assert answer.status_code == 422 and text in answer.json()["error"]
    assert (await client.get("/api/v1/status")).json()["max"] == 4


async def test_a_run_of_up_brings_the_configured_bounds_back(
    client: httpx.AsyncClient, controller: Controller
) -> None:
    token = {"Authorization": "Bearer s3cret"}
    await client.post("/api/v1/bounds", json={"min": 2, "max": 2}, headers=token)
    hold = {"holder": "test", "ttl_s": 5}
    await client.post("/api/v1/hold", json=hold, headers=token)
    assert controller.bounds.high == 2
    await client.post("/api/v1/hold", json={**hold, "reset_bounds": True}, headers=token)
    assert (controller.bounds.low, controller.bounds.high) == (1, 4)


async def test_whose_token_it_is(client: httpx.AsyncClient) -> None:
    for token, role, may in (
        ("s3cret", "admin", True),
        ("r3ad", "read", False),
        ("x", "none", False),
    ):
        headers = {"Authorization": f"Bearer {token}"}
        answer = (await client.get("/api/v1/access", headers=headers)).json()
        assert answer == {"role": role, "may_change": may}


async def test_reading_needs_no_token(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).json()["status"] == "healthy"
    assert "clusterops_scaler_desired_agents 1.0" in (await client.get("/metrics")).text
    page = await client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    events = (await client.get("/api/v1/events?limit=1")).json()["events"]
    assert len(events) == 1 and events[0]["at"].endswith("Z")
    assert len((await client.get("/api/v1/ticks")).json()["ticks"]) == 1


async def test_prometheus_is_told_agents_and_the_application_on_those_in_the_pool(
    client: httpx.AsyncClient, controller: Controller
) -> None:
    def target(job: str, n: int, port: int, path: str = "/metrics") -> dict[str, Any]:
        labels = {"job": job, "node": f"agent-{n}", "__metrics_path__": path}
        return {"targets": [f"10.0.0.10{n}:{port}"], "labels": labels}

    path = "/api/v1/prometheus-targets"
    # agent-2 is draining, and still asked; agent-3 is off.
    assert (await client.get(path)).json() == [target("agents", n, 5100) for n in (1, 2)]
    seen = controller.last_known
    assert seen and seen.application
    application = replace(seen.application, metrics_path="/own")
    one, two, *others = seen.agents
    controller.last_known = replace(
        seen, application=application, agents=(one, replace(two, pool=None), *others)
    )
    assert (await client.get(path)).json() == [
        target("agents", 1, 5100), target("application", 1, 5000, "/own"), target("agents", 2, 5100)
    ]  # fmt: skip
    controller.last_known = None
    assert (await client.get(path)).json() == []


async def test_metrics_tell_what_an_alert_needs(
    client: httpx.AsyncClient, controller: Controller
) -> None:
    aside = Trouble(failures=3, quarantined_until=controller._clock() + 60)
    controller.ledger.set_trouble("agent-4", aside)
    controller.ledger.release()
    controller.ledger.set_desired(1, 300)
    await controller.tick()
    await controller.close()
    text = (await client.get("/metrics")).text
    assert 'clusterops_scaler_agent_quarantined{agent="agent-4"} 1.0' in text
    assert 'clusterops_scaler_decisions_total{direction="up"} 0.0' in text
    assert 'clusterops_scaler_actions_total{kind="prepare",result="failed"} 0.0' in text
    assert "_created" not in text
    size = re.search(r'node_filesystem_size_bytes{mountpoint="/"} (\S+)', text)
    assert size and float(size[1]) > 0
    at = re.search(r"(?m)^clusterops_scaler_last_tick_timestamp_seconds (\S+)", text)
    assert at and float(at[1]) == controller._clock()
    controller.ledger.set_trouble("agent-4", Trouble())
    await controller.tick()
    assert "agent_quarantined{" not in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}]
)
async def test_changes_need_the_token(
    client: httpx.AsyncClient, controller: Controller, headers: dict[str, str]
) -> None:
    for method, path in (("POST", "desired"), ("POST", "hold"), ("DELETE", "hold")):
        answer = await client.request(
            method, f"/api/v1/{path}", headers=headers, content=b'{"desired": 3}'
        )
        assert answer.status_code == 401 and "error" in answer.json()
    assert controller.ledger.state and controller.ledger.state.desired == 1


async def test_the_token_to_read_changes_nothing(
    client: httpx.AsyncClient, controller: Controller
) -> None:
    reader = {"Authorization": "Bearer r3ad"}
    answer = await client.post("/api/v1/desired", headers=reader, json={"desired": 3})
    assert answer.status_code == 403 and "may only read" in answer.json()["error"]
    assert controller.ledger.state and controller.ledger.state.desired == 1
    assert (await client.get("/api/v1/audit", headers=reader)).status_code == 200


async def test_who_asked_for_what_is_never_told_without_a_token(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/audit")).status_code == 401
    await client.post("/api/v1/desired", headers=TOKEN, json={"desired": 2})
    entries = (await client.get("/api/v1/audit?limit=2", headers=TOKEN)).json()["audit"]
    assert [(entry["who"], entry["status"]) for entry in entries] == [("admin", 200), ("none", 401)]
    assert entries[0]["action"] == "2 agents"


async def test_while_reading_is_open_other_names_are_refused(client: httpx.AsyncClient) -> None:
    for host, status in (
        ("scaler:9000", 200), ("127.0.0.1:9000", 200), ("localhost", 200), ("evil.example", 421),
    ):  # fmt: skip
        answer = await client.get("/api/v1/status", headers={"Host": host})
        assert answer.status_code == status


async def test_where_reading_is_not_open_it_needs_a_token(controller: Controller) -> None:
    closed = controller.settings.model_copy(update={"read_open": False})
    controller.settings = closed
    app = make_app(controller)
    transport = httpx.ASGITransport(app=app, client=("172.29.4.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://my.lan:9000") as client:
        for path in ("/api/v1/status", "/api/v1/events", "/metrics", "/api/v1/prometheus-targets"):
            assert (await client.get(path)).status_code == 401
            reader = {"Authorization": "Bearer r3ad"}
            assert (await client.get(path, headers=reader)).status_code == 200
        for path in ("/health", "/", "/static/js/main.js"):
            assert (await client.get(path)).status_code == 200
    local = httpx.ASGITransport(app=app, client=("127.0.0.1", 5))
    async with httpx.AsyncClient(transport=local, base_url="http://127.0.0.1:9000") as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/api/v1/status")).status_code == 401


async def test_without_a_list_of_tokens_nothing_changes(
    client: httpx.AsyncClient, controller: Controller
) -> None:
    controller.settings.access_file.unlink()
    assert (await client.post("/api/v1/pause", headers=TOKEN)).status_code == 503
    assert (await client.get("/api/v1/status")).status_code == 200


async def test_other_sites_are_refused(client: httpx.AsyncClient) -> None:
    for origin, status in (
        ("http://evil.example", 403),
        ("null", 403),
        ("http://scaler:9000", 200),
    ):
        answer = await client.post(
            "/api/v1/desired", headers={**TOKEN, "Origin": origin}, json={"desired": 2}
        )
        assert answer.status_code == status


async def test_desired(client: httpx.AsyncClient, controller: Controller) -> None:
    answer = await client.post("/api/v1/desired", headers=TOKEN, json={"desired": 3})
    assert answer.json() == {"desired": 3, "min": 1, "max": 4}
    assert controller.ledger.state and controller.ledger.state.desired == 3
    for bad in (0, 5, -1, True, "3", 2.0, None):
        answer = await client.post("/api/v1/desired", headers=TOKEN, json={"desired": bad})
        assert answer.status_code == 422 and "from 1 to 4" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b"", 400), (b" " * 5000, 413)]
)
async def test_bad_bodies(client: httpx.AsyncClient, body: bytes, status: int) -> None:
    answer = await client.post("/api/v1/desired", headers=TOKEN, content=body)
    assert answer.status_code == status and "error" in answer.json()


async def test_hold_is_a_lease(client: httpx.AsyncClient) -> None:
    assert (await client.delete("/api/v1/hold", headers=TOKEN)).json()["released"] is True
    body = {"holder": "up", "ttl_s": 60}
    answer = (await client.post("/api/v1/hold", headers=TOKEN, json=body)).json()
    assert answer["held"] is True and answer["idle"] is True and answer["holder"] == "up"
    other = await client.post("/api/v1/hold", headers=TOKEN, json={"holder": "x", "ttl_s": 1})
    assert other.status_code == 409 and "'up'" in other.json()["error"]
    wrong = await client.delete("/api/v1/hold?holder=x", headers=TOKEN)
    assert wrong.status_code == 409
    for bad in ({"holder": "", "ttl_s": 5}, {"holder": "up", "ttl_s": 0}, {"ttl_s": 5}):
        answer2 = await client.post("/api/v1/hold", headers=TOKEN, json=bad)
        assert answer2.status_code == 422


async def test_errors_are_json(client: httpx.AsyncClient) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("PUT", "/api/v1/desired", 405),
        ("GET", "/api/v1/events?limit=x", 400),
    ):
        answer = await client.request(method, path, headers=TOKEN)
        assert answer.status_code == status and isinstance(answer.json()["error"], str)
