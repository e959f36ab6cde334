# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from clusterops.scaler.policies.target_tracking import TargetTrackingPolicy
from clusterops.scaler.policy import Recommendation, Situation, Verdict
from tests.unit.scaler.builders import NOW, agent, seen


def situation(
    loads: list[float | None], desired: int | None = None, cold: tuple[int, ...] = ()
) -> Situation:
    """Agents with this CPU load; None has no metrics, ``cold`` ones have only just come."""
    agents = [
        agent(n, cpu_percent=load, memory_percent=None if load is None else 50.0)
        for n, load in enumerate(loads, 1)
    ]
    warm = frozenset(a.name for a in agents if a.number not in cold)
    return Situation(seen(*agents), len(loads) if desired is None else desired, NOW, warm)


@pytest.mark.parametrize(
    ("loads", "direction", "wanted"),
    [
        ([60, 60, 60], "none", None),
        ([66, 66, 66], "none", None),  # just within the tolerance
        ([66.1, 66.1, 66.1], "up", 4),
        ([54, 54, 54], "none", None),
        ([85, 85, 85], "up", 5),
        ([80, 80, 80], "up", 4),
        ([100, 100], "up", 4),
        ([50, 0], "down", 1),
        ([50, 48], "none", None),  # 1.6 agents are still two
        ([30, 30, 30, 30], "down", 2),
        ([1, 1, 1], "down", 1),
        ([1e-12, 0], "down", 1),  # whoever works at all keeps an agent
        ([0, 0], "down", 0),
        ([], "none", None),
    ],
)
def test_wants_as_many_agents_as_bring_the_load_to_the_target(
    loads: list[float | None], direction: str, wanted: int | None
) -> None:
    wish = TargetTrackingPolicy().recommend(situation(loads))
    assert (wish.direction, wish.wanted) == (direction, wanted)


@pytest.mark.parametrize(
    ("load", "target", "tolerance", "wanted"),
    [
        (60.000000001, 60, 0, 3),  # no breach
        (80.000000001, 60, 0.1, 4),
        (80.001, 60, 0.1, 5),
        (49.999999999, 75, 0.1, 2),
        (66.00000000001, 60, 0.1, 3),
    ],
)
def test_the_last_digits_of_a_load_cost_no_agent(
    load: float, target: float, tolerance: float, wanted: int
) -> None:
    policy = TargetTrackingPolicy(target=target, tolerance=tolerance)
    assert policy.recommend(situation([load] * 3)).target(3) == wanted


@pytest.mark.parametrize(
    ("loads", "cold", "direction", "wanted", "blocked"),
    [
        # Up: those that do not tell count as idle.
        ([100, 100, None], (), "up", 4, None),
        ([90, 90, None], (), "none", None, None),  # as high as the target, with an idle one
        ([90, 40, None], (), "none", None, None),  # it would even flip to fewer
        ([100, 100, 100], (3,), "up", 4, None),  # 66.7 %: that of agent-3 does not count yet
        # Down: those that have only just come count as fully busy ...
        ([10, 10, 10], (3,), "down", 2, None),
        ([40, 10], (2,), "none", None, None),  # 70 % would even flip to more
        # ... and those that should tell and do not, forbid it.
        ([10, 10, None], (), "none", None, "missing_metrics"),
        ([None, None], (), "none", None, "missing_metrics"),
        ([None, None], (1, 2), "none", None, None),
        ([60, None], (), "none", None, None),
    ],
)
def test_agents_without_metrics_count_on_the_safe_side(
    loads: list[float | None],
    cold: tuple[int, ...],
    direction: str,
    wanted: int | None,
    blocked: str | None,
) -> None:
    wish = TargetTrackingPolicy().recommend(situation(loads, cold=cold))
    assert (wish.direction, wish.wanted, wish.blocked_by) == (direction, wanted, blocked)


def test_says_who_keeps_it_from_deciding() -> None:
    blocked = TargetTrackingPolicy().recommend(situation([10, None]))
    assert blocked.reason == (
        "average CPU 10 % is 0.17 times the target of 60 %, but no metrics that count from agent-2"
    )
    cold = TargetTrackingPolicy().recommend(situation([90, 90, 90], cold=(2, 3)))
    assert cold.reason.endswith("but no metrics that count from agent-2, agent-3")


def test_growth_under_way_is_not_asked_for_again_but_given_up_when_needless() -> None:
    policy = TargetTrackingPolicy()
    assert policy.recommend(situation([80, 80, 80], desired=5)).target(5) == 5
    idle = policy.recommend(situation([50, 50, 50], desired=5))
    assert (idle.direction, idle.target(5)) == ("down", 3)


@pytest.mark.parametrize(
    ("metric", "values", "target", "reason"),
    [
        ("cpu", {"cpu_percent": 85.0}, 60, "average CPU 85 % is 1.42 times the target of 60 %"),
        (
            "memory",
            {"memory_percent": 90.0},
            60,
            "average memory 90 % is 1.50 times the target of 60 %",
        ),
        (
            "in_flight",
            {"in_flight": 15},
            10,
            "an average of 15.0 requests in flight is 1.50 times the target of 10",
        ),
    ],
)
def test_each_metric_is_tracked_and_named(
    metric: str, values: dict[str, Any], target: float, reason: str
) -> None:
    agents = [agent(n, **values) for n in (1, 2, 3)]
    policy = TargetTrackingPolicy(metric=metric, target=target)
    wish = policy.recommend(Situation(seen(*agents), 3, NOW, frozenset(a.name for a in agents)))
    assert wish.reason == f"{reason}: 5 agents for 3"
    (verdict,) = wish.verdicts
    assert (verdict.rule, verdict.limit, verdict.fired) == (f"{metric}_target", target, True)
    assert verdict.value == next(iter(values.values()))


