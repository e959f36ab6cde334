# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from clusterops.scaler.policies.step import StepPolicy
from clusterops.scaler.policy import Recommendation, Situation, Verdict
from tests.unit.scaler.builders import NOW, agent, seen

STEPS: dict[str, Any] = {
    # Not in order on purpose.
    "up": [{"above": 90, "add": 5}, {"above": 70, "add": 1}, {"above": 80, "add": 3}],
    "down": [{"below": 10, "remove": 2}, {"below": 30, "remove": 1}],
}


def situation(loads: list[float | None], desired: int = 4, cold: tuple[int, ...] = ()) -> Situation:
    """Agents with this CPU load; None has no metrics, ``cold`` ones have only just come."""
    agents = [
        agent(n, cpu_percent=load, memory_percent=None if load is None else 50.0)
        for n, load in enumerate(loads, 1)
    ]
    warm = frozenset(a.name for a in agents if a.number not in cold)
    return Situation(seen(*agents), desired, NOW, warm)


@pytest.mark.parametrize(
    ("load", "direction", "wanted"),
    [
        (100, "up", 9),
        (90.1, "up", 9),
        (90, "up", 7),
        (80, "up", 5),
        (70, "none", None),
        (30, "none", None),
        (29.9, "down", 3),
        (10, "down", 3),
        (9.9, "down", 2),
        (0, "down", 2),
    ],
)
def test_the_outermost_step_that_is_passed_decides(
    load: float, direction: str, wanted: int | None
) -> None:
    wish = StepPolicy(**STEPS).recommend(situation([load] * 4))
    assert (wish.direction, wish.wanted) == (direction, wanted)


@pytest.mark.parametrize(("load", "wanted"), [(71, 5), (86, 6), (50, 4), (29, 3)])
def test_default_steps(load: float, wanted: int) -> None:
    assert StepPolicy().recommend(situation([load] * 4)).target(4) == wanted


@pytest.mark.parametrize(
    ("loads", "cold", "wanted", "blocked"),
    [
        ([100, 100, 100, None], (), 5, None),  # 75 % with an idle one, not 100 %
        ([100, 90, None], (), 4, None),
        ([1, 1, None], (), 4, "missing_metrics"),
        ([None, None], (), 4, "missing_metrics"),
        ([50, None], (), 4, None),
        ([1, 1, 1, 1], (4,), 3, None),  # 25.75 % with a fully busy one, not 1 %
        ([1, 1], (2,), 4, None),
        ([50, 50], (1, 2), 4, None),
        ([], (), 4, None),
    ],
)
def test_agents_without_metrics_count_on_the_safe_side(
    loads: list[float | None], cold: tuple[int, ...], wanted: int, blocked: str | None
) -> None:
    wish = StepPolicy(**STEPS).recommend(situation(loads, cold=cold))
    assert (wish.target(4), wish.blocked_by) == (wanted, blocked)


@pytest.mark.parametrize(
    ("loads", "reason"),
    [
        ([95, 95], "average CPU 95 % is above 90 %: 5 agents more"),
        ([20, 20], "average CPU 20 % is below 30 %: 1 agent fewer"),
        ([50, 50], "average CPU 50 % is between the steps"),
        (
            [20, None],
            "average CPU 20 % is below 30 %, but no metrics that count from agent-2",
        ),
        ([90, None], "average CPU 90 %, but no metrics that count from agent-2"),
        ([], "no agent is in service, so there is no load to judge"),
    ],
)
def test_says_why(loads: list[float | None], reason: str) -> None:
    assert StepPolicy(**STEPS).recommend(situation(loads)).reason == reason


def test_every_step_gives_its_verdict() -> None:
    verdicts = StepPolicy(**STEPS).recommend(situation([85, 85])).verdicts
    assert [(v.rule, v.limit, v.fired) for v in verdicts] == [
        ("cpu_above", 70, True),
        ("cpu_above", 80, True),
        ("cpu_above", 90, False),
        ("cpu_below", 30, False),
        ("cpu_below", 10, False),
    ]
    assert {v.value for v in verdicts} == {85}


