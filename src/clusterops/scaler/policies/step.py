# SPDX-License-Identifier: GPL-3.0-or-later
"""The further the load is beyond a threshold, the more agents come or go at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from clusterops.scaler.guards import agents
from clusterops.scaler.policies.loads import (
    Load,
    Metric,
    in_words,
    limit_from,
    limit_in_words,
    load_of,
    metric_from,
    silence_in_words,
)
from clusterops.scaler.policy import Recommendation, Situation, Verdict

_UP = ({"above": 70, "add": 1}, {"above": 85, "add": 2})
_DOWN = ({"below": 30, "remove": 1},)


@dataclass(frozen=True, slots=True)
class Step:
    """Beyond the limit, so many agents more or fewer."""

    limit: float
    agents: int


class StepPolicy:
    """Adds or removes as many agents as the outermost step says that the load has passed."""

    def __init__(
        self,
        *,
        metric: str = "cpu",
        up: Sequence[Mapping[str, Any]] = _UP,
        down: Sequence[Mapping[str, Any]] = _DOWN,
        **_others: Any,
    ) -> None:
        """
        Args:
            metric: "cpu" or "memory" (percent), or "in_flight" (requests for each agent).
            up: steps with the keys ``above`` (a load) and ``add`` (a number of agents).
            down: steps with the keys ``below`` (a load) and ``remove`` (a number of agents).

        Raises:
            ValueError: an option has a value that it cannot have, or the steps contradict
                each other.
        """
        self.metric = metric_from(metric)
        # The outermost step is the last one, on both sides.
        self.up = sorted(_steps("up", up, "above", "add", self.metric), key=lambda s: s.limit)
        self.down = sorted(
            _steps("down", down, "below", "remove", self.metric), key=lambda s: -s.limit
        )
        if not (self.up or self.down):
            raise ValueError("up, down: found no step; allowed is at least one")
        _never_smaller("up", "above", self.up)
        _never_smaller("down", "below", self.down)
        if self.up and self.down and self.down[0].limit >= self.up[0].limit:
            raise ValueError(
                f"down: found below: {self.down[0].limit:g}; "
                f"allowed is less than the lowest 'above', {self.up[0].limit:g}"
            )

    def recommend(self, situation: Situation) -> Recommendation:
        """Find the step for the average over the agents in service.

        An agent without metrics counts as idle on the way up, and forbids the way down.
        """
        if not situation.serving:
            return Recommendation("none", "no agent is in service, so there is no load to judge")
        load = load_of(situation, self.metric, 100.0)
        verdicts = self._verdicts(load)
        blocked = "missing_metrics" if situation.missing else None
        if load.up is None or load.down is None or load.known is None:
            return Recommendation("none", silence_in_words(situation), verdicts, blocked)

        more = [step for step in self.up if load.up > step.limit]
        if more:
            step = more[-1]
            reason = f"{self._compared(load.up, 'above', step)}: {agents(step.agents)} more"
            return Recommendation("up", reason, verdicts, wanted=situation.desired + step.agents)
        low = [step for step in self.down if load.known < step.limit]
        if low and blocked:
            reason = (
                f"{self._compared(load.known, 'below', low[-1])}, but {silence_in_words(situation)}"
            )
            return Recommendation("none", reason, verdicts, blocked)
        fewer = [step for step in self.down if load.down < step.limit]
        if fewer:
            step = fewer[-1]
            reason = f"{self._compared(load.down, 'below', step)}: {agents(step.agents)} fewer"
            wanted = max(situation.desired - step.agents, 0)
            return Recommendation("down", reason, verdicts, wanted=wanted)
        reason = f"{in_words(self.metric, load.known)} is between the steps"
        if low or any(load.known > step.limit for step in self.up):
            reason = f"{in_words(self.metric, load.known)}, but {silence_in_words(situation)}"
        return Recommendation("none", reason, verdicts)

    def _verdicts(self, load: Load) -> tuple[Verdict, ...]:
        return (
            *(
                Verdict(
                    f"{self.metric}_above",
                    load.up,
                    step.limit,
                    load.up is not None and load.up > step.limit,
                )
                for step in self.up
            ),
            *(
                Verdict(
                    f"{self.metric}_below",
                    load.down,
                    step.limit,
                    load.down is not None and load.down < step.limit,
                )
                for step in self.down
            ),
        )

    def _compared(self, load: float, how: str, step: Step) -> str:
        limit = limit_in_words(self.metric, step.limit)
        return f"{in_words(self.metric, load)} is {how} {limit}"


def _steps(option: str, entries: Any, limit: str, count: str, metric: Metric) -> list[Step]:
    """The steps of one side. Raises ValueError."""
    if not isinstance(entries, list | tuple):
        raise ValueError(
            f"{option}: found {entries!r}; allowed is a list of steps, "
            f"each with the keys {limit} and {count}"
        )
    steps = []
    for place, entry in enumerate(entries):
        where = f"{option}[{place}]"
        if not isinstance(entry, Mapping) or set(entry) != {limit, count}:
            raise ValueError(
                f"{where}: found {entry!r}; allowed are exactly the keys {limit} and {count}"
            )
        agents_ = entry[count]
        if not isinstance(agents_, int) or isinstance(agents_, bool) or agents_ < 1:
            raise ValueError(
                f"{where}.{count}: found {agents_!r}; allowed is a whole number from 1"
            )
        steps.append(Step(limit_from(f"{where}.{limit}", entry[limit], metric), agents_))
    return steps


def _never_smaller(option: str, limit: str, steps: Sequence[Step]) -> None:
    for inner, outer in pairwise(steps):
        if inner.limit == outer.limit:
            raise ValueError(f"{option}: found {limit}: {outer.limit:g} twice; allowed is once")
        if outer.agents < inner.agents:
            raise ValueError(
                f"{option}: found {agents(outer.agents)} at {limit}: {outer.limit:g}; allowed is "
                f"at least {inner.agents}, as at {limit}: {inner.limit:g}"
            )
