#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the simulation of a day with 1,000 agents takes on this machine.

    .venv/bin/python benchmarks/simulation.py [--hours H] [--agents N] [--noise PERCENT]

The policy is `threshold` on the daily trace, at ticks of 10 seconds. All agents but a tenth are
in service at any time. The target is 30 seconds for a day, on one core.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=0.0, help="of each agent's CPU, percent")
    options = parser.parse_args()
    model = AgentModel(cpu_noise_percent=options.noise)
    trace = named_trace("daily", options.agents * model.capacity_rps * 0.8, options.hours)
    limits = Limits(options.agents * 9 // 10, options.agents, 30.0, 30.0, warmup_s=15.0)
    policy = policy_from({"scaling_policy": "threshold"})
    began = time.process_time()
    result = simulate(policy, limits, trace, agents=options.agents, model=model)
    seconds = time.process_time() - began
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(result.ticks)} ticks, {options.agents} agents, {result.totals.changes} changes: "
        f"{seconds:.1f} s of processor time, {1000 * seconds / len(result.ticks):.2f} ms a tick, "
        f"{memory_mb:.0f} MB"
    )


if __name__ == "__main__":
    main()
