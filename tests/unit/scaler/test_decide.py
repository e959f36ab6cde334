# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.scaler.decide import decide
from clusterops.scaler.model import ActionKind, Agent, Lease
from clusterops.scaler.policies.threshold import ThresholdPolicy
from tests.unit.scaler.builders import LIMITS, NOW, agent, limits, seen, state

POLICY = ThresholdPolicy()


def loaded(cpu: float | None, memory: float | None, count: int = 2) -> list[Agent]:
    return [agent(n, cpu_percent=cpu, memory_percent=memory) for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("cpu", "memory", "direction"),
    [
        (70, 80, "none"),
        (70.1, 0, "up"),
        (0, 80.1, "up"),
        (100, 100, "up"),
        (30, 0, "none"),
        (0, 40, "none"),
        (29.9, 39.9, "down"),
        (29.9, 50, "none"),
        (50, 39, "none"),
    ],
)
def test_the_thresholds_are_where_the_design_puts_them(
    cpu: float, memory: float, direction: str
) -> None:
    decision = decide(POLICY, seen(*loaded(cpu, memory)), state(2), NOW, LIMITS)
    assert decision.direction == direction
    assert decision.desired == 2 + {"up": 1, "down": -1, "none": 0}[direction]


def test_up_counts_an_agent_without_metrics_as_idle() -> None:
    agents = [
        agent(1, cpu_percent=100.0),
        agent(2, cpu_percent=None, memory_percent=None),
    ]
    assert decide(POLICY, seen(*agents), state(2), NOW, LIMITS).direction == "none"
    hot = [agent(1, cpu_percent=100.0), agent(2, cpu_percent=90.0), agents[1]]
    hot[2] = replace(agents[1], name="agent-3", number=3)
    assert decide(POLICY, seen(*hot), state(3), NOW, LIMITS).desired == 3 + (190 / 3 > 70)


def test_never_down_while_metrics_are_missing() -> None:
    agents = [
        agent(1, cpu_percent=1.0, memory_percent=1.0),
        agent(2, cpu_percent=None, memory_percent=None),
    ]
    decision = decide(POLICY, seen(*agents), state(2), NOW, LIMITS)
    assert (decision.desired, decision.blocked_by) == (2, "missing_metrics")
    assert "agent-2" in decision.reason


@pytest.mark.parametrize(
    ("cpu", "changes", "count", "desired", "guard"),
    [
        (90, {"last_scaling_at": NOW - 29}, 2, 2, "cooldown"),
        (90, {"last_scaling_at": NOW - 30}, 2, 3, None),
        (90, {"last_scaling_at": NOW + 1000}, 2, 3, None),  # the clock was set back
        (10, {"last_scaling_at": NOW - 1}, 2, 2, "cooldown"),
        (90, {}, 4, 4, "max"),
        (10, {}, 1, 1, "min"),
        (10, {"floor": 2, "floor_until": NOW + 1}, 2, 2, "hold_floor"),
        (10, {"floor": 2, "floor_until": NOW}, 2, 1, None),
        (90, {"floor": 2, "floor_until": NOW + 1}, 2, 3, None),
        (90, {"lease": Lease("up", NOW + 1)}, 2, 2, "held"),
        (90, {"lease": Lease("up", NOW)}, 2, 3, None),
    ],
)
def test_guards_have_names(
    cpu: float, changes: dict[str, object], count: int, desired: int, guard: str | None
) -> None:
    decision = decide(POLICY, seen(*loaded(cpu, 10, count)), state(count, **changes), NOW, LIMITS)
    assert (decision.desired, decision.blocked_by) == (desired, guard)


