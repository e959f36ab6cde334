#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the scaler copes with very many agents: prints a table in Markdown.

    .venv/bin/python benchmarks/scaler_sweep.py [--agents 1000] [--decide 10000] [--ticks 10000]

The agents are addresses on the loopback interface, each with a listener of its own; one other
process serves them all, and the Server Manager and the load balancer. It needs a good part of a
processor itself, which no real cluster takes from the scaler: its share is told. A tick is a whole
one (look, decide, write down), with few agents so that many ticks take little time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from clusterops.scaler.daemon import Controller  # noqa: E402
from clusterops.scaler.decide import decide  # noqa: E402
from clusterops.scaler.model import (  # noqa: E402
    Action,
    ActionResult,
    Agent,
    Observation,
    State,
)
from clusterops.scaler.observe import Observer  # noqa: E402
from clusterops.scaler.policies.threshold import ThresholdPolicy  # noqa: E402
from clusterops.scaler.settings import ScalerSettings  # noqa: E402
from clusterops.scaler.store import Store  # noqa: E402

TIMEOUT_S = 3.0
# Until the second one, SQLite's page cache fills (2 MiB).
MARKS = (100, 1000)


@dataclass(frozen=True)
class Figures:
    """Seconds of one repetition: on the clock, this process's, the agents' process's."""

    wall: float
    cpu: float
    others: float


class Agents:
    """The process that serves ``count`` agents."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "tests.integration.scaler.fleet", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.port = int(json.loads(self._line())["port"])

    def hang(self, percent: int) -> None:
        assert self._process.stdin  # noqa: S101
        self._process.stdin.write(f"{percent}\n")
        self._process.stdin.flush()
        self._line()

    def cpu(self) -> float:
        """Processor time so far, in seconds (proc(5): utime and stime)."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        assert self._process.stdin  # noqa: S101
        self._process.stdin.close()
        self._process.wait(30)

    def _line(self) -> str:
        assert self._process.stdout  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the agents' process has ended")
        return line


class NoHands:
    """Nothing is ever done."""

    async def run(self, action: Action, *_: object, **__: object) -> ActionResult:
        raise SystemExit(f"the scaler wanted {action}")

    def cancel(self, *_: object) -> None:
        return


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agents", type=int, default=1000, help="agents of a sweep")
    parser.add_argument("--decide", type=int, default=10_000, help="agents of a decision")
    parser.add_argument(
        "--ticks", type=int, default=10_000, help="ticks in which memory is watched"
    )
    parser.add_argument("--tick-agents", type=int, default=5, help="agents of such a tick")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"load before: {os.getloadavg()[0]:.1f}\n", flush=True)
    print("| what | median | most | own CPU | the agents' CPU |\n| --- | --- | --- | --- | --- |")
    # First, so that no free memory of the others hides a growth.
    with serving(arguments.tick_agents) as (_, settings):
        asyncio.run(_memory(settings, arguments.ticks, arguments.tick_agents))
    with serving(arguments.agents) as (agents, settings):
        asyncio.run(_sweeps(agents, settings, arguments.rounds))
    _decisions(arguments.decide, arguments.rounds)
    print(f"\nload after: {os.getloadavg()[0]:.1f}")
    return 0


@contextlib.contextmanager
def serving(count: int) -> Iterator[tuple[Agents, ScalerSettings]]:
    """So many agents, and the settings of a scaler for them."""
    agents = Agents(count)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            application = {"name": "fake", "port": agents.port, "ready_path": "/ready"}
            (folder / "token").write_text("token\n")
            (folder / "deployment.json").write_text(
                json.dumps({"application": application, "release": "r1"})
            )
            settings = ScalerSettings(
                server_manager_url=f"http://127.0.0.1:{agents.port}",
                load_balancer_admin_url=f"http://127.0.0.1:{agents.port}",
                token_file=folder / "token",
                deployment_file=folder / "deployment.json",
                metrics_port=agents.port,
                sweep_timeout_s=TIMEOUT_S,
                state_dir=folder / "state",
            )
            # More than cluster.yml allows.
            yield agents, settings.model_copy(update={"agents_max": count})
    finally:
        agents.close()


