# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents that exist only as numbers: how busy they are, and how they come and go."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, repeat

from clusterops.scaler.model import Agent, Observation, PoolState

#: Agents that are alike are made once. Enough for 1,000 agents in 500 different states.
_AGENTS_KEPT = 500_000


@dataclass(frozen=True, slots=True)
class AgentModel:
    """What one agent can do, and how long it takes to come and go.

    Attributes:
        capacity_rps: requests per second at 100 % CPU; what is above that fails at once.
        service_s: how long a request takes on an idle agent.
        in_flight_max: requests that wait or are served on one agent, at most.
        memory_percent: the same at any load.
        start_s: from the decision to being in service; the machine costs already.
        drain_s: from the decision to being off; the machine costs, and serves nothing new.
        cpu_noise_percent: standard deviation of what each look at each agent's CPU is wrong by.
        seed: of that noise.
    """

    capacity_rps: float = 50.0
    service_s: float = 0.05
    in_flight_max: int = 64
    memory_percent: float = 25.0
    start_s: float = 15.0
    drain_s: float = 5.0
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
    """The agents of one simulation. Nothing fails; any number may come or go at a time.

    As in the scaler, low numbers come first and high numbers leave first, and what was begun is
    carried through: an agent that is no longer wanted while it starts goes into service, and
    leaves then.
    """

    def __init__(self, model: AgentModel, agents: int) -> None:
        """
        Args:
            agents: that are in service at the beginning.
        """
        self._model = model
        self._serving = set(range(1, agents + 1))
        self._starting: dict[int, float] = {}  # until when
        self._draining: dict[int, float] = {}
        self._noise = random.Random(model.seed)  # noqa: S311 - the same noise every time

    @property
    def serving(self) -> int:
        """Agents in service."""
        return len(self._serving)

    @property
    def machines(self) -> int:
        """Agents that cost something."""
        return len(self._serving) + len(self._starting) + len(self._draining)

    def next_change(self) -> float:
        """When the next agent has come or gone; infinity if none is about to."""
        return min((*self._starting.values(), *self._draining.values()), default=math.inf)

    def want(self, desired: int, now: float) -> None:
        """Begin what leads to ``desired`` agents."""
        for number in [number for number in self._serving if number > desired]:
            self._serving.remove(number)
            self._draining[number] = now + self._model.drain_s
        for number in range(1, desired + 1):
            if not (
                number in self._serving or number in self._starting or number in self._draining
            ):
                self._starting[number] = now + self._model.start_s

    def advance(self, now: float, desired: int) -> bool:
        """End what is to end by now; whether anything did."""
        come = [number for number, until in self._starting.items() if until <= now]
        gone = [number for number, until in self._draining.items() if until <= now]
        for number in come:
            del self._starting[number]
        for number in gone:
            del self._draining[number]
        self._serving.update(come)
        if come or gone:
            self.want(desired, now)
        return bool(come or gone)

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
