# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard's buttons, pressed in a browser, and what the cluster then does.

Those that deploy and roll back are pressed in test_deploy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.cluster import Cluster, request, wait_for
from tests.e2e.dashboard import SHORT_MS, unlocked

pytestmark = pytest.mark.e2e

ACTION_MS = 120_000


@pytest.fixture
def page(cluster: Cluster) -> Iterator[Page]:
    with unlocked(cluster) as page:
        yield page


def test_an_agent_is_frozen_thawed_and_killed_under_load(cluster: Cluster, page: Page) -> None:
    page.fill("#min", "2")
    page.click("#bounds button >> text=Set")
    _serving(cluster, page, 2)
    page.select_option("#profile", "constant")
    page.fill("#load-rate", "20")
    page.fill("#load-duration", "600")
    page.click("#load-start")
    load = page.locator("#load-now")
    expect(load).to_contain_text("Constant load: running", timeout=SHORT_MS)
    another = {"kind": "load", "profile": "constant", "duration_s": 60, "rate": 20}
    assert request("POST", f"{cluster.dashboard}/api/v1/jobs", another, cluster.token)[0] == 409

    said = page.locator("#chaos-said")
    victim = cluster.in_service()[-1]
    page.select_option("#victim", victim)
    page.click("#chaos-freeze")
    expect(said).to_have_text(f"Server '{victim}' is frozen.", timeout=SHORT_MS)
    expect(page.locator("#ill")).to_have_text("1 unhealthy", timeout=SHORT_MS)
    wait_for("nothing is sent to it", lambda: not _is_sent_requests(cluster, victim), 20, every=0.2)
    expect(_state(page, victim)).not_to_have_text("in service", timeout=SHORT_MS)
    assert request("GET", f"{cluster.url}/ready")[0] == 200
    page.click("#chaos-thaw")
    expect(said).to_have_text(f"Server '{victim}' runs again.", timeout=SHORT_MS)
    # It is back, or another took its place and it is on its way out.
    _serving(cluster, page, 2)

    victim = cluster.in_service()[-1]
    row = page.locator("#agents tbody tr", has_text=victim)
    row.get_by_role("button", name="Kill").click()
    expect(said).to_contain_text(victim, timeout=SHORT_MS)
    expect(_state(page, victim)).not_to_have_text("in service", timeout=SHORT_MS)
    _serving(cluster, page, 2)

    # The load has gone on all the time, and stops when asked to.
    page.click("#load-stop")
    expect(load).to_contain_text("Constant load: stopped", timeout=SHORT_MS)
    assert request("DELETE", f"{cluster.dashboard}/api/v1/jobs/load", None, cluster.token)[0] == 404
    result = json.loads((cluster.folder / ".playground/load/LATEST.json").read_text())
    assert result["open_loop"] is True
    assert result["totals"]["requests"] > 100
    control = f"{cluster.dashboard}/api/v1/agents/control-1/faults"
    assert request("POST", control, {"fault": "kill"}, cluster.token)[0] == 409
    page.click("#bounds-reset")
    expect(page.locator("#bounds-said")).to_contain_text("As in cluster.yml", timeout=SHORT_MS)
    cluster.run("scale", "1")


def _state(page: Page, agent: str) -> Locator:
    return page.locator("#agents tbody tr", has_text=agent).locator(".state")


def _serving(cluster: Cluster, page: Page, agents: int) -> None:
    """Wait until so many agents are shown in service and well, and nothing is being done."""
    well = page.locator("#agents tbody tr .state", has_text="in service")
    end = time.monotonic() + ACTION_MS / 1000
    while True:
        expect(well).to_have_count(agents, timeout=ACTION_MS)
        _, status, _ = request("GET", f"{cluster.dashboard}/api/v1/status")
        if not status["actions"] and _well(status) == agents:
            return
        assert time.monotonic() < end, f"not {agents} agents in service and well: {status}"
        time.sleep(0.5)


def _well(status: dict[str, Any]) -> int:
    return sum(agent["in_service"] and agent["healthy"] for agent in status["agents"])


def _is_sent_requests(cluster: Cluster, agent: str) -> bool:
    _, status, _ = request("GET", f"{cluster.dashboard}/api/v1/status")
    pool = {each["name"]: each["state"] for each in status["load_balancer"]["agents"]}
    return pool.get(agent) == "in_service"
