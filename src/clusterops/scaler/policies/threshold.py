# SPDX-License-Identifier: GPL-3.0-or-later
"""The default policy: one more agent above a threshold, one fewer below another."""

from __future__ import annotations

from typing import Any

from clusterops.scaler.model import Agent, Observation, Recommendation, Verdict


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

    def recommend(self, observation: Observation, now: float) -> Recommendation:
        """Compare the averages over the agents in service with the thresholds.

        An agent without metrics counts as idle on the way up (it must not cause growth), and
        forbids the way down (nobody knows whether it is idle).
        """
        serving = observation.in_service
        if not serving:
            return Recommendation("none", "no agent is in service, so there is no load to judge")
        fresh = tuple(agent for agent in serving if agent.has_metrics)
        missing = [agent.name for agent in serving if not agent.has_metrics]
        cpu_up, memory_up = _averages(fresh, len(serving))
        cpu, memory = _averages(fresh, len(fresh))
        verdicts = (
            Verdict("cpu_above", cpu_up, self.up_cpu, _above(cpu_up, self.up_cpu)),
            Verdict("memory_above", memory_up, self.up_memory, _above(memory_up, self.up_memory)),
            Verdict("cpu_below", cpu, self.down_cpu, _below(cpu, self.down_cpu)),
            Verdict("memory_below", memory, self.down_memory, _below(memory, self.down_memory)),
        )
        load = f"CPU {_text(cpu)}, memory {_text(memory)} over {len(fresh)} of {len(serving)}"
        if verdicts[0].fired or verdicts[1].fired:
            over = [
                f"average {what} {_text(verdict.value)} is above {verdict.limit:g} %"
                for what, verdict in (("CPU", verdicts[0]), ("memory", verdicts[1]))
                if verdict.fired
            ]
            return Recommendation("up", " and ".join(over), verdicts)
        if missing:
            return Recommendation(
                "none",
                f"no metrics from {', '.join(missing)} ({load})",
                verdicts,
                "missing_metrics",
            )
        if verdicts[2].fired and verdicts[3].fired:
            reason = (
                f"average CPU {_text(cpu)} is below {self.down_cpu:g} % "
                f"and memory {_text(memory)} below {self.down_memory:g} %"
            )
            return Recommendation("down", reason, verdicts)
        return Recommendation("none", f"within the thresholds ({load})", verdicts)


def _averages(agents: tuple[Agent, ...], count: int) -> tuple[float | None, float | None]:
    """Average CPU and memory; agents beyond those given count as idle."""
    if not agents:
        return None, None
    return (
        sum(agent.cpu_percent or 0.0 for agent in agents) / count,
        sum(agent.memory_percent or 0.0 for agent in agents) / count,
    )


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _below(value: float | None, limit: float) -> bool:
    return value is not None and value < limit


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} %"
