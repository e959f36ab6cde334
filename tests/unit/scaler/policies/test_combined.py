# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass

import pytest

import clusterops.scaler.policies.scheduled  # noqa: F401 - croniter starts a process then
from clusterops.scaler.decide import decide
from clusterops.scaler.policies import policy_from
from clusterops.scaler.policies.combined import CombinedPolicy
from clusterops.scaler.policy import Recommendation, Situation, Verdict
from tests.unit.scaler.builders import NOW, agent, limits, seen, state


@dataclass(frozen=True)
class Fixed:
    """Always says the same."""

    wish: Recommendation

    def recommend(self, situation: Situation) -> Recommendation:
        return self.wish


SITUATION = Situation(seen(agent(1)), 4, NOW, frozenset({"agent-1"}))

UP = Recommendation("up", "busy", (Verdict("cpu_above", 80, 70, True),))
UP_TO_7 = Recommendation("up", "very busy", wanted=7)
UP_TO_5 = Recommendation("up", "a bit busy", wanted=5)
STAY = Recommendation("none", "fine", (Verdict("load", 50, 60, False),))
BLOCKED = Recommendation("none", "nobody knows", blocked_by="missing_metrics")
DOWN = Recommendation("down", "idle")
DOWN_TO_1 = Recommendation("down", "very idle", wanted=1)
SILENT = Recommendation("none", "not now", silent=True)


def combined(*wishes: Recommendation) -> Recommendation:
    names = "abcdef"
    policies = [(names[place], Fixed(wish)) for place, wish in enumerate(wishes)]
    return CombinedPolicy(policies).recommend(SITUATION)


@pytest.mark.parametrize(
    ("wishes", "direction", "target", "reason"),
    [
        ((UP, UP_TO_7, DOWN), "up", 7, "b: very busy"),
        ((DOWN_TO_1, UP), "up", 5, "b: busy"),
        ((UP, UP_TO_5), "up", 5, "a: busy"),
        ((UP_TO_5, UP), "up", 5, "a: a bit busy"),
        ((STAY, DOWN_TO_1), "none", 4, "a: fine"),
        ((DOWN, STAY), "none", 4, "b: fine"),
        ((DOWN_TO_1, DOWN), "down", 3, "b: idle"),
        ((SILENT, DOWN_TO_1), "down", 1, "b: very idle"),
        ((SILENT, UP), "up", 5, "b: busy"),
        ((SILENT, SILENT), "none", 4, "a: not now"),
        ((DOWN, BLOCKED), "none", 4, "b: nobody knows"),
        ((STAY, BLOCKED), "none", 4, "b: nobody knows"),
        ((BLOCKED, UP), "up", 5, "b: busy"),
    ],
)
def test_the_most_agents_that_anyone_asks_for(
    wishes: tuple[Recommendation, ...], direction: str, target: int, reason: str
) -> None:
    wish = combined(*wishes)
    assert (wish.direction, wish.target(4), wish.reason) == (direction, target, reason)


def test_what_blocks_the_winner_is_told() -> None:
    assert combined(DOWN, BLOCKED).blocked_by == "missing_metrics"
    assert combined(BLOCKED, UP).blocked_by is None


def test_the_narrowest_bounds_hold_also_those_of_a_silent_policy() -> None:
    wish = combined(
        Recommendation("none", "", low=1, high=9, silent=True),
        Recommendation("up", "", low=3),
        Recommendation("none", "", high=6),
    )
    assert (wish.low, wish.high) == (3, 6)
    assert (combined(UP, STAY).low, combined(UP, STAY).high) == (None, None)
    other = combined(UP, Recommendation("none", "", low=2, high=5))
    assert (other.low, other.high) == (2, 5)


def test_all_verdicts_are_kept_with_the_policy_that_gave_them() -> None:
    assert combined(UP, STAY).verdicts == (
        Verdict("a.cpu_above", 80, 70, True),
        Verdict("b.load", 50, 60, False),
    )


@pytest.mark.parametrize(
    ("load", "hour", "expected"),
    [
        (90.0, 3, 3),  # the load alone, at night
        (90.0, 12, 4),  # the schedule asks for more
        (10.0, 3, 1),
        (10.0, 12, 4),
    ],
)
def test_a_schedule_and_the_load_together(load: float, hour: int, expected: int) -> None:
    policy = policy_from(
        {
            "scaling_policies": [
                {"policy": "target_tracking", "target": 60},
                {
                    "policy": "scheduled",
                    "schedules": [{"cron": "0 8 * * *", "duration_s": 36_000, "desired": 4}],
                },
            ]
        }
    )
    now = 20_000 * 86_400.0 + hour * 3600
    agents = [agent(n, cpu_percent=load) for n in (1, 2)]
    decision = decide(policy, seen(*agents), state(2), now, limits(1, 9))
    assert decision.desired == expected