def test_never_asks_for_fewer_than_none() -> None:
    assert StepPolicy(**STEPS).recommend(situation([0], desired=1)).wanted == 0


def test_one_side_alone_will_do() -> None:
    only_up = StepPolicy(up=[{"above": 50, "add": 1}], down=[])
    assert only_up.recommend(situation([0, 0])).direction == "none"
    only_down = StepPolicy(up=(), down=[{"below": 50, "remove": 1}])
    assert only_down.recommend(situation([100, 100])).direction == "none"
    assert only_down.recommend(situation([0, 0])).direction == "down"


@pytest.mark.parametrize(
    ("metric", "values", "limit"),
    [("memory", {"memory_percent": 75.0}, 70), ("in_flight", {"in_flight": 300}, 250)],
)
def test_other_metrics(metric: str, values: dict[str, Any], limit: float) -> None:
    agents = [agent(n, **values) for n in (1, 2)]
    policy = StepPolicy(metric=metric, up=[{"above": limit, "add": 2}], agents_max=9)
    wish = policy.recommend(Situation(seen(*agents), 2, NOW, frozenset(a.name for a in agents)))
    assert wish.target(2) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "disk"}, "metric: found 'disk'; allowed: cpu, memory, in_flight"),
        ({"up": [], "down": []}, "up, down: found no step; allowed is at least one"),
        (
            {"up": None},
            "up: found None; allowed is a list of steps, each with the keys above and add",
        ),
        (
            {"up": [{"above": 70}]},
            "up[0]: found {'above': 70}; allowed are exactly the keys above and add",
        ),
        (
            {"down": [{"below": 3, "remove": 1, "x": 1}]},
            "down[0]: found {'below': 3, 'remove': 1, 'x': 1}; "
            "allowed are exactly the keys below and remove",
        ),
        ({"up": ["a"]}, "up[0]: found 'a'; allowed are exactly the keys above and add"),
        (
            {"up": [{"above": "70", "add": 1}]},
            "up[0].above: found '70'; allowed is a number above 0, at most 100 (percent)",
        ),
        (
            {"up": [{"above": 70, "add": 0}]},
            "up[0].add: found 0; allowed is a whole number from 1",
        ),
        (
            {"up": [{"above": 70, "add": 1.5}]},
            "up[0].add: found 1.5; allowed is a whole number from 1",
        ),
        (
            {"down": [{"below": 30, "remove": True}]},
            "down[0].remove: found True; allowed is a whole number from 1",
        ),
        (
            {"up": [{"above": 70, "add": 3}, {"above": 80, "add": 2}]},
            "up: found 2 agents at above: 80; allowed is at least 3, as at above: 70",
        ),
        (
            {"down": [{"below": 10, "remove": 1}, {"below": 20, "remove": 2}]},
            "down: found 1 agent at below: 10; allowed is at least 2, as at below: 20",
        ),
        (
            {"up": [{"above": 70, "add": 1}, {"above": 70, "add": 2}]},
            "up: found above: 70 twice; allowed is once",
        ),
        (
            {"down": [{"below": 70, "remove": 1}]},
            "down: found below: 70; allowed is less than the lowest 'above', 70",
        ),
    ],
)
def test_steps_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        StepPolicy(**options)
    assert str(refused.value) == message


def test_without_agents_or_their_metrics_nothing_is_wished_for() -> None:
    policy = StepPolicy()
    assert policy.recommend(situation([])) == Recommendation(
        "none", "no agent is in service, so there is no load to judge"
    )
    verdicts = (
        Verdict("cpu_above", None, 70, False),
        Verdict("cpu_above", None, 85, False),
        Verdict("cpu_below", None, 30, False),
    )
    silence = "no metrics that count from agent-1"
    assert policy.recommend(situation([None])) == Recommendation(
        "none", silence, verdicts, "missing_metrics"
    )
    assert policy.recommend(situation([90.0], cold=(1,))) == Recommendation(
        "none", silence, verdicts
    )