@pytest.mark.parametrize(
    ("cpu", "changes", "count", "words"),
    [
        (10, {}, 1, ", but 1 agent is the minimum"),
        (90, {}, 4, ", but 4 agents is the maximum"),
        (10, {"floor": 2, "floor_until": NOW + 9}, 2, ", but 2 agents were asked for (9 s left)"),
        (10, {"last_scaling_at": NOW - 10}, 2, ", but the cooldown lasts 20 s more"),
    ],
)
def test_guards_speak_plainly(
    cpu: float, changes: dict[str, object], count: int, words: str
) -> None:
    decision = decide(POLICY, seen(*loaded(cpu, 10, count)), state(count, **changes), NOW, LIMITS)
    assert decision.reason.endswith(words)


def test_one_agent_is_not_spoken_of_as_many() -> None:
    lone = limits(0, 1)
    most = decide(POLICY, seen(*loaded(90, 10, 1)), state(1), NOW, lone)
    assert most.reason.endswith("but 1 agent is the maximum")
    floor = state(1, floor=1, floor_until=NOW + 5)
    asked = decide(POLICY, seen(*loaded(10, 10, 1)), floor, NOW, lone)
    assert asked.reason.endswith("but 1 agent was asked for (5 s left)")
    moved = decide(POLICY, seen(*loaded(50, 50, 2)), state(2), NOW, lone)
    assert moved.reason == "the limits are now 0 to 1 agent"


def test_no_further_growth_until_the_last_agent_came() -> None:
    decision = decide(POLICY, seen(*loaded(90, 10, 1)), state(2), NOW, LIMITS)
    assert decision.blocked_by == "converging"


def test_growth_that_is_no_longer_needed_is_given_up() -> None:
    assert decide(POLICY, seen(*loaded(5, 5, 1)), state(2), NOW, LIMITS).desired == 1


def test_moved_limits_move_what_is_wanted() -> None:
    narrow = limits(2, 3)
    assert decide(POLICY, seen(*loaded(50, 50, 1)), state(1), NOW, narrow).desired == 2
    assert decide(POLICY, seen(*loaded(50, 50, 4)), state(4), NOW, narrow).desired == 3


def test_a_safety_stop_changes_nothing() -> None:
    decision = decide(
        POLICY, seen(*loaded(99, 99)), state(2), NOW, LIMITS, safety_stop="many_unhealthy"
    )
    assert (decision.desired, decision.blocked_by) == (2, "many_unhealthy")


percents = st.none() | st.floats(0, 100)


@given(
    loads=st.lists(st.tuples(percents, percents), max_size=4),
    desired=st.integers(-3, 60),
    low=st.integers(0, 4),
    span=st.integers(0, 4),
    last=st.floats(0, 2 * NOW),
    floor=st.integers(0, 9),
    floor_until=st.floats(NOW - 100, NOW + 100),
    held=st.booleans(),
    acting=st.sampled_from([None, "scale_up", "scale_down"]),
)
def test_decisions_keep_every_promise(
    loads: list[tuple[float | None, float | None]],
    desired: int,
    low: int,
    span: int,
    last: float,
    floor: int,
    floor_until: float,
    held: bool,
    acting: ActionKind | None,
) -> None:
    fences = limits(low, max(low + span, 1))
    agents = [
        agent(n, cpu_percent=cpu, memory_percent=memory) for n, (cpu, memory) in enumerate(loads, 1)
    ]
    before = state(
        desired,
        last_scaling_at=last,
        floor=floor,
        floor_until=floor_until,
        lease=Lease("up", NOW + 1) if held else None,
    )
    decision = decide(POLICY, seen(*agents), before, NOW, fences, acting=acting)
    assert fences.agents_min <= decision.desired <= fences.agents_max
    if fences.agents_min <= desired <= fences.agents_max:
        assert abs(decision.desired - desired) <= 1  # one agent at a time
        if decision.desired != desired:
            assert not held and not acting
            assert not NOW - 30 < last <= NOW
        if decision.desired < desired:
            assert all(a.has_metrics for a in agents)
            assert not (floor_until > NOW and decision.desired < floor)
    assert (decision.direction == "none") == (decision.desired == desired)
    assert decision.reason
