# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view: what it takes from its feeds, and what it shows of it at any size."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from rich.console import Console

from clusterops.cli import watch_view
from clusterops.cli.watch_state import WatchState
from clusterops.scaler.points import point_of
from tests.unit.cli.conftest import FakeScaler, FakeServerManager, agent, server

Json = dict[str, Any]
NOW = 1_795_643_600.0
SIZES = [(80, 24), (200, 60), (120, 40), (60, 20), (100, 34), (132, 30)]


def status(**more: Any) -> Json:
    document = FakeScaler().document
    assert document is not None
    return {**document, **more}


def traffic(**more: Any) -> Json:
    return {
        "requests_per_s": 421.0, "errors_per_s": 0.5, "in_flight": 7, "p50_ms": 3.0, "p95_ms": 12.0,
        "p99_ms": 48.0, "agents": {"agent-1": {"requests_per_s": 421.0, "in_flight": 7}}, **more,
    }  # fmt: skip


def point(at: float, **more: Any) -> Json:
    return {
        "at": at, "cpu": 61.0, "memory": 31.0, "serving": 1, "wanted": 1, "was": 1,
        "direction": "none", "reason": "within the thresholds", "blocked_by": None,
        "verdicts": [["cpu_above", 61.0, 70.0, False], ["cpu_below", 61.0, 30.0, False]], **more,
    }  # fmt: skip


@pytest.fixture
def state() -> WatchState:
    manager = FakeServerManager()
    found = WatchState(manager.cluster(), manager.servers())
    found.apply(
        "snapshot",
        {
            "at": NOW, "status": status(), "traffic": traffic(),
            "points": [point(NOW - seconds) for seconds in (20, 10)],
            "traffic_points": [{"at": NOW - 10, "requests_per_s": 100.0}],
            "events": [{"id": 7, "at": NOW - 15, "kind": "finished", "agent": "agent-1",
                        "message": "scale_up took 9.1 s"}],
        },
        NOW,
    )  # fmt: skip
    return found


def text_of(state: WatchState, width: int = 200, height: int = 60, now: float = NOW) -> str:
    stream = io.StringIO()
    view = watch_view.render(state, now, width, height)
    Console(file=stream, width=width, height=height).print(view)
    return stream.getvalue()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_same_facts_are_there_at_every_size(state: WatchState, width: int, height: int) -> None:
    text = text_of(state, width, height)
    lines = text.rstrip("\n").split("\n")
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    for fact in (
        "playground", "automatic", "1 in service, 1 wanted", "agent-1", "in service", "42 %",
        "30 %", "421",
        "Requests/s", "p50 3  p95 12  p99 48 ms", "CPU", "up above 70 %", "Memory",
        "within the thresholds", "q ends",
    ):  # fmt: skip
        # The narrowest may cut the last words of a line.
        assert fact in text or width < 80, fact


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (60, 20), (40, 12)])
@pytest.mark.parametrize("count", [0, 1, 4, 50])
def test_whatever_happens_it_fits(width: int, height: int, count: int) -> None:
    manager = FakeServerManager()
    machines = [server(f"agent-{number}", number=number) for number in range(1, count + 1)]
    state = WatchState(manager.cluster(), [server("control-1"), *machines])
    names = [f"agent-{number}" for number in range(1, count + 1)]
    busy = status(
        agents=[agent(name) for name in names],
        actions=[{"kind": "scale_up", "agent": "agent-1", "step": "x" * 200, "started_at": NOW}]
        * 5,
        alarms=["a long story " * 30] * 5,
    )
    state.apply("state", {"at": NOW, "status": busy, "traffic": traffic()}, NOW)
    for number in range(40):
        long = point(NOW - 400 + number * 10, reason=f"{number} " + "words " * 60,
                     direction="up" if number % 2 else "none")  # fmt: skip
        state.apply("point", long, NOW)
    state.apply("alerts", [{"name": f"A{n}", "state": "firing", "severity": "", "words": "w " * 99}
                           for n in range(9)], NOW)  # fmt: skip
    lines = text_of(state, width, height).rstrip("\n").split("\n")
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    if count == 50:
        assert any(line.startswith("… ") and line.rstrip().endswith("more") for line in lines)


def test_agents_in_service_come_before_those_that_are_not(state: WatchState) -> None:
    state.apply("servers", [server("control-1"), server("agent-1", "stopped", number=1),
                            server("agent-2", number=2)], NOW)  # fmt: skip
    state.apply("status", status(agents=[agent("agent-2")]), NOW)
    text = text_of(state)
    assert text.index("agent-2") < text.index("agent-1")


def test_a_stopped_cluster_is_shown_as_such_and_one_that_is_back_too(state: WatchState) -> None:
    state.apply("stopped", "The cluster is not running.", NOW)
    text = text_of(state)
    assert "The cluster is not running" in text
    assert "./playground up" in text
    assert "Requests/s" not in text
    state.apply("servers", [server("control-1")], NOW)
    assert "Requests/s" in text_of(state)


def test_a_cluster_without_machines_is_stopped(state: WatchState) -> None:
    state.apply("servers", [], NOW)
    assert "it has no machines" in text_of(state)


def test_a_silent_scaler_is_said_and_its_old_figures_are_not_shown(state: WatchState) -> None:
    state.apply("scaler_lost", "The scaler does not answer: refused", NOW)
    text = text_of(state)
    assert "Scaler unreachable: The scaler does not answer: refused" in text
    assert "unreachable" in text
    assert "42 %" not in text
    assert "control-1" in text
    state.apply("state", {"at": NOW, "status": status(), "traffic": None}, NOW)
    assert "42 %" in text_of(state)