def test_a_step_gives_its_whole_answer() -> None:
    policy = StepPolicy(up=[{"above": 70, "add": 1}], down=[{"below": 30, "remove": 2}])
    hot = (Verdict("cpu_above", 90.0, 70, True), Verdict("cpu_below", 90.0, 30, False))
    assert policy.recommend(situation([90.0])) == Recommendation(
        "up", "average CPU 90 % is above 70 %: 1 agent more", hot, wanted=5
    )
    cold = (Verdict("cpu_above", 20.0, 70, False), Verdict("cpu_below", 20.0, 30, True))
    assert policy.recommend(situation([20.0])) == Recommendation(
        "down", "average CPU 20 % is below 30 %: 2 agents fewer", cold, wanted=2
    )
    fine = (Verdict("cpu_above", 50.0, 70, False), Verdict("cpu_below", 50.0, 30, False))
    assert policy.recommend(situation([50.0])) == Recommendation(
        "none", "average CPU 50 % is between the steps", fine
    )


def test_the_steps_may_meet_but_not_overlap() -> None:
    up, down = [{"above": 50, "add": 1}], [{"below": 49.9, "remove": 1}]
    assert StepPolicy(up=up, down=down).recommend(situation([49.95])).direction == "none"
    with pytest.raises(ValueError, match=r"^down: found below: 50; allowed is less than the low"):
        StepPolicy(up=up, down=[{"below": 50, "remove": 1}])
    with pytest.raises(ValueError, match=r"^up, down: found no step; allowed is at least one$"):
        StepPolicy(up=[], down=[])


def test_who_does_not_tell_keeps_the_agents_and_has_the_verdicts_all_the_same() -> None:
    policy = StepPolicy(up=[{"above": 70, "add": 1}], down=[{"below": 30, "remove": 2}])
    verdicts = (Verdict("cpu_above", 10.0, 70, False), Verdict("cpu_below", 60.0, 30, False))
    assert policy.recommend(situation([20.0, None])) == Recommendation(
        "none",
        "average CPU 20 % is below 30 %, but no metrics that count from agent-2",
        verdicts,
        "missing_metrics",
    )
    verdicts = (Verdict("cpu_above", 15.0, 70, False), Verdict("cpu_below", 65.0, 30, False))
    assert policy.recommend(situation([30.0, None])) == Recommendation(
        "none", "average CPU 30 % is between the steps", verdicts
    )


def test_at_the_limit_no_step_is_passed() -> None:
    policy = StepPolicy(up=[{"above": 70, "add": 1}], down=[{"below": 30, "remove": 2}])
    for load in (70.0, 30.0):
        wish = policy.recommend(situation([load]))
        assert [verdict.fired for verdict in wish.verdicts] == [False, False]


def test_limits_have_the_unit_of_their_metric() -> None:
    policy = StepPolicy(metric="in_flight", up=[{"above": 250, "add": 2}], down=[])
    wish = policy.recommend(Situation(seen(agent(1, in_flight=300)), 1, NOW, frozenset()))
    assert wish.reason == "an average of 300.0 requests in flight is above 250: 2 agents more"


def test_requests_in_flight_have_no_highest_limit_on_either_side() -> None:
    policy = StepPolicy(
        metric="in_flight", up=[{"above": 300, "add": 1}], down=[{"below": 250, "remove": 1}]
    )
    wish = policy.recommend(Situation(seen(agent(1, in_flight=200)), 1, NOW, frozenset()))
    assert wish.direction == "down"


def test_steps_may_add_equally_many() -> None:
    policy = StepPolicy(up=[{"above": 70, "add": 1}, {"above": 80, "add": 1}])
    assert policy.recommend(situation([90.0])).wanted == 5


def test_at_the_highest_step_those_who_do_not_tell_do_not_matter() -> None:
    policy = StepPolicy(up=[{"above": 70, "add": 1}], down=[])
    reason = policy.recommend(situation([70.0, None])).reason
    assert reason == "average CPU 70 % is between the steps"
