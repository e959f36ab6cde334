# SPDX-License-Identifier: GPL-3.0-or-later
"""What policies judge by: averages, the options that name them, and their words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from clusterops.scaler.model import Agent
from clusterops.scaler.policies import loads
from clusterops.scaler.policies.loads import Load, load_of
from clusterops.scaler.policy import Situation
from tests.unit.scaler.builders import NOW, agent, seen


def situation(*agents: Agent, warm: set[str] | None = None) -> Situation:
    names = {one.name for one in agents} if warm is None else warm
    return Situation(seen(*agents), 1, NOW, frozenset(names))


def test_each_metric_has_its_own_average() -> None:
    two = situation(
        agent(1, cpu_percent=10.0, memory_percent=30.0, in_flight=4),
        agent(2, cpu_percent=20.0, memory_percent=50.0, in_flight=5),
    )
    assert load_of(two, "cpu", 100.0) == Load(15.0, 15.0, 15.0)
    assert load_of(two, "memory", 100.0) == Load(40.0, 40.0, 40.0)
    assert load_of(two, "in_flight", 7.0) == Load(4.5, 4.5, 4.5)


def test_who_does_not_tell_is_idle_on_the_way_up_and_busy_on_the_way_down() -> None:
    three = situation(
        agent(1, cpu_percent=30.0),
        agent(2, cpu_percent=None, memory_percent=None),
        agent(3, cpu_percent=60.0),
        warm={"agent-1", "agent-2"},
    )
    assert load_of(three, "cpu", 90.0) == Load(10.0, 70.0, 30.0)
    assert loads.silence_in_words(three) == "no metrics that count from agent-2, agent-3"


def test_nothing_to_average() -> None:
    assert load_of(situation(agent(1), warm=set()), "cpu", 100.0) == Load(None, None, None)
    assert load_of(situation(), "in_flight", 100.0) == Load(None, None, None)


def test_an_idle_agent_counts_with_nothing() -> None:
    idle = situation(agent(1, cpu_percent=0.0, memory_percent=0.0))
    assert load_of(idle, "cpu", 100.0) == Load(0.0, 0.0, 0.0)
    assert load_of(idle, "memory", 100.0) == Load(0.0, 0.0, 0.0)


def test_metrics_by_their_names() -> None:
    assert [loads.metric_from(name) for name in ("cpu", "memory", "in_flight")] == [
        *("cpu", "memory", "in_flight")
    ]
    with pytest.raises(
        ValueError, match=r"^metric: found 'disk'; allowed: cpu, memory, in_flight$"
    ):
        loads.metric_from("disk")


@pytest.mark.parametrize(
    ("metric", "value"), [("cpu", 100), ("cpu", 0.1), ("memory", 100.0), ("in_flight", 1000)]
)
def test_limits(metric: Any, value: float) -> None:
    found = loads.limit_from("target", value, metric)
    assert (found, type(found)) == (value, float)


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("cpu", 100.1, "target: found 100.1; allowed is a number above 0, at most 100 (percent)"),
        ("memory", 0, "target: found 0; allowed is a number above 0, at most 100 (percent)"),
        ("in_flight", 0, "target: found 0; allowed is a number above 0"),
        ("in_flight", -1, "target: found -1; allowed is a number above 0"),
        ("in_flight", True, "target: found True; allowed is a number above 0"),
        ("in_flight", math.inf, "target: found inf; allowed is a number above 0"),
        ("cpu", "50", "target: found '50'; allowed is a number above 0, at most 100 (percent)"),
    ],
)
def test_limits_that_no_load_can_have(metric: Any, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match="target") as caught:
        loads.limit_from("target", value, metric)
    assert str(caught.value) == words


def test_words() -> None:
    assert loads.in_words("cpu", 12.3) == "average CPU 12 %"
    assert loads.in_words("memory", 12.3) == "average memory 12 %"
    assert loads.in_words("in_flight", 12.34) == "an average of 12.3 requests in flight"
    assert loads.limit_in_words("cpu", 70.0) == "70 %"
    assert loads.limit_in_words("in_flight", 7.5) == "7.5"
