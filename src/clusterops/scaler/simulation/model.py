# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents that exist only as numbers: how busy they are, and how they come and go."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, islice, repeat

from clusterops.scaler.model import ActionKind, Agent, Observation, PoolState

#: Agents that are alike are made once. Enough for 1,000 agents in 500 different states.
_AGENTS_KEPT = 500_000


@dataclass(frozen=True, slots=True)
class AgentModel:
    """What one agent can do, how long it takes to come and go, and how often it fails.

    Attributes:
        capacity_rps: requests per second at 100 % CPU; what is above that fails at once.
        service_s: how long a request takes on an idle agent.
        in_flight_max: requests that wait or are served on one agent, at most.
        memory_percent: the same at any load.
        start_s: from the begin of its start to being in service; the machine costs already.
        drain_s: from leaving the service to being off; the machine costs, and serves nothing new.
        actions_at_once: how many starts may be under way; agents are taken down one at a time,
            and not during a start. None: any number of both side by side, and no decision waits.
        failures_per_hour: of one agent in service, on average; exponentially distributed.
        cpu_noise_percent: standard deviation of what each look at each agent's CPU is wrong by.
        seed: of that noise and of the failures.
    """

    capacity_rps: float = 50.0
    service_s: float = 0.05
    in_flight_max: int = 64
    memory_percent: float = 25.0
    start_s: float = 15.0
    drain_s: float = 5.0
    actions_at_once: int | None = 3
    failures_per_hour: float = 0.0
    cpu_noise_percent: float = 0.0
    seed: int = 1

    def in_flight(self, utilisation: float) -> int:
        """Requests on one agent at a utilisation from 0 to 1.

        Little's law, L = arrival rate x time in the system, with the time of an M/M/1 queue,
        service time / (1 - utilisation).
        """
        rate = self.capacity_rps * utilisation
        if utilisation >= 1:
            return self.in_flight_max
        return round(min(rate * self.service_s / (1 - utilisation), self.in_flight_max))


