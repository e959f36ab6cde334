# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.integration.dashboard.scene import Scene

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # It has an event loop that runs: asynchronous tests of the same process need it gone.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A calm cluster of two agents with an hour behind it. Tests leave it as it was."""
    made = Scene(tmp_path_factory.mktemp("scene"))
    # Two agents are right for this, and for what an hour ago was another matter.
    made.load = lambda at: 190.0 if at > made.began - 900 else 700.0
    made.start()
    yield made
    made.stop()


@pytest.fixture
def make_scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """A cluster of a test's own, without a past."""
    made: list[Scene] = []

    def make(past: bool = False, **options: Any) -> Scene:
        scene = Scene(tmp_path, **options)
        made.append(scene)
        scene.start(past)
        return scene

    yield make
    for scene in made:
        if scene.running:
            scene.stop()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the page in a context of its own; whatever it complains of fails the test."""
    contexts = []
    complaints: list[str] = []

    def open_it(url: str, *, width: int = 1280, height: int = 800, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: complaints.append(said.text) if "Content Security" in said.text else None,
        )
        page.goto(url)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []
