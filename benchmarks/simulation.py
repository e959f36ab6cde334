#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the simulation of a day with 1,000 agents takes on this machine.

    .venv/bin/python benchmarks/simulation.py [--hours H] [--agents N] [--noise PERCENT]
                                            [--failures PER_AGENT_AND_HOUR]

The policy is `threshold` on the daily trace, at ticks of 10 seconds. All agents but a tenth are
in service at any time, and up to 100 may start at a time: with the usual 3, so large a fleet would
follow the trace later. The target is 30 seconds for a day, on one core.
"""

from __future__ import annotations

import argparse
import resource
import time

from clusterops.scaler.model import Limits
from clusterops.scaler.policies import policy_from
from clusterops.scaler.simulation.model import AgentModel
from clusterops.scaler.simulation.run import simulate
from clusterops.scaler.simulation.traces import named_trace

ACTIONS_AT_ONCE = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=0.0, help="of each agent's CPU, percent")
    parser.add_argument("--failures", type=float, default=0.0, help="of each agent, per hour")
    options = parser.parse_args()
    model = AgentModel(
        actions_at_once=ACTIONS_AT_ONCE,
        failures_per_hour=options.failures,
        cpu_noise_percent=options.noise,
    )
    trace = named_trace("daily", options.agents * model.capacity_rps * 0.8, options.hours)
    limits = Limits(options.agents * 9 // 10, options.agents, 30.0, 30.0, warmup_s=15.0)
    policy = policy_from({"scaling_policy": "threshold"})
    began = time.process_time()
    result = simulate(policy, limits, trace, agents=options.agents, model=model)
    seconds = time.process_time() - began
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(result.ticks)} ticks, {options.agents} agents, {ACTIONS_AT_ONCE} actions at once, "
        f"{result.totals.changes} changes, {result.totals.failures} failures: "
        f"{seconds:.1f} s of processor time, {1000 * seconds / len(result.ticks):.2f} ms a tick, "
        f"{memory_mb:.0f} MB"
    )


if __name__ == "__main__":
    main()
