# SPDX-License-Identifier: GPL-3.0-or-later
"""The default policy: one more agent above a threshold, one fewer below another."""

from __future__ import annotations

from typing import Any

from clusterops.scaler.policies.loads import load_of
from clusterops.scaler.policy import Recommendation, Situation, Verdict


class ThresholdPolicy:
    """Up when CPU **or** memory is high, down when CPU **and** memory are low (percent)."""

    def __init__(
        self,
        *,
        scale_up_cpu_percent: float = 70.0,
        scale_up_memory_percent: float = 80.0,
        scale_down_cpu_percent: float = 30.0,
        scale_down_memory_percent: float = 40.0,
        **_others: Any,
    ) -> None:
        self.up_cpu = scale_up_cpu_percent
        self.up_memory = scale_up_memory_percent
        self.down_cpu = scale_down_cpu_percent
        self.down_memory = scale_down_memory_percent

    def recommend(self, situation: Situation) -> Recommendation:
        """Compare the averages over the agents in service with the thresholds.

        An agent without metrics counts as idle on the way up (it must not cause growth), and
        forbids the way down (nobody knows whether it is idle).
        """
        serving = situation.serving
        if not serving:
            return Recommendation("none", "no agent is in service, so there is no load to judge")
        cpu, memory = (load_of(situation, metric, 100.0) for metric in ("cpu", "memory"))
        verdicts = (
            Verdict("cpu_above", cpu.up, self.up_cpu, _above(cpu.up, self.up_cpu)),
            Verdict("memory_above", memory.up, self.up_memory, _above(memory.up, self.up_memory)),
            Verdict("cpu_below", cpu.down, self.down_cpu, _below(cpu.down, self.down_cpu)),
            Verdict(
                "memory_below", memory.down, self.down_memory, _below(memory.down, self.down_memory)
            ),
        )
        load = (
            f"CPU {_text(cpu.known)}, memory {_text(memory.known)} "
            f"over {len(situation.fresh)} of {len(serving)}"
        )
        if verdicts[0].fired or verdicts[1].fired:
            over = [
                f"average {what} {_text(verdict.value)} is above {verdict.limit:g} %"
                for what, verdict in (("CPU", verdicts[0]), ("memory", verdicts[1]))
                if verdict.fired
            ]
            return Recommendation("up", " and ".join(over), verdicts)
        if situation.missing:
            return Recommendation(
                "none",
                f"no metrics from {', '.join(situation.missing)} ({load})",
                verdicts,
                "missing_metrics",
            )
        if verdicts[2].fired and verdicts[3].fired:
            reason = (
                f"average CPU {_text(cpu.known)} is below {self.down_cpu:g} % "
                f"and memory {_text(memory.known)} below {self.down_memory:g} %"
            )
            return Recommendation("down", reason, verdicts)
        return Recommendation("none", f"within the thresholds ({load})", verdicts)


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _below(value: float | None, limit: float) -> bool:
    return value is not None and value < limit


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} %"
