# SPDX-License-Identifier: GPL-3.0-or-later
"""The scaler's own decisions, tick by tick, on a fleet that exists only as numbers.

Agents fail, come and go as in the scaler: so many starts at a time, then one agent less at a time,
and what ends begins what is next at once. What is left out: starts and drains that fail, with their
back-offs; decisions out of turn when an action ends; and the requests that an agent was at work on
when it failed. A failed agent is noticed at the next look, and can always be started anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from clusterops.scaler.decide import decide
from clusterops.scaler.memory import NO_MEMORY
from clusterops.scaler.model import Limits, State
from clusterops.scaler.policy import Policy
from clusterops.scaler.simulation.model import AgentModel, Fleet
from clusterops.scaler.simulation.traces import Trace

#: A simulation begins on Monday, 2024-01-01 at 00:00 UTC: policies may look at the calendar.
STARTS_AT = 1_704_067_200.0
#: A change in the other direction so soon after the one before is a flap, seconds.
FLAP_S = 300.0


@dataclass(frozen=True, slots=True)
class Tick:
    """What was so at one look, after the decision. ``t`` is in seconds from the start.

    Attributes:
        utilisation: of the agents in service, 0 to 1.
        errors_per_s: requests per second for which there was no capacity.
    """

    t: float
    offered_rps: float
    in_service: int
    desired: int
    utilisation: float
    errors_per_s: float


@dataclass(frozen=True, slots=True)
class Change:
    """A decision for another number of agents."""

    t: float
    before: int
    after: int
    reason: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures of a whole simulation, exact between ticks, too.

    Attributes:
        vm_seconds: summed over machines, from the begin of a start until the machine is off.
        mean_utilisation: over the time in which an agent was in service, 0 to 1.
        most_agents: in service at a time.
        flaps: changes against the direction of the one before, less than FLAP_S after it.
        seconds_with_errors: time in which requests failed.
        failures: of agents in service.
    """

    requests: float
    errors: float
    vm_seconds: float
    mean_utilisation: float
    most_agents: int
    changes: int
    flaps: int
    seconds_with_errors: float
    failures: int

    @property
    def error_share(self) -> float:
        """Of all requests, 0 to 1."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """One policy on one trace."""

    ticks: tuple[Tick, ...]
    changes: tuple[Change, ...]
    totals: Totals


def simulate(
    policy: Policy,
    limits: Limits,
    trace: Trace,
    *,
    interval_s: float = 10.0,
    agents: int | None = None,
    model: AgentModel | None = None,
) -> Result:
    """Let a policy serve a trace. The same arguments give the same result.

    Args:
        interval_s: virtual time between two ticks, seconds.
        agents: in service at the beginning; None for ``limits.agents_min``.
    """
    model = model or AgentModel()
    # A dry run would be a flat line: here nothing real is changed anyway.
    limits = replace(limits, dry_run=False)
    state = State(limits.agents_min if agents is None else agents)
    fleet = Fleet(model, state.desired)
    meter = _Meter(model)
    memory = NO_MEMORY
    ticks: list[Tick] = []
    changes: list[Change] = []
    for number in range(math.ceil(trace.duration_s / interval_s)):
        t = number * interval_s
        now = STARTS_AT + t
        offered = trace.at(t)
        seen, acting = fleet.observe(offered, now), fleet.acting
        decision = decide(policy, seen, state, now, limits, memory, acting=acting)
        memory = decision.memory
        if decision.desired != state.desired:
            changes.append(Change(t, state.desired, decision.desired, decision.reason))
            state = replace(state, desired=decision.desired, last_scaling_at=now)
        if fleet.want(state.desired, t):
            state = replace(state, last_scaling_at=now)
        ticks.append(
            Tick(
                t,
                offered,
                fleet.serving,
                state.desired,
                fleet.utilisation(offered),
                meter.errors_per_s(fleet, offered),
            )
        )
        ended = _pass_time(fleet, trace, meter, t, min(t + interval_s, trace.duration_s), state)
        if ended is not None:
            state = replace(state, last_scaling_at=STARTS_AT + ended)
    return Result(tuple(ticks), tuple(changes), meter.totals(changes, fleet.failures))


def flaps(changes: Sequence[Change]) -> int:
    """How many changes took back the one before, less than FLAP_S after it."""
    return sum(
        (one.after > one.before) != (other.after > other.before) and other.t - one.t < FLAP_S
        for one, other in pairwise(changes)
    )


def _pass_time(
    fleet: Fleet, trace: Trace, meter: _Meter, t: float, end: float, state: State
) -> float | None:
    """Let agents come, go and fail until the end; when the last one came or went."""
    ended: float | None = None
    while t < end:
        # Neither the load nor the fleet changes within a part.
        stop = min(end, trace.next_change(t), fleet.next_change())
        if stop > t:
            meter.count(fleet, trace.at(t), stop - t)
        t = stop
        if fleet.advance(t, state.desired):
            ended = t
    return ended


class _Meter:
    """Sums up what happens."""

    def __init__(self, model: AgentModel) -> None:
        self._model = model
        self._requests = self._errors = self._vm_seconds = 0.0
        self._served_s = self._used_s = self._seconds_with_errors = 0.0
        self._most = 0

    def errors_per_s(self, fleet: Fleet, offered_rps: float) -> float:
        """Requests per second above the capacity in service."""
        return max(0.0, offered_rps - fleet.serving * self._model.capacity_rps)

    def count(self, fleet: Fleet, offered_rps: float, seconds: float) -> None:
        """So many seconds went by with this load."""
        errors = self.errors_per_s(fleet, offered_rps)
        self._requests += offered_rps * seconds
        self._errors += errors * seconds
        self._vm_seconds += fleet.machines * seconds
        if fleet.serving:
            self._served_s += seconds
            self._used_s += fleet.utilisation(offered_rps) * seconds
        if errors > 0:
            self._seconds_with_errors += seconds
        self._most = max(self._most, fleet.serving)

    def totals(self, changes: Sequence[Change], failures: int) -> Totals:
        """The sums."""
        return Totals(
            requests=self._requests,
            errors=self._errors,
            vm_seconds=self._vm_seconds,
            mean_utilisation=self._used_s / self._served_s if self._served_s else 0.0,
            most_agents=self._most,
            changes=len(changes),
            flaps=flaps(changes),
            seconds_with_errors=self._seconds_with_errors,
            failures=failures,
        )
