# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from clusterops.scaler.model import Limits, Rate
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.policy import Recommendation, Situation
from clusterops.scaler.simulation.model import AgentModel, Fleet
from clusterops.scaler.simulation.run import Change, Result, flaps, simulate
from clusterops.scaler.simulation.traces import Trace, named_trace

THRESHOLD = ThresholdPolicy()


def limits(low: int, high: int, cooldown_s: float = 30.0, **changes: Any) -> Limits:
    return Limits(low, high, cooldown_s, cooldown_s, warmup_s=15.0, **changes)


def run(trace: Trace, low: int = 1, high: int = 4, **options: Any) -> Result:
    return simulate(THRESHOLD, limits(low, high), trace, **options)


def flat(rate: float, seconds: float = 100.0) -> Trace:
    return Trace("flat", (0.0,), (rate,), seconds)


class Wants:
    """Wants so many agents from a moment on, seconds from the first look."""

    def __init__(self, *plan: tuple[float, int]) -> None:
        self._plan = plan
        self._first: float | None = None
        self.looks: list[Situation] = []

    def recommend(self, situation: Situation) -> Recommendation:
        self.looks.append(situation)
        start = self._first = situation.now if self._first is None else self._first
        wanted = [count for at, count in self._plan if situation.now - start >= at][-1]
        up = wanted > situation.desired
        direction = "up" if up else "down" if wanted < situation.desired else "none"
        return Recommendation(direction, "as planned", wanted=wanted)  # type: ignore[arg-type]


FREE = Limits(0, 9, 0.0, 0.0, up_rate=Rate(9), down_rate=Rate(9))


def test_a_step_ends_with_as_many_agents_as_the_thresholds_call_for() -> None:
    result = run(named_trace("step", 120.0))
    assert result.ticks[0].in_service == 1
    # 120 requests/s are 80 % of 3 agents and 60 % of 4.
    assert (result.ticks[-1].in_service, result.ticks[-1].utilisation) == (4, pytest.approx(0.6))
    converged = next(tick.t for tick in result.ticks if tick.t > 600 and tick.in_service == 4)
    assert converged <= 600 + 3 * 60
    assert all(tick.errors_per_s == 0 for tick in result.ticks if tick.t >= converged)
    assert 0 < result.totals.seconds_with_errors <= converged - 600


def test_a_daily_wave_costs_less_than_a_constant_maximum_and_loses_next_to_nothing() -> None:
    wave = named_trace("daily", 120.0)
    scaled, constant = run(wave), run(wave, low=4)
    assert constant.totals.vm_seconds == 4 * 86_400
    assert scaled.totals.vm_seconds < 0.8 * constant.totals.vm_seconds
    assert scaled.totals.error_share < 0.001
    assert scaled.totals.most_agents == 4
    assert scaled.totals.mean_utilisation > constant.totals.mean_utilisation


def test_the_same_arguments_give_the_same_result() -> None:
    noisy = AgentModel(cpu_noise_percent=5.0)
    trace = named_trace("noise", 120.0, 0.5)
    assert run(trace, model=noisy) == run(trace, model=noisy)
    assert run(trace, model=noisy) != run(trace, model=AgentModel(cpu_noise_percent=5.0, seed=2))


def test_what_is_above_the_capacity_in_service_fails() -> None:
    totals = run(flat(80.0), high=1).totals
    assert totals.requests == pytest.approx(8000)
    assert totals.errors == pytest.approx(3000)
    assert totals.error_share == pytest.approx(0.375)
    assert (totals.seconds_with_errors, totals.mean_utilisation) == (100, 1)


def test_without_agents_every_request_fails() -> None:
    result = simulate(Wants((0, 0)), FREE, flat(10.0))
    assert (result.totals.error_share, result.totals.vm_seconds) == (1, 0)


def test_load_between_two_ticks_counts() -> None:
    burst = Trace("burst", (0.0, 12.0, 15.0), (10.0, 110.0, 10.0), 60.0)
    result = simulate(Wants((0, 1)), FREE, burst, agents=1)
    assert {tick.errors_per_s for tick in result.ticks} == {0}
    assert (result.totals.errors, result.totals.seconds_with_errors) == (180, 3)


