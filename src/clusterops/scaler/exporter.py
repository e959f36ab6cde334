# SPDX-License-Identifier: GPL-3.0-or-later
"""The scaler's own numbers for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from clusterops.scaler.model import ActionKind, ActionResult, Observation

MODES = ("auto", "held", "paused")
DIRECTIONS = ("up", "down")

# One more series for each counter, that nobody asks for. (The library left this untyped.)
disable_created_metrics()  # type: ignore[no-untyped-call]


class Exporter:
    """One registry per daemon; methods are called by the control loop."""

    def __init__(self, folder: Path | None = None) -> None:
        """
        Args:
            folder: what its file system has left is told: the control node's disk.
        """
        self._folder = folder
        self._registry = CollectorRegistry()
        p = "clusterops_scaler_"
        r = self._registry
        self.desired = Gauge(p + "desired_agents", "Agents wanted in service", registry=r)
        self._min = Gauge(p + "min_agents", "Lower limit of agents", registry=r)
        self._max = Gauge(p + "max_agents", "Upper limit of agents", registry=r)
        self._agents = Gauge(
            p + "agents", "Agents by what they are to the pool", ["state"], registry=r
        )
        self._cpu = Gauge(
            p + "cpu_utilization_ratio", "Average CPU of the agents in service", registry=r
        )
        self._memory = Gauge(
            p + "memory_utilization_ratio", "Average memory of the agents in service", registry=r
        )
        self._reachable = Gauge(
            p + "reachable", "Whether a part answered the last time (1 or 0)", ["part"], registry=r
        )
        self._mode = Gauge(p + "mode", "1 for the mode in force", ["mode"], registry=r)
        self._alarm = Gauge(p + "alarm", "1 for each alarm that is raised", ["alarm"], registry=r)
        self._quarantined = Gauge(
            p + "agent_quarantined", "1 for each agent that is set aside", ["agent"], registry=r
        )
        self._decisions = Counter(
            p + "decisions", "Changes of how many agents are wanted", ["direction"], registry=r
        )
        for direction in DIRECTIONS:
            self._decisions.labels(direction)
        self._last_tick = Gauge(
            p + "last_tick_timestamp_seconds", "Unix time of the last whole tick", registry=r
        )
        disk = "of the file system of the control node, in bytes"
        self._disk_size = Gauge(
            "node_filesystem_size_bytes", f"Size {disk}.", ["mountpoint"], registry=r
        )
        self._disk_free = Gauge(
            "node_filesystem_avail_bytes", f"What is left {disk}.", ["mountpoint"], registry=r
        )
        self._tick = Histogram(
            p + "tick_duration_seconds",
            "Duration of one look, decision and plan",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10),
            registry=r,
        )
        self._actions = Counter(p + "actions", "Playbook runs", ["kind", "result"], registry=r)
        for kind in get_args(ActionKind):
            for result in ("ok", "failed"):
                self._actions.labels(kind, result)
        self._action_time = Histogram(
            p + "action_duration_seconds",
            "Duration of playbook runs",
            ["kind"],
            buckets=(2, 5, 10, 15, 20, 30, 45, 60, 120, 300),
            registry=r,
        )
        self._ejects = Counter(p + "ejects", "Agents taken out of the pool at once", registry=r)
        self._errors = Counter(p + "tick_errors", "Ticks that failed", registry=r)

    def limits(self, low: int, high: int) -> None:
        self._min.set(low)
        self._max.set(high)

    def tick(
        self,
        seen: Observation,
        seconds: float,
        mode: str,
        alarms: Collection[str] = (),
        quarantined: Collection[str] = (),
    ) -> None:
        self._tick.observe(seconds)
        self._last_tick.set(seen.at)
        serving = seen.in_service
        self._agents.labels("in_service").set(len(serving))
        self._agents.labels("draining").set(sum(a.pool == "draining" for a in seen.agents))
        self._agents.labels("running").set(sum(a.state == "running" for a in seen.agents))
        fresh = [a for a in serving if a.has_metrics]
        nan = float("nan")
        cpu = sum(a.cpu_percent or 0.0 for a in fresh) / len(fresh) / 100 if fresh else nan
        memory = sum(a.memory_percent or 0.0 for a in fresh) / len(fresh) / 100 if fresh else nan
        self._cpu.set(cpu)
        self._memory.set(memory)
        self._reachable.labels("server_manager").set(int(seen.servers_known))
        self._reachable.labels("load_balancer").set(int(seen.pool_known))
        for name in MODES:
            self._mode.labels(name).set(int(name == mode))
        for gauge, names in ((self._alarm, alarms), (self._quarantined, quarantined)):
            gauge.clear()
            for name in names:
                gauge.labels(name).set(1)

    def decided(self, direction: str) -> None:
        self._decisions.labels(direction).inc()

    def action(self, kind: str, result: ActionResult) -> None:
        self._actions.labels(kind, "ok" if result.ok else "failed").inc()
        self._action_time.labels(kind).observe(result.seconds)

    def eject(self) -> None:
        self._ejects.inc()

    def error(self) -> None:
        self._errors.inc()

    def render(self) -> bytes:
        if self._folder is not None:
            disk = os.statvfs(self._folder)
            self._disk_size.labels("/").set(disk.f_blocks * disk.f_frsize)
            self._disk_free.labels("/").set(disk.f_bavail * disk.f_frsize)
        return generate_latest(self._registry)
