# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the average load near a target, by the formula of Kubernetes' HorizontalPodAutoscaler."""

from __future__ import annotations

import math
from typing import Any

from clusterops.scaler.guards import agents
from clusterops.scaler.policies.loads import (
    in_words,
    is_number,
    limit_from,
    limit_in_words,
    load_of,
    metric_from,
    silence_in_words,
)
from clusterops.scaler.policy import Recommendation, Situation, Verdict


class TargetTrackingPolicy:
    """Wants ceil(agents in service * load / target) agents, and no change near the target.

    Source: Kubernetes, "Horizontal Pod Autoscaling", section "Algorithm details"; also for
    agents without metrics: idle on the way up, fully busy on the way down, and no change when
    that alone brings the load back to the target.
    """

    def __init__(
        self,
        *,
        metric: str = "cpu",
        target: float = 60.0,
        tolerance: float = 0.1,
        **_others: Any,
    ) -> None:
        """
        Args:
            metric: "cpu" or "memory" (percent), or "in_flight" (requests for each agent).
            target: the average load to keep, in the metric's unit.
            tolerance: how far load / target may be from 1 without any change.

        Raises:
            ValueError: an option has a value that it cannot have.
        """
        self.metric = metric_from(metric)
        self.target = limit_from("target", target, self.metric)
        if not (is_number(tolerance) and 0 <= tolerance < 1):
            raise ValueError(
                f"tolerance: found {tolerance!r}; allowed is a number from 0 to below 1"
            )
        self.tolerance = float(tolerance)
        most = 100 / (1 + self.tolerance)
        if self.metric != "in_flight" and self.target >= most:
            raise ValueError(
                f"target: found {target!r}, which no load exceeds by the tolerance of "
                f"{self.tolerance:g}; allowed is less than {most:.4g}"
            )

    def recommend(self, situation: Situation) -> Recommendation:
        """Compare the average over the agents in service with the target."""
        count = len(situation.serving)
        if not count:
            return Recommendation("none", "no agent is in service, so there is no load to judge")
        load = load_of(situation, self.metric, 100.0)
        blocked = "missing_metrics" if situation.missing else None
        silence = silence_in_words(situation)
        if load.up is None or load.down is None or load.known is None:
            verdict = Verdict(f"{self.metric}_target", None, self.target, False)
            return Recommendation("none", silence, (verdict,), blocked)

        above, below = self._breach(load.up) > 0, self._breach(load.down) < 0
        judged = load.up if load.known >= self.target else load.down
        verdicts = (Verdict(f"{self.metric}_target", judged, self.target, above or below),)
        known = self._compared(load.known)
        if above:
            wanted = self._wanted(count, load.up)
            reason = f"{self._compared(load.up)}: {agents(wanted)} for {count}"
            return Recommendation("up", reason, verdicts, wanted=wanted)
        if self._breach(load.known) < 0 and blocked:
            return Recommendation("none", f"{known}, but {silence}", verdicts, blocked)
        if below:
            wanted = max(self._wanted(count, load.down), 1 if load.down > 0 else 0)
            reason = f"{self._compared(load.down)}: {agents(wanted)} for {count}"
            if wanted < situation.desired:
                return Recommendation("down", reason, verdicts, wanted=wanted)
            return Recommendation("none", reason, verdicts)
        if self._breach(load.known):
            return Recommendation("none", f"{known}, but {silence}", verdicts)
        return Recommendation("none", f"{known}: near enough", verdicts)

    def _breach(self, load: float) -> int:
        """1 for above the target by more than the tolerance, -1 for below, 0 for neither."""
        # Rounded: 66 / 60 - 1 is a little more than 0.1 in floating point.
        off = round(load / self.target - 1, 6)
        return 0 if abs(off) <= self.tolerance else 1 if off > 0 else -1

    def _wanted(self, count: int, load: float) -> int:
        # Rounded: the last digits of an average must not cost a whole agent.
        return math.ceil(round(count * load / self.target, 9))

    def _compared(self, load: float) -> str:
        target = limit_in_words(self.metric, self.target)
        ratio = load / self.target
        return f"{in_words(self.metric, load)} is {ratio:.2f} times the target of {target}"