def test_a_machine_costs_from_the_decision_on_and_serves_later() -> None:
    model = AgentModel(start_s=25.0)
    result = simulate(Wants((0, 1), (10, 3)), FREE, flat(0.0), agents=1, model=model)
    assert [tick.desired for tick in result.ticks[:3]] == [1, 3, 3]
    assert [tick.in_service for tick in result.ticks[:5]] == [1, 1, 1, 1, 3]
    assert result.totals.vm_seconds == 100 + 2 * 90


def test_a_draining_machine_costs_and_serves_nothing_new() -> None:
    policy = Wants((0, 3), (10, 1))
    result = simulate(policy, FREE, flat(0.0), agents=3, model=AgentModel(drain_s=12.0))
    # The second one leaves when the first one has gone: at 22.
    assert [tick.in_service for tick in result.ticks[:5]] == [3, 2, 2, 1, 1]
    assert result.totals.vm_seconds == 100 + 34 + 22
    pools = {agent.name: agent.pool for agent in policy.looks[2].observation.agents}
    assert pools == {"agent-1": "in_service", "agent-2": "in_service", "agent-3": "draining"}


@pytest.mark.parametrize(
    ("at_once", "in_service", "vm_seconds"),
    [
        (3, [1, 1, 1, 4, 6, 6, 6, 6, 6, 6], 100 + 3 * 90 + 2 * 75),
        (4, [1, 1, 1, 5, 6, 6, 6, 6, 6, 6], 100 + 4 * 90 + 75),
        (1, [1, 1, 1, 2, 3, 3, 4, 5, 5, 6], 100 + 90 + 75 + 60 + 45 + 30),
        (None, [1, 1, 1, 6, 6, 6, 6, 6, 6, 6], 100 + 5 * 90),
    ],
)
def test_agents_wait_for_a_place_to_start_and_cost_nothing_until_then(
    at_once: int | None, in_service: list[int], vm_seconds: float
) -> None:
    model = AgentModel(start_s=15.0, actions_at_once=at_once)
    result = simulate(Wants((0, 1), (10, 6)), FREE, flat(0.0), agents=1, model=model)
    assert [tick.in_service for tick in result.ticks] == in_service
    assert result.totals.vm_seconds == vm_seconds


def test_nobody_leaves_while_an_agent_starts_and_then_one_after_the_other() -> None:
    policy = Wants((0, 2), (10, 4), (20, 1))
    result = simulate(policy, FREE, flat(0.0), agents=2)
    assert [(change.t, change.after) for change in result.changes] == [(10, 4), (30, 1)]
    assert result.totals.vm_seconds == 100 + 45 + (40 - 10) + (35 - 10)
    unlimited = AgentModel(actions_at_once=None)
    result = simulate(policy, FREE, flat(0.0), agents=2, model=unlimited)
    assert [(change.t, change.after) for change in result.changes] == [(10, 4), (20, 1)]
    assert result.totals.vm_seconds == 100 + 25 + 2 * (30 - 10)


def test_load_that_returns_calls_a_drain_off() -> None:
    model = AgentModel(drain_s=30.0)
    policy = Wants((0, 2), (10, 1), (20, 2))
    result = simulate(policy, FREE, flat(0.0), agents=2, model=model)
    assert [tick.in_service for tick in result.ticks[:4]] == [2, 1, 2, 2]
    assert result.totals.vm_seconds == 200


def test_a_failed_agent_costs_nothing_and_is_started_anew_at_the_next_look() -> None:
    fleet = Fleet(AgentModel(start_s=15.0, failures_per_hour=0.1), 2)
    failed = fleet.next_change()
    assert not fleet.advance(failed - 1, 2)
    assert (fleet.serving, fleet.machines, fleet.failures) == (2, 2, 0)
    assert not fleet.advance(failed, 2)  # nothing that the scaler would be woken for
    assert (fleet.serving, fleet.machines, fleet.failures) == (1, 1, 1)
    assert fleet.want(2, failed + 7)
    assert (fleet.serving, fleet.machines, fleet.next_change()) == (1, 2, failed + 22)
    assert fleet.advance(failed + 22, 2)
    assert (fleet.serving, fleet.machines, fleet.failures) == (2, 2, 1)


