# SPDX-License-Identifier: GPL-3.0-or-later
"""The default policy, to the word: what it wishes for, and what it says of the load."""

from __future__ import annotations

from typing import Any

import pytest

from clusterops.scaler.model import Agent
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.policy import Recommendation, Situation, Verdict
from tests.unit.scaler.builders import NOW, agent, seen


def ask(*agents: Agent, warm: set[str] | None = None, **options: Any) -> Recommendation:
    names = {one.name for one in agents} if warm is None else warm
    situation = Situation(seen(*agents), 2, NOW, frozenset(names))
    return ThresholdPolicy(**options).recommend(situation)


def loaded(number: int, cpu: float | None, memory: float | None = 50.0) -> Agent:
    return agent(number, cpu_percent=cpu, memory_percent=memory)


@pytest.mark.parametrize(
    ("cpu", "memory", "direction", "reason"),
    [
        (70.0, 80.0, "none", "within the thresholds (CPU 70 %, memory 80 % over 1 of 1)"),
        (70.1, 80.0, "up", "average CPU 70 % is above 70 %"),
        (70.0, 80.1, "up", "average memory 80 % is above 80 %"),
        (90.0, 95.0, "up", "average CPU 90 % is above 70 % and average memory 95 % is above 80 %"),
        (29.9, 39.9, "down", "average CPU 30 % is below 30 % and memory 40 % below 40 %"),
        (30.0, 39.9, "none", "within the thresholds (CPU 30 %, memory 40 % over 1 of 1)"),
        (29.9, 40.0, "none", "within the thresholds (CPU 30 %, memory 40 % over 1 of 1)"),
    ],
)
def test_the_thresholds_of_cluster_yml(
    cpu: float, memory: float, direction: str, reason: str
) -> None:
    answer = ask(loaded(1, cpu, memory))
    assert (answer.direction, answer.reason, answer.blocked_by) == (direction, reason, None)
    assert answer.verdicts == (
        Verdict("cpu_above", cpu, 70.0, cpu > 70),
        Verdict("memory_above", memory, 80.0, memory > 80),
        Verdict("cpu_below", cpu, 30.0, cpu < 30),
        Verdict("memory_below", memory, 40.0, memory < 40),
    )


def test_thresholds_of_ones_own() -> None:
    own = {
        "scale_up_cpu_percent": 11.0,
        "scale_up_memory_percent": 12.0,
        "scale_down_cpu_percent": 3.0,
        "scale_down_memory_percent": 4.0,
    }
    answer = ask(loaded(1, 10.0, 10.0), **own)
    assert answer.direction == "none"
    assert [verdict.limit for verdict in answer.verdicts] == [11.0, 12.0, 3.0, 4.0]


def test_who_does_not_tell_causes_no_growth_and_forbids_the_way_down() -> None:
    hot = ask(loaded(1, 100.0), loaded(2, None, None))
    assert (hot.direction, hot.blocked_by) == ("none", "missing_metrics")
    assert hot.reason == "no metrics from agent-2 (CPU 100 %, memory 50 % over 1 of 2)"
    assert [verdict.value for verdict in hot.verdicts] == [50.0, 25.0, 100.0, 75.0]
    idle = ask(loaded(1, 1.0, 1.0), loaded(2, None, None), loaded(3, None, None))
    assert idle.blocked_by == "missing_metrics"
    assert idle.reason.startswith("no metrics from agent-2, agent-3 (")
    assert ask(loaded(1, 100.0), loaded(2, 60.0), loaded(3, None, None)).direction == "none"
    assert ask(loaded(1, 150.0), loaded(2, None, None)).direction == "up"


def test_without_any_metrics_nothing_is_known() -> None:
    answer = ask(loaded(1, 90.0), warm=set())
    assert answer.reason == "within the thresholds (CPU unknown, memory unknown over 0 of 1)"
    assert [(verdict.value, verdict.fired) for verdict in answer.verdicts] == [(None, False)] * 4


def test_without_agents_there_is_no_load() -> None:
    answer = ask()
    assert answer == Recommendation("none", "no agent is in service, so there is no load to judge")
