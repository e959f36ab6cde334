# SPDX-License-Identifier: GPL-3.0-or-later
"""Each guard blocks by its name, and lets pass what it is not about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from clusterops.scaler.decide import Decision, decide
from clusterops.scaler.guards import Guard, against_down, against_up
from clusterops.scaler.memory import NO_MEMORY, Memory
from clusterops.scaler.model import ActionKind, Lease, Limits, Observation, Rate
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.policy import Direction, Recommendation, Situation
from tests.unit.scaler.builders import NOW, agent, limits, seen, state


class Wish:
    """A policy that always says the same."""

    def __init__(self, direction: Direction, wanted: int | None = None, **more: int) -> None:
        self.answer = Recommendation(direction, "it says so", wanted=wanted, **more)  # type: ignore[arg-type]

    def recommend(self, situation: Situation) -> Recommendation:
        return self.answer


WIDE = limits(1, 50, 0)


def look(count: int) -> Observation:
    return seen(*(agent(n) for n in range(1, count + 1)))


def decided(
    wish: Wish,
    count: int,
    fences: Limits = WIDE,
    memory: Memory = NO_MEMORY,
    now: float = NOW,
    **more: object,
) -> Decision:
    return decide(wish, look(count), state(count, **more), now, fences, memory)


def test_several_at_once_as_far_as_the_rate_allows() -> None:
    assert decided(Wish("up", 10), 2).desired == 6  # 4, or 100 %
    assert decided(Wish("up", 50), 10).desired == 20
    assert decided(Wish("up", 3), 2).desired == 3
    assert decided(Wish("down", 1), 10).desired == 9
    half = replace(WIDE, down_rate=Rate(1, 50.0))
    assert decided(Wish("down", 1), 10, half).desired == 5


def test_the_rate_counts_what_was_done_within_the_period() -> None:
    first = decided(Wish("up", 10), 2)
    assert first.desired == 6
    soon = decided(Wish("up", 10), 6, memory=first.memory, now=NOW + 10)
    assert (soon.desired, soon.blocked_by) == (6, "rate")
    later = decided(Wish("up", 10), 6, memory=first.memory, now=NOW + 16)
    assert later.desired == 10


def test_down_waits_until_the_load_was_low_for_the_whole_window() -> None:
    fences = replace(WIDE, stabilization_down_s=60.0)
    memory, blocked = NO_MEMORY, []
    for second in range(0, 61, 10):
        wish = Wish("none") if second == 0 else Wish("down", 2)
        decision = decided(wish, 3, fences, memory, NOW + second)
        memory = decision.memory
        blocked.append(decision.blocked_by)
    assert blocked == [None, *["stabilization"] * 5, None]
    assert decision.desired == 2


def test_down_goes_to_the_most_that_was_wished_for_lately() -> None:
    fences = replace(WIDE, stabilization_down_s=60.0, down_rate=Rate(50))
    memory = decided(Wish("down", 4), 9, replace(fences, dry_run=True)).memory
    assert decided(Wish("down", 1), 9, fences, memory, NOW + 10).desired == 4


def test_up_goes_to_the_least_that_was_wished_for_lately() -> None:
    fences = replace(WIDE, stabilization_up_s=30.0)
    memory = decided(Wish("none"), 2, fences).memory
    second = decided(Wish("up", 5), 2, fences, memory, NOW + 10)
    assert second.blocked_by == "stabilization"
    assert decided(Wish("up", 4), 2, fences, second.memory, NOW + 31).desired == 4


def test_a_new_agents_metrics_do_not_count_until_it_is_warm() -> None:
    fences = replace(limits(1, 4, 0), warmup_s=15.0)
    policy = ThresholdPolicy()
    memory = decide(policy, look(1), state(1), NOW, fences, NO_MEMORY).memory
    hot = seen(agent(1, cpu_percent=80.0), agent(2, cpu_percent=100.0))
    early = decide(policy, hot, state(2), NOW + 5, fences, memory)
    assert (early.desired, early.blocked_by) == (2, "warm_up")
    assert "agent-2 came less than 15 s ago" in early.reason
    late = decide(policy, hot, state(2), NOW + 21, fences, early.memory)
    assert late.desired == 3
    # Nor is it taken for idle on the way down.
    cold = seen(
        agent(1, cpu_percent=20.0, memory_percent=5.0), agent(2, cpu_percent=0, memory_percent=0)
    )
    assert decide(policy, cold, state(2), NOW + 5, fences, memory).blocked_by == "warm_up"


def test_agents_of_the_first_look_are_warm() -> None:
    fences = replace(limits(1, 4, 0), warmup_s=15.0)
    hot = seen(agent(1, cpu_percent=90.0))
    assert decide(ThresholdPolicy(), hot, state(1), NOW, fences).desired == 2


def test_a_dry_run_says_what_it_would_do() -> None:
    decision = decided(Wish("up", 3), 2, replace(WIDE, dry_run=True))
    assert (decision.desired, decision.direction, decision.blocked_by) == (2, "none", "dry_run")
    assert decision.reason.endswith("this is a dry run: 3 would be wanted")
    clamped = decided(Wish("none"), 2, replace(limits(3, 9), dry_run=True))
    assert (clamped.desired, clamped.blocked_by) == (2, "dry_run")


def test_paused_beats_everything_even_moved_limits() -> None:
    decision = decided(Wish("up"), 2, limits(3, 4), paused=True)
    assert (decision.desired, decision.blocked_by) == (2, "paused")


def test_up_and_down_have_cooldowns_of_their_own() -> None:
    fences = replace(WIDE, cooldown_up_s=10.0, cooldown_down_s=100.0)
    since = {"last_scaling_at": NOW - 50}
    assert decided(Wish("up"), 2, fences, **since).desired == 3
    assert decided(Wish("down"), 2, fences, **since).blocked_by == "cooldown"


@pytest.mark.parametrize(
    ("low", "high", "before", "after"),
    [(3, None, 2, 3), (None, 2, 4, 2), (0, None, 1, 1), (None, 99, 9, 9), (9, 2, 5, 9)],
)
def test_a_policy_narrows_the_limits_and_never_widens_them(
    low: int | None, high: int | None, before: int, after: int
) -> None:
    wish = Wish("none", low=low, high=high)  # type: ignore[arg-type]
    assert decided(wish, before, limits(1, 9)).desired == after


def test_load_that_returns_while_an_agent_drains_need_not_wait() -> None:
    draining = seen(agent(1), agent(2, "draining"))
    before = state(1, last_scaling_at=NOW - 1)
    fences = limits(1, 4)
    again = decide(Wish("up"), draining, before, NOW, fences, acting="scale_down")
    assert again.desired == 2
    # Once it is out of the pool, it is a new action like any other.
    gone = decide(Wish("up"), look(1), before, NOW, fences, acting="scale_down")
    assert gone.blocked_by == "action_in_progress"


def told(
    guard: Callable[..., Iterator[Guard]],
    count: int,
    bound: int,
    acting: ActionKind | None = None,
    look: Observation | None = None,
    fences: Limits = WIDE,
    **more: Any,
) -> list[tuple[str, str]]:
    """Names and words of the guards that object."""
    before = state(count, **more)
    agents = look or seen(*(agent(n) for n in range(1, count + 1)))
    warm = frozenset(one.name for one in agents.agents)
    situation = Situation(agents, count, NOW, warm)
    return [(each.name, each.why) for each in guard(situation, before, fences, bound, acting)]


def test_each_guard_against_more_in_its_words() -> None:
    assert told(against_up, 2, 3) == []
    assert told(against_up, 2, 2) == [("max", "2 agents is the maximum")]
    assert told(against_up, 1, 1) == [("max", "1 agent is the maximum")]
    assert told(against_up, 3, 2) == [("max", "3 agents is the maximum")]
    fewer = seen(agent(1))
    assert told(against_up, 2, 9, look=fewer) == [
        ("converging", "only 1 of 2 agents in service yet")
    ]
    assert told(against_up, 1, 9, look=seen(agent(1), agent(2))) == []
    assert told(against_up, 1, 9, "scale_up") == [
        ("action_in_progress", "an action is in progress")
    ]
    lease = Lease("deploy", NOW + 5)
    assert told(against_up, 1, 9, lease=lease) == [("held", "'deploy' holds the scaler")]
    assert told(against_up, 1, 9, lease=Lease("deploy", NOW)) == []


def test_each_guard_against_fewer_in_its_words() -> None:
    assert told(against_down, 2, 1) == []
    assert told(against_down, 2, 2) == [("min", "2 agents is the minimum")]
    assert told(against_down, 1, 2) == [("min", "1 agent is the minimum")]
    asked = {"floor": 2, "floor_until": NOW + 8}
    assert told(against_down, 2, 1, **asked) == [
        ("hold_floor", "2 agents were asked for (8 s left)")
    ]
    assert told(against_down, 3, 1, **asked) == []
    one = {"floor": 1, "floor_until": NOW + 8}
    assert told(against_down, 1, 0, **one) == [("hold_floor", "1 agent was asked for (8 s left)")]
    more = seen(agent(1), agent(2), agent(3))
    assert told(against_down, 2, 1, look=more) == [("converging", "3 in service, 2 wanted")]
    assert told(against_down, 2, 1, look=seen(agent(1))) == []
    mute = seen(agent(1), agent(2, cpu_percent=None, memory_percent=None))
    assert told(against_down, 2, 1, look=mute) == [("missing_metrics", "metrics are missing")]
    assert told(against_down, 2, 1, "scale_down") == [
        ("action_in_progress", "an action is in progress")
    ]
    lease = Lease("deploy", NOW + 5)
    assert told(against_down, 2, 1, lease=lease) == [("held", "'deploy' holds the scaler")]


@pytest.mark.parametrize(
    ("since_s", "objects"),
    [(0, "the cooldown lasts 30 s more"), (29, "the cooldown lasts 1 s more"), (30, ""), (-1, "")],
)
def test_the_cooldown_lasts_its_time_and_a_clock_that_is_set_back_ends_it(
    since_s: float, objects: str
) -> None:
    expected = [("cooldown", objects)] if objects else []
    fences = limits(1, 9, 30)
    for guard in (against_up, against_down):
        bound = 9 if guard is against_up else 1
        found = told(guard, 2, bound, fences=fences, last_scaling_at=NOW - since_s)
        assert found == expected


def test_only_calling_off_a_drain_need_not_wait() -> None:
    draining = seen(agent(1), agent(2, "draining"))
    fences = limits(1, 9, 30)
    recent = {"last_scaling_at": NOW - 1, "look": draining, "fences": fences}
    assert told(against_up, 1, 9, "scale_down", **recent) == []
    assert [name for name, _ in told(against_up, 1, 9, "scale_up", **recent)] == [
        "action_in_progress",
        "cooldown",
    ]
    assert [name for name, _ in told(against_up, 1, 9, **recent)] == ["cooldown"]