def test_agents_fail_as_often_as_asked_for_and_are_replaced() -> None:
    def day(rate: float, **changes: Any) -> Result:
        model = AgentModel(failures_per_hour=rate, **changes)
        return simulate(Wants((0, 3)), FREE, flat(140.0, 86_400.0), agents=3, model=model)

    failing, sound = day(1.0), day(0.0)
    assert 50 <= failing.totals.failures <= 94  # 72 on average; Poisson: 2.6 deviations
    assert failing.totals.seconds_with_errors > 15 * failing.totals.failures * 0.9
    assert failing.totals.vm_seconds < sound.totals.vm_seconds == 3 * 86_400
    assert {tick.desired for tick in failing.ticks} == {3}
    whole = sum(tick.in_service == 3 for tick in failing.ticks)
    assert 0.95 < whole / len(failing.ticks) < 1
    assert (sound.totals.failures, sound.totals.errors) == (0, 0)
    assert day(1.0) == failing
    assert day(1.0, seed=2) != failing
    # What is seen of the agents does not change when they fail.
    assert day(1.0, cpu_noise_percent=5.0).totals == failing.totals


def test_a_starting_machine_is_seen_running_and_out_of_the_pool() -> None:
    policy = Wants((0, 1), (10, 2))
    simulate(policy, FREE, flat(20.0), agents=1)
    old, new = policy.looks[2].observation.agents
    assert (old.cpu_percent, old.memory_percent, old.ready) == (40.0, 25.0, True)
    assert (new.name, new.state, new.pool, new.has_metrics) == ("agent-2", "running", None, False)


def test_an_agent_that_is_not_wanted_any_more_comes_first_and_leaves_then() -> None:
    fleet = Fleet(AgentModel(start_s=15.0, drain_s=5.0), 1)
    fleet.want(2, 0.0)
    fleet.want(1, 10.0)
    assert fleet.next_change() == 15.0
    fleet.advance(15.0, 1)
    assert (fleet.serving, fleet.machines, fleet.next_change()) == (1, 2, 20.0)
    fleet.advance(20.0, 1)
    assert (fleet.serving, fleet.machines) == (1, 1)


def test_the_cooldown_begins_anew_when_the_agent_has_come() -> None:
    result = run(flat(1000.0, 300.0))
    # Decided at 0, there at 15, so no earlier than 45: the tick at 50.
    assert [change.t for change in result.changes] == [0, 50, 100]
    assert "average CPU 100 % is above 70 %" in result.changes[0].reason


def test_a_dry_run_is_simulated_as_if_it_were_none() -> None:
    dry = simulate(THRESHOLD, limits(1, 4, dry_run=True), flat(120.0, 600.0))
    assert dry == run(flat(120.0, 600.0))


def test_flaps_are_changes_that_soon_take_back_the_one_before() -> None:
    def changes(*each: tuple[float, int]) -> list[Change]:
        return [Change(t, 5, 5 + by, "") for t, by in each]

    assert flaps(changes((0, 1), (299, -1), (400, 1))) == 2
    assert flaps(changes((0, 1), (300, -1))) == 0
    assert flaps(changes((0, 1), (10, 2), (20, 1))) == 0
    assert flaps([]) == 0
    swinging = Wants(*((at, 1 + at // 100 % 2) for at in range(0, 1000, 100)))
    totals = simulate(swinging, FREE, flat(0.0, 1000.0), agents=1).totals
    assert (totals.changes, totals.flaps) == (9, 8)


def test_requests_in_flight_grow_as_an_agent_gets_busy_up_to_a_cap() -> None:
    model = AgentModel(capacity_rps=100.0, service_s=0.1, in_flight_max=64)
    assert [model.in_flight(used) for used in (0.0, 0.5, 0.8, 0.99, 1.0)] == [0, 10, 40, 64, 64]