def test_requests_in_flight_of_new_agents_count_at_once() -> None:
    agents = [agent(1, in_flight=9), agent(2, in_flight=9)]
    policy = TargetTrackingPolicy(metric="in_flight", target=6)
    assert policy.recommend(Situation(seen(*agents), 2, NOW, frozenset())).wanted == 3


def test_the_verdict_says_nothing_fired_within_the_tolerance() -> None:
    (verdict,) = TargetTrackingPolicy().recommend(situation([62, 62])).verdicts
    assert (verdict.value, verdict.limit, verdict.fired) == (62, 60, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "disk"}, "metric: found 'disk'; allowed: cpu, memory, in_flight"),
        ({"metric": ["cpu"]}, "metric: found ['cpu']; allowed: cpu, memory, in_flight"),
        (
            {"target": 0},
            "target: found 0; allowed is a number above 0, at most 100 (percent)",
        ),
        (
            {"target": "60"},
            "target: found '60'; allowed is a number above 0, at most 100 (percent)",
        ),
        (
            {"target": True},
            "target: found True; allowed is a number above 0, at most 100 (percent)",
        ),
        (
            {"target": 101},
            "target: found 101; allowed is a number above 0, at most 100 (percent)",
        ),
        (
            {"target": float("inf"), "metric": "in_flight"},
            "target: found inf; allowed is a number above 0",
        ),
        (
            {"target": 95},
            "target: found 95, which no load exceeds by the tolerance of 0.1; "
            "allowed is less than 90.91",
        ),
        ({"tolerance": -0.1}, "tolerance: found -0.1; allowed is a number from 0 to below 1"),
        ({"tolerance": 1}, "tolerance: found 1; allowed is a number from 0 to below 1"),
        ({"tolerance": None}, "tolerance: found None; allowed is a number from 0 to below 1"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        TargetTrackingPolicy(**options)
    assert str(refused.value) == message


def test_the_scalers_other_settings_are_left_alone() -> None:
    policy = TargetTrackingPolicy(target=250, metric="in_flight", agents_max=9, policy="mine")
    assert policy.target == 250


def test_without_agents_or_their_metrics_nothing_is_wished_for() -> None:
    policy = TargetTrackingPolicy(target=50.0)
    assert policy.recommend(situation([])) == Recommendation(
        "none", "no agent is in service, so there is no load to judge"
    )
    verdicts = (Verdict("cpu_target", None, 50.0, False),)
    assert policy.recommend(situation([None])) == Recommendation(
        "none", "no metrics that count from agent-1", verdicts, "missing_metrics"
    )
    assert policy.recommend(situation([90.0], cold=(1,))) == Recommendation(
        "none", "no metrics that count from agent-1", verdicts
    )


def test_the_last_digits_do_not_exceed_the_tolerance() -> None:
    policy = TargetTrackingPolicy(target=60.0, tolerance=0.1)
    assert policy.recommend(situation([66.000024])).direction == "none"
    assert policy.recommend(situation([66.0001])).direction == "up"


@pytest.mark.parametrize(("load", "judged"), [(90.0, 45.0), (50.0, 25.0), (49.0, 74.5)])
def test_the_verdict_has_the_load_on_the_side_that_it_is_judged_by(
    load: float, judged: float
) -> None:
    [verdict] = TargetTrackingPolicy(target=50.0).recommend(situation([load, None])).verdicts
    assert verdict.value == judged


def test_whole_answers() -> None:
    policy = TargetTrackingPolicy(target=50.0)
    idle = "average CPU 20 % is 0.40 times the target of 50 %"
    fewer = (Verdict("cpu_target", 20.0, 50.0, True),)
    assert policy.recommend(situation([20.0] * 4)) == Recommendation(
        "down", f"{idle}: 2 agents for 4", fewer, wanted=2
    )
    assert policy.recommend(situation([20.0] * 4, desired=2)) == Recommendation(
        "none", f"{idle}: 2 agents for 4", fewer
    )
    silent, unclear = (
        "no metrics that count from agent-2",
        (Verdict("cpu_target", 60.0, 50.0, False),),
    )
    assert policy.recommend(situation([20.0, None])) == Recommendation(
        "none", f"{idle}, but {silent}", unclear, "missing_metrics"
    )
    assert policy.recommend(situation([20.0, 20.0], cold=(2,))) == Recommendation(
        "none", f"{idle}, but {silent}", unclear
    )
    assert policy.recommend(situation([50.0])) == Recommendation(
        "none",
        "average CPU 50 % is 1.00 times the target of 50 %: near enough",
        (Verdict("cpu_target", 50.0, 50.0, False),),
    )
    assert policy.recommend(situation([90.0, 90.0])) == Recommendation(
        "up",
        "average CPU 90 % is 1.80 times the target of 50 %: 4 agents for 2",
        (Verdict("cpu_target", 90.0, 50.0, True),),
        wanted=4,
    )


def test_a_target_that_full_load_only_just_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed is less than 80"):
        TargetTrackingPolicy(target=80.0, tolerance=0.25)
    TargetTrackingPolicy(target=79.9, tolerance=0.25)
