# SPDX-License-Identifier: GPL-3.0-or-later
"""Feeds go on whatever ends: a stream, the scaler, the cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clusterops import clients, event_stream
from clusterops.cli import watch_feed
from clusterops.cli.watch_feed import Feeds
from clusterops.clients import AnswerError
from clusterops.errors import NotRunningError
from tests.unit.cli.conftest import FakeScaler, FakeServerManager

Message = tuple[str, Any]


class Prometheus:
    asked: threading.Event

    def __init__(self, _config: Any) -> None: ...

    def alerts(self) -> list[Any]:
        return []

    def traffic(self) -> dict[str, Any]:
        return {"requests_per_s": 1.0}


class Scaler(FakeScaler):
    def ticks(self, *, limit: int) -> list[Any]:
        return [limit]

    def events(self, *, limit: int) -> list[Any]:
        return []


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the services do; tests change it."""
    found: dict[str, Any] = {
        "stream": lambda: iter([("state", {"n": 1})]),
        "manager": FakeServerManager(),
        "scaler": Scaler(),
    }

    def manager() -> Any:
        if found["manager"] is None:
            raise NotRunningError("The cluster is not running.")
        return found["manager"]

    monkeypatch.setattr(clients, "server_manager", manager)
    monkeypatch.setattr(clients, "scaler", lambda *_, **__: found["scaler"])
    monkeypatch.setattr(event_stream, "watch", lambda _scaler: found["stream"]())
    monkeypatch.setattr(watch_feed, "Prometheus", Prometheus)
    for name in ("SERVERS_S", "POLL_S", "ALERTS_S", "AGAIN_S"):
        monkeypatch.setattr(watch_feed, name, 0.02)
    return found


def heard(feeds: Feeds, enough: Callable[[list[Message]], bool]) -> list[Message]:
    """All messages until there are enough; fails after ten seconds."""
    found: list[Message] = []
    ends = time.monotonic() + 10
    while not enough(found):
        assert time.monotonic() < ends, found[-20:]
        found += feeds.messages()
        time.sleep(0.005)
    return found


def names(found: list[Message]) -> list[str]:
    return [name for name, _ in found]


def test_a_stream_that_ends_is_opened_again(world: dict[str, Any]) -> None:
    with Feeds({}) as feeds:
        found = heard(feeds, lambda seen: names(seen).count("state") >= 3)
    assert ("scaler_lost", "The scaler ended the stream.") in found
    assert "traffic" not in names(found)  # the stream tells it


def test_a_scaler_without_a_stream_is_polled_and_prometheus_tells_the_traffic(
    world: dict[str, Any],
) -> None:
    def none() -> Iterator[Message]:
        raise AnswerError("no such route", 404)
        yield

    world["stream"] = none
    with Feeds({}) as feeds:
        found = heard(
            feeds, lambda seen: names(seen).count("status") >= 2 and "traffic" in names(seen)
        )
    assert [data for name, data in found if name == "ticks"][:2] == [[360], [5]]
    assert "scaler_lost" not in names(found)


def test_a_token_that_is_refused_is_said(world: dict[str, Any]) -> None:
    def refused() -> Iterator[Message]:
        raise AnswerError("it does not take this cluster's token", 401)
        yield

    world["stream"] = refused
    with Feeds({}) as feeds:
        found = heard(feeds, lambda seen: "scaler_lost" in names(seen))
    assert ("scaler_lost", "it does not take this cluster's token") in found


def test_a_cluster_that_stops_and_comes_back_is_told(world: dict[str, Any]) -> None:
    manager = world["manager"]

    def gone() -> list[Any]:
        raise NotRunningError("The cluster is not running: no Server Manager.")

    with Feeds({}) as feeds:
        heard(feeds, lambda seen: "servers" in names(seen))
        world["manager"] = None
        manager.servers = gone
        heard(feeds, lambda seen: "stopped" in names(seen))
        world["manager"] = FakeServerManager()
        heard(feeds, lambda seen: "servers" in names(seen))
