# SPDX-License-Identifier: GPL-3.0-or-later
"""How busy the agents in service are, with those that do not tell counted on the safe side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard, cast, get_args

from clusterops.scaler.model import Agent
from clusterops.scaler.policy import Situation

Metric = Literal["cpu", "memory", "in_flight"]
METRICS: tuple[str, ...] = get_args(Metric)


@dataclass(frozen=True, slots=True)
class Load:
    """Averages over the agents in service; None where there is nothing to average.

    Attributes:
        up: to judge by on the way up: who does not tell counts as idle, and causes no growth.
        down: on the way down: who does not tell counts as being at the limit.
        known: over those that tell.
    """

    up: float | None
    down: float | None
    known: float | None


def load_of(situation: Situation, metric: Metric, busy: float) -> Load:
    """The load by one metric: percent, or requests in flight for each agent.

    Args:
        busy: what counts as fully busy; 100 for percentages.
    """
    count = len(situation.serving)
    if metric == "in_flight":
        # The load balancer knows it of everyone, and a new agent has its share at once.
        values = [float(agent.in_flight) for agent in situation.serving]
    else:
        values = [_value(agent, metric) for agent in situation.fresh]
    if not values:
        return Load(None, None, None)
    total = sum(values)
    others = count - len(values)
    return Load(total / count, (total + others * busy) / count, total / len(values))


def _value(agent: Agent, metric: Metric) -> float:
    value = agent.cpu_percent if metric == "cpu" else agent.memory_percent
    return value or 0.0


def metric_from(value: Any) -> Metric:
    """The metric that an option names. Raises ValueError for any other value."""
    if value not in METRICS:
        raise ValueError(f"metric: found {value!r}; allowed: {', '.join(METRICS)}")
    return cast(Metric, value)


def limit_from(option: str, value: Any, metric: Metric) -> float:
    """A number that the load may be compared with. Raises ValueError for anything else."""
    most = math.inf if metric == "in_flight" else 100.0
    if is_number(value) and 0 < value <= most:
        return float(value)
    allowed = "above 0" if metric == "in_flight" else "above 0, at most 100 (percent)"
    raise ValueError(f"{option}: found {value!r}; allowed is a number {allowed}")


def is_number(value: Any) -> TypeGuard[float]:
    """Whether an option's value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def in_words(metric: Metric, value: float) -> str:
    """The load for people, to be followed by "is"."""
    if metric == "in_flight":
        return f"an average of {value:.1f} requests in flight"
    return f"average {'CPU' if metric == 'cpu' else 'memory'} {value:.0f} %"


def limit_in_words(metric: Metric, limit: float) -> str:
    """A limit of the load for people."""
    return f"{limit:g}" if metric == "in_flight" else f"{limit:g} %"


def silence_in_words(situation: Situation) -> str:
    """Says who in service does not tell, or has only just come."""
    told = {agent.name for agent in situation.fresh}
    silent = [agent.name for agent in situation.serving if agent.name not in told]
    return f"no metrics that count from {', '.join(silent)}"
