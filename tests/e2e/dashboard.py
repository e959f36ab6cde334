# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard of a real cluster: compared with what the APIs say, and its buttons pressed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from docs.images.make import CHROMIUM, PICTURES, Picture, take, visit
from tests.e2e.cluster import Cluster, request

SHORT_MS, ROLL_OUT_MS = 20_000, 240_000

#: What the page says of an agent that the API has in a pool state.
WORDS = {"in_service": {"in service", "unhealthy"}, "draining": {"draining"}}
_READ = """() => ({
  desired: document.getElementById('wanted').textContent.split(' ')[0],
  serving: document.getElementById('serving').textContent,
  mode: document.getElementById('mode').textContent,
  reason: document.getElementById('reason').textContent,
  agents: Object.fromEntries([...document.querySelectorAll('#agents tbody tr')].map(row =>
    [row.querySelector('th').textContent, row.querySelector('.state').textContent])),
  cards: [...document.querySelectorAll('.picture .agent:not([data-state=empty]) .title')]
    .map(name => name.textContent),
})"""


def look(url: str, folder: Path, name: str, *, pictures: bool = False) -> dict[str, Any]:
    """Compare, and take pictures into ``folder``; returns what the page showed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = visit(browser, url, Picture(name))
        shown = _compare(page, url)
        folder.mkdir(exist_ok=True)
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        if pictures:
            take(browser, url, folder, PICTURES)
        browser.close()
    return shown


def _compare(page: Page, url: str, timeout: float = 30) -> dict[str, Any]:
    """Wait until both say the same; they are asked one after the other, and things change."""
    end = time.monotonic() + timeout
    while True:
        _, status, _ = request("GET", f"{url}/api/v1/status")
        shown: dict[str, Any] = page.evaluate(_READ)
        problems = _differences(shown, status)
        if not problems:
            return shown
        assert time.monotonic() < end, f"the dashboard and the API differ: {problems}"
        time.sleep(0.3)


def _differences(shown: dict[str, Any], status: dict[str, Any]) -> list[str]:
    reason = status["last_decision"]["reason"] if status["last_decision"] else ""
    serving = sum(agent["in_service"] for agent in status["agents"])
    mode = {"auto": "automatic"}.get(status["mode"], status["mode"])
    names = {agent["name"] for agent in status["agents"]}
    names |= {action["agent"] for action in status["actions"]}
    pairs = {
        "desired": (shown["desired"], str(status["desired"])),
        "serving": (shown["serving"], str(serving)),
        "mode": (shown["mode"].split(" by ")[0], mode),
        "reason": (shown["reason"].lower().rstrip("."), reason.lower().rstrip(".")),
        "agents": (set(shown["agents"]), names),
        "cards": (set(shown["cards"]), names),
    }
    found = [f"{key}: {page!r}, {api!r}" for key, (page, api) in pairs.items() if page != api]
    acting = {action["agent"] for action in status["actions"]}
    for agent in status["agents"]:
        words = WORDS.get(agent["pool"])
        word = shown["agents"].get(agent["name"])
        if words and agent["name"] not in acting and word not in words:
            found.append(f"{agent['name']}: {word!r}, {agent['pool']}")
    return found


@contextmanager
def unlocked(cluster: Cluster) -> Iterator[Page]:
    """The dashboard with the cluster's token; there is a picture of how it was left."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = visit(browser, cluster.dashboard, Picture("controls", scale=1, still=True))
        page.fill("#control-token", cluster.token)
        page.click("#unlock button")
        try:
            yield page
        finally:
            folder: Path = cluster.folder / "pictures"
            folder.mkdir(exist_ok=True)
            page.screenshot(path=folder / "controls.png", full_page=True)
            browser.close()


def deploy(page: Page, path: str) -> None:
    """Deploy an application of this repository, and wait until it is the one that is shown."""
    page.fill("#deploy-what", path)
    page.click("#deploy-go")
    _follow(page, f"Deploying {path}", path.rpartition("/")[2])


def roll_back(page: Page, name: str) -> None:
    """Roll back, and wait until the application of this name is the one that is shown."""
    page.click("#rollback")
    _follow(page, "Rolling back", name)


def _follow(page: Page, job: str, name: str) -> None:
    told = page.locator("#deploy-now")
    expect(told).to_contain_text(f"{job}: running", timeout=SHORT_MS)
    expect(page.locator("#rollback")).to_be_disabled()
    expect(told).to_contain_text(f"{job}: done", timeout=ROLL_OUT_MS)
    expect(page.locator("#application")).to_contain_text(name, timeout=SHORT_MS)