def test_old_figures_are_not_taken_for_new_ones(state: WatchState) -> None:
    line = next(line for line in text_of(state, 80, 24, NOW + 300).splitlines() if "CPU  " in line)
    assert "61 %" not in line


def test_what_keeps_the_scaler_from_acting_is_told(state: WatchState) -> None:
    later = "2026-11-25T21:53:32Z"  # NOW + 12 s
    state.apply(
        "status",
        status(
            actions=[{"kind": "scale_up", "agent": "agent-2", "step": "Wait for ssh",
                      "started_at": NOW}],
            cooldown_ends_at=later,
            hold={"holder": "up", "expires_at": later},
            floor={"agents": 3, "ends_at": later},
            alarms=["no agent is in service"],
        ),
        NOW,
    )  # fmt: skip
    text = text_of(state)
    for fact in ("scale up agent-2: Wait for ssh", "cooldown for 12 s more",
                 "held by 'up' for 12 s more", "3 asked for by hand for 12 s more",
                 "! no agent is in service"):  # fmt: skip
        assert fact in text


def test_decisions_say_which_guard_and_go_on_as_one(state: WatchState) -> None:
    for at in (NOW - 8, NOW - 6, NOW - 4):
        state.apply("point", point(at, reason=f"CPU {at % 10:.0f} %", blocked_by="cooldown"), NOW)
    state.apply(
        "point", point(NOW - 2, direction="up", was=1, wanted=2, reason="CPU is above 70 %"), NOW
    )
    first, second, *_ = state.decisions
    assert (first.words, first.guard) == ("from 1 to 2: CPU is above 70 %", None)
    assert (second.times, second.guard, second.first_at) == (3, "cooldown", NOW - 8)
    text = text_of(state)
    assert "scale up from 1 to 2: CPU is above 70 %" in text
    assert "[guard: cooldown]" in text
    assert text.index("scale up from 1") < text.index("[guard: cooldown]")


def test_a_tick_that_is_told_twice_counts_once(state: WatchState) -> None:
    before = len(state.series["cpu"])
    state.apply("point", point(NOW - 10), NOW)
    assert len(state.series["cpu"]) == before


def test_events_are_told_once_and_decisions_not_twice(state: WatchState) -> None:
    again = {"id": 7, "at": NOW - 15, "kind": "finished", "agent": "agent-1", "message": "again"}
    new = {"id": 8, "at": NOW - 1, "kind": "decision", "message": "from 1 to 2: busy"}
    state.apply("events", [new, again], NOW)
    text = text_of(state)
    assert text.count("finished agent-1: scale_up took 9.1 s") == 1
    assert "again" not in text
    assert "from 1 to 2" not in text  # the tick tells it, with its guard


def test_firing_alerts_come_first(state: WatchState) -> None:
    state.apply(
        "alerts",
        [{"name": "Slow", "state": "pending", "severity": "", "words": "slow"},
         {"name": "Down", "state": "firing", "severity": "", "words": "no agent"}],
        NOW,
    )  # fmt: skip
    text = text_of(state)
    assert "Alert Down firing  no agent" in text
    assert text.index("Alert Down") < text.index("Alert Slow")


def test_nothing_of_the_cluster_is_markup(state: WatchState) -> None:
    state.apply("point", point(NOW - 1, reason="[/bold] odd [red]"), NOW)
    assert "[/bold] odd [red]" in text_of(state)


def test_what_is_not_known_is_passed_over(state: WatchState) -> None:
    before = text_of(state)
    state.apply("weather", {"sun": True}, NOW)
    assert text_of(state) == before


def test_memory_is_bounded(state: WatchState) -> None:
    for second in range(5000):
        at = NOW + second
        state.apply("state", {"at": at, "status": status(), "traffic": traffic()}, at)
    sizes = [len(points) for points in state.series.values()] + [len(state.agent_cpu["agent-1"])]
    assert max(sizes) == 3600


def test_recorded_ticks_are_told_like_those_of_the_stream(state: WatchState) -> None:
    def one(pool: str, cpu: float | None) -> Json:
        return {"name": "agent-1", "pool": pool, "cpu_percent": cpu, "memory_percent": 20.0}

    tick = {
        "at": "2026-11-25T21:53:20Z",
        "agents": [one("in_service", 40.0), one("in_service", 60.0), one("draining", 99.0)],
        "state": {"desired": 2},
        "decision": {
            "desired": 3, "direction": "up", "reason": "busy", "blocked_by": None,
            "verdicts": [{"rule": "cpu_above", "value": 50.0, "limit": 40.0, "fired": True}],
        },
        "plan": {"blocked_by": "held"},
    }  # fmt: skip
    assert point_of(tick, NOW) == {
        "at": NOW, "cpu": 50.0, "memory": 20.0, "serving": 2, "wanted": 3, "was": 2,
        "direction": "up", "reason": "busy", "blocked_by": "held",
        "verdicts": [["cpu_above", 50.0, 40.0, True]],
    }  # fmt: skip
    # They bring their time as a text.
    state.apply("ticks", [tick], NOW)
    assert state.series["cpu"][-1] == (NOW, 50.0)


@pytest.mark.parametrize(
    ("width", "texts"), list(itertools.product([40, 72, 80, 100, 140, 200], [30, 45]))
)
def test_bars_and_curves_have_the_room_that_is_left(width: int, texts: int) -> None:
    cells, curve = watch_view.widths(width, texts)
    used = texts + 10 + 2 * ((cells + 6) if cells else 6) + (2 * (curve + 2) if curve else 0)
    assert used <= max(width, texts + 22)
    assert cells >= 3 or cells == 0
    if width == 200:
        assert curve == 40