class Fleet:
    """The agents of one simulation, and what the scaler does with them.

    As in the scaler, low numbers come first and high numbers leave first. A start is carried
    through: an agent that is no longer wanted while it starts goes into service, and leaves then.
    An agent that drains and is wanted again serves again at once.
    """

    def __init__(self, model: AgentModel, agents: int) -> None:
        """
        Args:
            agents: that are in service at the beginning.
        """
        self._model = model
        self._noise = random.Random(model.seed)  # noqa: S311 - the same noise every time
        # Apart from the noise, so that one does not change the other.
        self._fate = random.Random(f"failures {model.seed}")  # noqa: S311 - the same as well
        self._serving: dict[int, float] = {}  # until they fail
        self._starting: dict[int, float] = {}  # until when
        self._draining: dict[int, float] = {}
        self._failures = 0
        for number in range(1, agents + 1):
            self._serve(number, 0.0)

    @property
    def serving(self) -> int:
        """Agents in service."""
        return len(self._serving)

    @property
    def machines(self) -> int:
        """Agents that cost something: one that failed, or waits for its start, does not."""
        return len(self._serving) + len(self._starting) + len(self._draining)

    @property
    def failures(self) -> int:
        """Agents that failed so far."""
        return self._failures

    @property
    def acting(self) -> ActionKind | None:
        """What is under way and makes decisions wait; nothing does without a limit."""
        if self._model.actions_at_once is None:
            return None
        return "scale_up" if self._starting else "scale_down" if self._draining else None

    def next_change(self) -> float:
        """When the next agent has come or gone, or fails; infinity if none is about to."""
        soonest = min((*self._starting.values(), *self._draining.values()), default=math.inf)
        if not self._model.failures_per_hour:
            return soonest
        return min(soonest, min(self._serving.values(), default=math.inf))

    def want(self, desired: int, now: float) -> bool:
        """Begin what leads to ``desired`` agents, as far as it may begin now; whether any did.

        Starts come first; agents are taken down one after the other when none is under way.
        """
        if len(self._serving) == desired and not self._starting and not self._draining:
            return False
        known = [*sorted(self._serving), *sorted(self._draining), *sorted(self._starting)]
        kept = known[:desired]
        restored = [number for number in kept if number in self._draining]
        for number in restored:
            del self._draining[number]
            self._serve(number, now)
        absent = _lowest_without(known, desired - len(kept))
        begun = absent[: self._places()]
        for number in begun:
            self._starting[number] = now + self._model.start_s
        leaving: list[int] = []
        if self._model.actions_at_once is None:
            leaving = known[desired : len(self._serving)]
        elif not (self._starting or self._draining or absent) and len(self._serving) > desired:
            leaving = [max(self._serving)]
        for number in leaving:
            del self._serving[number]
            self._draining[number] = now + self._model.drain_s
        return bool(restored or begun or leaving)

    def advance(self, now: float, desired: int) -> bool:
        """End what is to end by now; whether any start or drain did.

        That makes the scaler look, and begin what is next. A failure alone does not: it is
        noticed at the next look.
        """
        if self.next_change() > now:
            return False
        for number in _past(self._serving, now):
            del self._serving[number]
            self._failures += 1
        come, gone = _past(self._starting, now), _past(self._draining, now)
        for number in come:
            del self._starting[number]
            self._serve(number, now)
        for number in gone:
            del self._draining[number]
        if come or gone:
            self.want(desired, now)
        return bool(come or gone)

    def _serve(self, number: int, now: float) -> None:
        rate = self._model.failures_per_hour / 3600
        self._serving[number] = now + self._fate.expovariate(rate) if rate else math.inf

    def _places(self) -> int | None:
        """How many more actions may begin; None for any number."""
        most = self._model.actions_at_once
        return None if most is None else max(most - len(self._starting) - len(self._draining), 0)

    def utilisation(self, offered_rps: float) -> float:
        """The share of the capacity in service that is used, 0 to 1; 0 without agents."""
        capacity = self.serving * self._model.capacity_rps
        return min(offered_rps / capacity, 1.0) if capacity else 0.0

    def observe(self, offered_rps: float, now: float) -> Observation:
        """What the scaler would see: the agents whose machines exist. Metrics have one decimal."""
        model = self._model
        used = self.utilisation(offered_rps)
        requests = model.in_flight(used)
        busy = zip(self._serving, self._cpu(used), strict=False)
        agents = [_serving_agent(n, cpu, model.memory_percent, requests) for n, cpu in busy]
        agents += [_idle_agent(number, None) for number in self._starting]
        agents += [_idle_agent(number, "draining") for number in self._draining]
        return Observation(now, tuple(agents))

    def _cpu(self, utilisation: float) -> Iterator[int]:
        """CPU of one agent after the other, tenths of a percent."""
        true, deviation = 1000 * utilisation, 10 * self._model.cpu_noise_percent
        if not deviation:
            return repeat(round(true))
        seen = (round(self._noise.gauss(true, deviation)) for _ in count())
        return (min(max(tenths, 0), 1000) for tenths in seen)


def _past(times: dict[int, float], now: float) -> list[int]:
    """The numbers whose time has come."""
    return [number for number, until in times.items() if until <= now]


def _lowest_without(known: list[int], size: int) -> list[int]:
    """So many numbers from 1 on that are not known."""
    taken = set(known)
    return list(islice((number for number in count(1) if number not in taken), size))


@lru_cache(maxsize=_AGENTS_KEPT)
def _serving_agent(number: int, cpu_tenths: int, memory_percent: float, in_flight: int) -> Agent:
    return Agent(
        name=_name(number),
        number=number,
        state="running",
        pool="in_service",
        in_flight=in_flight,
        swept=True,
        cpu_percent=cpu_tenths / 10,
        memory_percent=memory_percent,
        ready=True,
    )


@lru_cache(maxsize=_AGENTS_KEPT)
def _idle_agent(number: int, pool: PoolState | None) -> Agent:
    return Agent(name=_name(number), number=number, state="running", pool=pool)


@lru_cache(maxsize=100_000)
def _name(number: int) -> str:
    return f"agent-{number}"
