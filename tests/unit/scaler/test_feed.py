# SPDX-License-Identifier: GPL-3.0-or-later
"""What the dashboard is told, and the figures that it is told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterops.scaler import feed as feed_module
from clusterops.scaler.daemon import Controller
from clusterops.scaler.feed import Feed, FullError
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.status import describe
from clusterops.scaler.store import Store
from clusterops.scaler.traffic import Counts, Look
from clusterops.scaler.watch import Watch
from tests.unit.scaler.world import World


@pytest.fixture
def settings(tmp_path: Path) -> ScalerSettings:
    return ScalerSettings(server_manager_url="http://x:1", state_dir=tmp_path)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def controller(settings: ScalerSettings, world: World) -> Controller:
    store = Store(settings.database)
    made = Controller(settings, store, world, world, ThresholdPolicy(), lambda: world.now)
    await made.tick()
    return made


@pytest.fixture
def watch(settings: ScalerSettings, world: World, controller: Controller) -> Watch:
    return Watch(settings, controller.ledger.store, lambda: world.now, lambda: world.now)


def told(data: bytes) -> dict[str, Any]:
    """Events by their names."""
    found = {}
    for block in data.decode().split("\n\n"):
        rows = [row for row in block.splitlines() if not row.startswith("retry:")]
        if rows:
            found[rows[0].removeprefix("event: ")] = json.loads(rows[1].removeprefix("data: "))
    return found


async def test_everything_first_then_what_is_new(
    controller: Controller, world: World, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "EVERY_S", 0.01)
    feed = Feed(controller, describe, watch, lambda: world.now)
    stream = feed.open()
    snapshot = told(await anext(stream))["snapshot"]
    assert snapshot["status"]["desired"] == 1 and snapshot["guards"]["cooldown"]
    assert len(snapshot["points"]) == 1 and snapshot["traffic"] is None
    assert [event["kind"] for event in snapshot["events"]][-1] == "desired"
    assert "state" in told(await anext(stream))
    world.advance(10)
    controller.ledger.set_desired(2, 300)
    await controller.tick()
    await controller.close()
    news: dict[str, Any] = {}
    while "state" not in news:
        news |= told(await anext(stream))
    assert news["point"]["wanted"] == 2 and news["point"]["at"] == world.now
    assert {"desired", "started"} <= {event["kind"] for event in news["events"]}
    assert news["state"]["status"]["desired"] == 2
    feed.close()
    with pytest.raises(StopAsyncIteration):
        while True:
            await anext(stream)


async def test_readers_are_limited(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "READERS", 1)
    feed = Feed(controller, describe)
    stream = feed.open()
    await anext(stream)
    with pytest.raises(FullError, match="1 watch already"):
        feed.open()
    await stream.aclose()  # type: ignore[attr-defined]
    feed.open()
    feed.close()


async def test_a_reader_that_is_too_slow_begins_anew(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "_BEHIND", 2)
    feed = Feed(controller, describe)
    stream = feed.open()
    await anext(stream)
    for _ in range(4):
        feed._tell(b"data")
    with pytest.raises(StopAsyncIteration):
        while True:
            await anext(stream)
    feed.close()


def look(at: float, requests: float) -> Look:
    return Look(at, {"agent-1": Counts(requests=requests)})


async def test_figures_of_the_traffic(watch: Watch, controller: Controller) -> None:
    watch.take(look(0, 0))
    assert watch.now is None, "one look tells no rate"
    with watch.watched():
        for second in range(1, 12):
            watch.take(look(second, second * 20))
    assert watch.now and watch.now["requests_per_s"] == 20.0
    assert [point["requests_per_s"] for point in watch.points] == [20.0]
    assert controller.ledger.store.traffic(0) == list(watch.points)
    watch.take(None)
    assert watch.now is None, "old figures are not shown as new ones"
