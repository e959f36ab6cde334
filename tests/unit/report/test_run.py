# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of what the services recorded."""

from __future__ import annotations

from typing import Any

import pytest

from clusterops.report.run import (
    Run,
    Scaling,
    add_events,
    add_ticks,
    add_traffic,
    load_from,
    newest_within,
    settings_of,
    text_of,
)
from tests.unit.report.builders import END, START, events, load_document, run, tick, ticks, traffic


def empty() -> Run:
    return Run(START, END, "mine", "docker")


def test_figures_are_means_over_the_agents_in_service() -> None:
    found = empty()
    one = tick(START + 10, serving=2)
    one["agents"][1]["cpu_percent"] = None
    one["agents"].append({**one["agents"][0], "pool": "draining", "cpu_percent": 99.0})
    add_ticks(found, [one])
    assert found.cpu == [(START + 10, 40.0)]
    assert found.serving == [(START + 10, 2)]
    assert list(found.agent_cpu) == ["agent-1"]


def test_what_is_outside_of_the_time_does_not_count() -> None:
    found = empty()
    add_ticks(found, [tick(START - 1), tick(END + 1)])
    add_traffic(found, [{"at": START - 1, "requests_per_s": 1.0}])
    add_events(found, [{**events()[0], "at": END + 5}])
    assert (found.cpu, found.rate, found.events) == ([], [], [])


def test_changes_have_their_reason_their_rules_and_how_long_they_took() -> None:
    up, down = run().scalings
    assert up == Scaling(
        START + 180, 1, 2, "average CPU 85 % is above 70 %", ("cpu above 70 (it was 85)",), 14.0
    )
    assert (down.before, down.after, down.done_s) == (2, 1, 8.0)
    assert down.rules == ("memory below 40 (it was 30)",)


def test_a_change_by_hand_is_one_too() -> None:
    found = empty()
    add_ticks(found, [tick(START + 10, wanted=1), tick(START + 20, wanted=3)])
    assert [(one.before, one.after, one.reason) for one in found.scalings] == [
        (1, 3, "it was asked for by hand")
    ]


def test_without_ticks_events_tell_the_changes() -> None:
    found = empty()
    add_events(found, events())
    (one,) = found.scalings
    assert (one.before, one.after, one.reason, one.done_s) == (1, 2, "average CPU 85 % …", 14.0)


def test_guards_that_held_a_wish_back_are_summed() -> None:
    assert run().held_back == {"cooldown": 20.0}


def test_an_idle_cluster_at_its_minimum_was_not_held_back() -> None:
    found = empty()
    add_ticks(found, [tick(START + 10, guard="min", wished=0)])
    assert found.held_back == {}


def test_events_that_nobody_knows_are_left_out() -> None:
    assert "weather" not in {event["kind"] for event in run().events}


def test_points_of_traffic_without_a_figure_are_passed_over() -> None:
    found = empty()
    add_traffic(found, [{**traffic()[0], "p99_ms": None}])
    assert len(found.rate) == 1
    assert found.p99 == []


def test_results_of_load_are_read_second_by_second() -> None:
    found = load_from(load_document())
    assert found is not None
    assert found.series("p99_ms")[0] == (START + 101, 90.0)
    assert found.series("p95_ms") == []
    assert (found.start, found.end) == (START + 100, START + 400)


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"started_at": "soon"}, {"started_at": 1, "seconds": [{}]},
     {"started_at": 1, "duration_s": "long"}],
)  # fmt: skip
def test_what_is_no_result_of_load_is_none(document: Any) -> None:
    assert load_from(document) is None


def test_the_newest_load_within_the_time_is_shown() -> None:
    starts = [START - 1000, START - 200, START + 50, END + 10]
    loads = [load_from(load_document(start)) for start in starts]
    chosen = newest_within([one for one in loads if one], START, END)
    assert chosen is not None
    assert chosen.start == START + 50
    assert newest_within([], START, END) is None
    assert newest_within([one for one in loads[:1] if one], START, END) is None


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("agents_max", 3, "3"),
        ("agent_cpus", 0.5, "0.5"),
        ("node_firewall", True, "yes"),
        ("load_balancer_tls", "", "-"),
        ("application_env", {"B": "x", "A": 1}, "A (hidden), B (hidden)"),
        ("datastore_redis_url", "rediss://u:p@host/0", "rediss://(hidden)@host/0"),
        ("own_password", "x", "(hidden)"),
        ("scaling_policies", [{"policy": "step", "token": "t"}], "policy: step, token: (hidden)"),
    ],
)
def test_settings_are_shown_without_secrets(key: str, value: Any, text: str) -> None:
    assert text_of(key, value) == text


def test_what_was_changed_comes_first() -> None:
    rows = settings_of({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 1})
    assert [(row.key, row.default) for row in rows] == [("b", False), ("c", False), ("a", True)]


def test_all_ticks_in_any_order_are_the_same() -> None:
    first, second = empty(), empty()
    add_ticks(first, ticks())
    add_ticks(second, ticks()[::-1])
    assert first == second