async def _sweeps(agents: Agents, settings: ScalerSettings, rounds: int) -> None:
    observer = Observer(settings)
    try:
        for percent in (0, 10):
            agents.hang(percent)
            expected = agents.count - sum(n % 100 < percent for n in range(agents.count))

            async def sweep(expected: int = expected) -> None:
                seen = await observer.observe()
                known = sum(agent.has_metrics and bool(agent.ready) for agent in seen.agents)
                if known != expected:
                    raise SystemExit(f"{known} agents answered instead of {expected}")

            await sweep()  # warms up
            figures = [await _measured(sweep, agents) for _ in range(rounds)]
            what = f"sweep of {agents.count} agents"
            if percent:
                what += f", {percent} % hanging ({TIMEOUT_S:g} s time-out)"
            _row(what, figures)
            before = await observer.observe()

            async def glance(before: Observation = before, expected: int = expected) -> None:
                seen = await observer.glance(before)
                ready = sum(bool(agent.ready) for agent in seen.agents)
                if ready != expected:
                    raise SystemExit(f"{ready} agents are ready instead of {expected}")

            figures = [await _measured(glance, agents) for _ in range(rounds)]
            _row(what.replace("sweep of", "glance at"), figures)
    finally:
        await observer.close()


async def _measured(what: Callable[[], Awaitable[None]], agents: Agents) -> Figures:
    began, cpu, others = time.monotonic(), time.process_time(), agents.cpu()
    await what()
    return Figures(time.monotonic() - began, time.process_time() - cpu, agents.cpu() - others)


def _row(what: str, figures: list[Figures]) -> None:
    wall = statistics.median(f.wall for f in figures)
    most = max(f.wall for f in figures)
    cpu = statistics.median(f.cpu for f in figures)
    others = statistics.median(f.others for f in figures)
    print(f"| {what} | {wall:.2f} s | {most:.2f} s | {cpu:.2f} s | {others:.2f} s |", flush=True)


def _decisions(count: int, rounds: int) -> None:
    """The threshold policy and every guard, for loads that lead up, down, and nowhere."""
    settings = ScalerSettings(server_manager_url="http://127.0.0.1").model_copy(
        update={"agents_max": count + 1, "scaling_cooldown_s": 0.0}
    )
    limits, policy, state = settings.limits, ThresholdPolicy(), State(count)
    for what, percent, without, wanted in (
        ("up", 95.0, 0, 1),
        ("nowhere", 50.0, 0, 0),
        ("down", 5.0, 0, -1),
        ("one of ten without metrics", 5.0, 10, 0),
    ):
        seen = Observation(1e6, tuple(_agents(count, percent, without)))
        memory = decide(policy, seen, state, 1e6, limits).memory
        wall, cpu = [], []
        for _ in range(2 * rounds):
            began, used = time.monotonic(), time.process_time()
            decision = decide(policy, seen, state, 1e6 + 100, limits, memory)
            wall.append(1000 * (time.monotonic() - began))
            cpu.append(1000 * (time.process_time() - used))
            if decision.desired != count + wanted:
                raise SystemExit(f"decided {decision}")
        print(
            f"| decision for {count} agents ({what}) | {statistics.median(wall):.0f} ms "
            f"| {max(wall):.0f} ms | {statistics.median(cpu):.0f} ms | |"
        )


def _agents(count: int, percent: float, without: int) -> Iterator[Agent]:
    """Agents in service; every ``without``-th has no metrics."""
    for n in range(1, count + 1):
        load = None if without and n % without == 0 else percent
        yield Agent(
            name=f"agent-{n}",
            number=n,
            state="running",
            pool="in_service",
            swept=True,
            cpu_percent=load,
            memory_percent=load,
            ready=True,
        )


async def _memory(settings: ScalerSettings, ticks: int, count: int) -> None:
    store = Store(settings.database)
    observer = Observer(settings)
    controller = Controller(settings, store, observer, NoHands(), ThresholdPolicy())
    began, cpu = time.monotonic(), time.process_time()
    memory = {}
    try:
        for tick in range(1, ticks + 1):
            await controller.tick()
            if tick in (*MARKS, ticks):
                memory[tick] = _rss_mib()
    finally:
        await observer.close()
        store.close()
    wall, own = (time.monotonic() - began) / ticks, (time.process_time() - cpu) / ticks
    print(f"| tick with {count} agents | {wall * 1000:.1f} ms | | {own * 1000:.1f} ms | |")
    for tick, mib in memory.items():
        print(f"| memory (RSS) after {tick} ticks | {mib:.1f} MiB | | | |", flush=True)


def _rss_mib() -> float:
    """Resident memory (proc(5): statm, the second field, in pages)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())
