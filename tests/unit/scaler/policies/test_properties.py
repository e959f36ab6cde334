# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every policy, whatever its options and whatever is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterops.scaler.decide import decide
from clusterops.scaler.model import Agent
from clusterops.scaler.policies.combined import CombinedPolicy
from clusterops.scaler.policies.scheduled import ScheduledPolicy
from clusterops.scaler.policies.step import StepPolicy
from clusterops.scaler.policies.target_tracking import TargetTrackingPolicy
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.policy import Policy, Situation
from tests.unit.scaler.builders import NOW, agent, limits, seen, state

# A busy machine may be slow for a moment.
quick = settings(max_examples=100, deadline=None)

percents = st.floats(0, 100)
Maker = Callable[[], Policy]


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Up to eight agents in service, some of them without metrics, some only just come."""
    agents, warm = [], set()
    for number in range(1, draw(st.integers(0, 8)) + 1):
        told = draw(st.booleans() | st.just(True))
        agents.append(
            agent(
                number,
                cpu_percent=draw(percents) if told else None,
                memory_percent=draw(percents) if told else None,
                in_flight=draw(st.integers(0, 40)),
            )
        )
        if draw(st.booleans() | st.just(True)):
            warm.add(agents[-1].name)
    now = draw(st.floats(0, 4e9))
    return Situation(seen(*agents), draw(st.integers(0, 12)), now, frozenset(warm))


metrics = st.sampled_from(["cpu", "memory", "in_flight"])


@st.composite
def thresholds(draw: st.DrawFn) -> Maker:
    cpu, memory = (sorted((draw(percents), draw(percents))) for _ in range(2))
    return lambda: ThresholdPolicy(
        scale_down_cpu_percent=cpu[0],
        scale_up_cpu_percent=cpu[1],
        scale_down_memory_percent=memory[0],
        scale_up_memory_percent=memory[1],
    )


@st.composite
def target_trackings(draw: st.DrawFn) -> Maker:
    options: dict[str, Any] = {
        "metric": draw(metrics),
        "target": draw(st.floats(1, 60)),
        "tolerance": draw(st.floats(0, 0.6)),
    }
    return lambda: TargetTrackingPolicy(**options)


@st.composite
def steps(draw: st.DrawFn) -> Maker:
    edges = sorted(draw(st.sets(st.integers(1, 99), min_size=2, max_size=6)))
    middle = draw(st.integers(0, len(edges)))
    sizes = sorted(draw(st.lists(st.integers(1, 5), min_size=6, max_size=6)))
    up = [{"above": edge, "add": size} for edge, size in zip(edges[middle:], sizes, strict=False)]
    down = [
        {"below": edge, "remove": size}
        for edge, size in zip(reversed(edges[:middle]), sizes, strict=False)
    ]
    metric = draw(metrics)
    return lambda: StepPolicy(metric=metric, up=up, down=down)


@st.composite
def schedules(draw: st.DrawFn) -> Maker:
    entries = []
    for _ in range(draw(st.integers(1, 3))):
        low, desired, high = sorted(draw(st.tuples(*[st.integers(0, 12)] * 3)))
        counts = {"min": low, "desired": desired, "max": high}
        kept = draw(st.sets(st.sampled_from(sorted(counts)), min_size=1))
        entries.append(
            {
                "cron": draw(
                    st.sampled_from(["0 8 * * 1-5", "30 2 * * *", "*/15 * * * *", "0 0 29 2 *"])
                ),
                "time_zone": draw(
                    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata"])
                ),
                "duration_s": draw(st.integers(60, 604_800)),
                **{key: counts[key] for key in kept},
            }
        )
    return lambda: ScheduledPolicy(schedules=entries)


by_load = thresholds() | target_trackings() | steps()
single = by_load | schedules()
named = st.lists(single, min_size=1, max_size=4)


def together(makers: list[Maker]) -> CombinedPolicy:
    return CombinedPolicy([(f"policy-{place}", make()) for place, make in enumerate(makers)])


@settings(quick, max_examples=60)
@given(named, situations(), situations())
def test_the_same_situation_always_gets_the_same_answer(
    makers: list[Maker], situation: Situation, other: Situation
) -> None:
    every: list[Maker] = [*makers, lambda: together(makers)]
    for make in every:
        policy = make()
        first = policy.recommend(situation)
        policy.recommend(other)
        assert policy.recommend(situation) == first == make().recommend(situation)
        assert first.reason


@quick
@given(by_load, st.lists(single, max_size=2), situations(), st.data())
def test_never_fewer_while_an_agent_does_not_tell(
    make: Maker, others: list[Maker], situation: Situation, data: st.DataObject
) -> None:
    mute = agent(9, cpu_percent=data.draw(st.none() | percents), memory_percent=None)
    agents = (*situation.observation.agents, mute)
    situation = replace(
        situation,
        observation=replace(situation.observation, agents=agents),
        warm=situation.warm | {mute.name},
    )
    for policy in (make(), together([*others, make])):
        wish = policy.recommend(situation)
        assert wish.direction != "down"
        assert wish.target(situation.desired) >= situation.desired


@quick
@given(single, situations())
def test_no_policy_gets_fewer_while_an_agent_does_not_tell(
    make: Maker, situation: Situation
) -> None:
    mute = agent(9, cpu_percent=None, memory_percent=None)
    agents = (*situation.observation.agents, mute)
    observation = replace(situation.observation, agents=agents)
    before = state(min(situation.desired, 12))
    policy = make()
    decision = decide(policy, observation, before, situation.now, limits(0, 12))
    high = policy.recommend(situation).high
    # A schedule's bounds hold whatever is known; its wish does not.
    assert decision.desired >= (before.desired if high is None else min(before.desired, high))


def raised(agents: tuple[Agent, ...], data: st.DataObject) -> tuple[Agent, ...]:
    """Every agent as busy as before, or busier."""

    def more(value: float | None) -> float | None:
        return None if value is None else data.draw(st.floats(value, 100))

    return tuple(
        replace(
            one,
            cpu_percent=more(one.cpu_percent),
            memory_percent=more(one.memory_percent),
            in_flight=one.in_flight + data.draw(st.integers(0, 10)),
        )
        for one in agents
    )


@quick
@given(by_load, st.lists(by_load, max_size=2), situations(), st.data())
def test_more_load_never_asks_for_fewer_agents(
    make: Maker, others: list[Maker], situation: Situation, data: st.DataObject
) -> None:
    busier = replace(
        situation,
        observation=replace(
            situation.observation, agents=raised(situation.observation.agents, data)
        ),
    )
    for policy in (make(), together([make, *others])):
        before = policy.recommend(situation).target(situation.desired)
        assert policy.recommend(busier).target(situation.desired) >= before


@quick
@given(named, situations())
def test_together_never_fewer_than_any_one_with_an_opinion(
    makers: list[Maker], situation: Situation
) -> None:
    desired = situation.desired
    opinions = [wish for make in makers if not (wish := make().recommend(situation)).silent]
    target = together(makers).recommend(situation).target(desired)
    assert target == max((wish.target(desired) for wish in opinions), default=desired)


@quick
@given(
    total=st.floats(0, 2000),
    target=st.floats(5, 60),
    tolerance=st.floats(0, 0.5),
    first=st.integers(1, 30),
)
def test_target_tracking_settles_and_stays(
    total: float, target: float, tolerance: float, first: int
) -> None:
    policy = TargetTrackingPolicy(target=target, tolerance=tolerance)
    counts = [first]
    for _ in range(15):
        count = counts[-1]
        agents = [agent(n, cpu_percent=min(total / count, 100.0)) for n in range(1, count + 1)]
        names = frozenset(one.name for one in agents)
        wish = policy.recommend(Situation(seen(*agents), count, NOW, names))
        counts.append(max(wish.target(count), 1))
    assert counts[-1] == counts[-2]
    steps_taken = [after - before for before, after in pairwise(counts)]
    assert all(s >= 0 for s in steps_taken) or all(s <= 0 for s in steps_taken)
    settled = counts[-1]
    assert total / settled <= target * (1 + tolerance) * (1 + 1e-6)
    # And not more agents than are needed: with one fewer, the load would be above the target.
    assert (
        settled == 1
        or total / (settled - 1) >= target * (1 - 1e-6)
        or total / settled >= target * (1 - tolerance) * (1 - 1e-6)
    )


@quick
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    duration_s=st.integers(60, 200_000),
    now=st.floats(0, 4e9),
)
def test_a_daily_schedule_is_active_for_its_duration_each_day(
    minute: int, hour: int, duration_s: int, now: float
) -> None:
    policy = ScheduledPolicy(
        schedules=[{"cron": f"{minute} {hour} * * *", "duration_s": duration_s, "desired": 3}]
    )
    since = (now - hour * 3600 - minute * 60) % 86_400
    wish = policy.recommend(Situation(seen(), 3, now, frozenset()))
    assert wish.silent == (since >= duration_s)
