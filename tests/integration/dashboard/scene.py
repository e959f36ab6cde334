# SPDX-License-Identifier: GPL-3.0-or-later
"""The real scaler's loop, API and page, around a cluster that is made up: a stage for browsers.

Load is a number of requests a second, which agents share; their CPU follows from it. The past
hour is played through at start, with the same loop and a clock that runs ahead. By itself:

    python -m tests.integration.dashboard.scene [AGENTS] [PORT]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterops.http_api.access import digest
from clusterops.http_api.serving import Server, config
from clusterops.scaler.api import make_app
from clusterops.scaler.daemon import Controller
from clusterops.scaler.feed import Feed
from clusterops.scaler.model import Action, ActionResult, Agent, Application, Observation
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.status import describe
from clusterops.scaler.store import Store

TOKEN, READ_TOKEN = "scene-token", "scene-token-to-read"
PER_AGENT = 260.0
"""Requests a second that fill an agent."""
STEPS = {
    "scale_up": ("Power on", "Wait for ssh", "Start the application", "Join the load balancer"),
    "scale_down": ("Drain", "Stop the application", "Power off"),
    "prepare": ("Power on", "Pull the image", "Power off"),
}


@dataclass
class Machine:
    """One agent of the stage."""

    number: int
    state: str = "absent"
    pool: str | None = None
    ready: bool = False

    @property
    def name(self) -> str:
        return f"agent-{self.number}"


class Scene:
    """Everything outside of the scaler, and the scaler's own parts around it.

    Args:
        rate: requests a second; ``load`` may become any function of the time (Unix seconds).
        step_s: how long a step of a playbook takes.
    """

    def __init__(
        self,
        folder: Path,
        agents: int = 6,
        serving: int = 2,
        *,
        step_s: float = 0.8,
        port: int = 0,
        read_open: bool = True,
        interval_s: float = 1.0,
        rate: float = 190.0,
    ) -> None:
        self.machines = {n: Machine(n) for n in range(1, agents + 1)}
        for machine in list(self.machines.values())[:serving]:
            machine.state, machine.pool, machine.ready = "running", "in_service", True
        self.load: Callable[[float], float] = lambda _at: rate
        self.errors = 0.0
        self.reachable = True
        self.crowd = 0
        self.step_s = step_s
        self.offset = 0.0
        self.began = time.time()
        self.random = random.Random(7)
        access = {"admin": [digest(TOKEN)], "read": [digest(READ_TOKEN)]}
        (folder / "access.json").write_text(json.dumps(access))
        self.settings = ScalerSettings(
            server_manager_url="http://nowhere:1",
            state_dir=folder,
            access_file=folder / "access.json",
            read_open=read_open,
            agents_min=1,
            agents_max=min(agents, 50),
            scaling_interval_s=interval_s,
            scaling_warmup_s=5,
            health_interval_s=30,
            unready_s=86_400,
        )
        self.store = Store(self.settings.database)
        self.controller = Controller(
            self.settings, self.store, self, self, ThresholdPolicy(), self.clock
        )
        self.watch = FakeWatch(self)
        self.port = port or _free_port()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def clock(self) -> float:
        return time.time() + self.offset

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- what is going on --------------------------------------------------------------------

    @property
    def serving(self) -> list[Machine]:
        return [m for m in self.machines.values() if m.pool == "in_service"]

    def share(self, machine: Machine) -> float:
        """Requests a second that an agent gets."""
        if machine.pool != "in_service" or machine.state != "running":
            return 0.0
        weight = 1 + 0.12 * math.sin(machine.number * 1.7 + self.clock() / 5)
        return self.load(self.clock()) / len(self.serving) * weight

    def figures(self) -> dict[str, Any]:
        """As clusterops.scaler.traffic would make them."""
        agents = {
            m.name: {
                "requests_per_s": round(self.share(m), 1),
                "errors_per_s": 0.0,
                "in_flight": round(self.share(m) * 0.02),
                "p95_ms": 20.0,
            }
            for m in self.machines.values()
            if m.pool
        }
        total = sum(one["requests_per_s"] for one in agents.values())
        busy = total / max(len(self.serving) * PER_AGENT, 1)
        slow = 1 + 5 * max(busy - 0.5, 0) ** 2 * 4
        wobble = self.random.uniform(0.95, 1.08)
        return {
            "requests_per_s": round(total, 1),
            "errors_per_s": self.errors,
            "in_flight": sum(one["in_flight"] for one in agents.values()),
            "p50_ms": round(6.2 * slow * wobble, 1) if total else None,
            "p95_ms": round(17.5 * slow * wobble, 1) if total else None,
            "p99_ms": round(31.0 * slow * wobble**2, 1) if total else None,
            "agents": agents,
        }

    def described(self, controller: Controller) -> dict[str, Any]:
        """The status document; with a crowd, of more agents than a cluster may have."""
        status = describe(controller)
        if self.crowd:
            one = {**status["agents"][0], "state": "running", "healthy": True}
            names = [f"agent-{n}" for n in range(1, self.crowd + 1)]
            kinds = {7: {"pool": "draining", "in_service": False}, 11: {"state": "paused"}}
            status["agents"] = [
                {
                    **one,
                    "name": name,
                    "pool": "in_service",
                    "in_service": True,
                    "cpu_percent": round(50 + 45 * math.sin(self.clock() + n), 1),
                    **kinds.get(n % 20, {}),
                }
                for n, name in enumerate(names)
            ]
            status["max"] = self.crowd
        return status

    def crowded(self) -> dict[str, Any]:
        """Traffic of a crowd."""
        figures = self.figures()
        if self.crowd:
            one = next(iter(figures["agents"].values()))
            figures["agents"] = {
                f"agent-{n}": {
                    **one,
                    "requests_per_s": round(60 + 55 * math.sin(self.clock() * 0.7 + n), 1),
                }
                for n in range(1, self.crowd + 1)
            }
        return figures

    # --- the loop's eyes and hands -------------------------------------------------------------

    async def observe(self) -> Observation:
        return Observation(
            at=self.clock(),
            agents=tuple(self._agent(machine) for machine in self.machines.values()),
            pool_known=self.reachable,
            application=Application("fibonacci", "3f9c2d41a7be", 5000, "/ready"),
            problems=() if self.reachable else ("load balancer: did not answer within 3 s",),
        )

    def _agent(self, machine: Machine) -> Agent:
        busy = self.share(machine) / PER_AGENT * 100
        running = machine.state == "running"
        address = f"10.0.0.{100 + machine.number}" if running else None
        noise = self.random.uniform(-2, 2)
        return Agent(
            machine.name,
            machine.number,
            state=machine.state,
            address=address,
            pool=machine.pool,  # type: ignore[arg-type]
            pool_address=f"{address}:5000" if machine.pool else None,
            in_flight=round(self.share(machine) * 0.02),
            swept=running,
            cpu_percent=min(max(4 + busy + noise, 1), 100) if running else None,
            memory_percent=25 + machine.number % 5 * 2 + busy / 8 if running else None,
            ready=machine.ready if running else None,
        )

    async def glance(self, before: Observation) -> Observation:
        return before

    async def eject(self, agent: str) -> None:
        self.machine(agent).pool = None

    async def restore(self, agent: str, address: str) -> None:
        self.machine(agent).pool = "in_service"

    def machine(self, name: str) -> Machine:
        return self.machines[int(name.removeprefix("agent-"))]

    async def run(
        self, action: Action, on_step: Callable[[str], None], cancel: threading.Event
    ) -> ActionResult:
        machine = self.machine(action.agent)
        for step in STEPS[action.kind]:
            on_step(step)
            if step == "Power on":
                machine.state = "starting"
            elif step == "Wait for ssh":
                machine.state = "running"
            elif step == "Join the load balancer":
                machine.pool, machine.ready = "in_service", True
            elif step == "Drain" and machine.pool:
                machine.pool = "draining"
            elif step == "Stop the application":
                machine.pool, machine.ready = None, False
            elif step == "Power off":
                machine.state = "absent" if machine.number > 3 else "stopped"
            if not self.offset and self.step_s:
                await asyncio.sleep(self.step_s)
            if cancel.is_set():
                return ActionResult(False, 1.0, message="cancelled", cancelled=True)
        return ActionResult(True, 11.8)

    # --- life --------------------------------------------------------------------------------

    async def play_the_past(self, seconds: float = 3600, every: float = 10) -> None:
        """Go through the time until now, with the scaler's own loop."""
        end = time.time()
        at = end - seconds
        while at < end:
            self.offset = at - time.time()
            await self.controller.tick()
            await self.controller.close()
            self.watch.points.append({"at": at, **_without_agents(self.figures())})
            self.store.add_traffic(at, self.watch.points[-1])
            at += every
        self.offset = 0.0

    def start(self, past: bool = True) -> None:
        """Serve in a thread of its own, until ``stop``."""
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready, past)), daemon=True
        )
        self._thread.start()
        assert ready.wait(60), "the scene did not begin"

    async def _serve(self, ready: threading.Event, past: bool) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if past and not self.watch.points:
            await self.play_the_past()
        feed = Feed(self.controller, self.described, self.watch)  # type: ignore[arg-type]
        listener = socket.create_server(("127.0.0.1", self.port))
        server = Server(
            config(
                make_app(self.controller, feed),
                log_level="warning",
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
        serving = asyncio.create_task(server.serve([listener]))
        looping = asyncio.create_task(self.controller.run(self._stop))
        pointing = asyncio.create_task(self._points())
        ready.set()
        await self._stop.wait()
        feed.close()
        server.should_exit = True
        pointing.cancel()
        await asyncio.wait({serving, looping}, timeout=10)
        listener.close()

    async def _points(self) -> None:
        while True:
            await asyncio.sleep(5)
            self.watch.points.append({"at": time.time(), **_without_agents(self.figures())})

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        assert self._loop and self._stop and self._thread
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def call(self, work: Callable[[], Any]) -> None:
        """Do something in the scaler's thread, and have the scaler look."""
        assert self._loop

        def change() -> None:
            work()
            self.controller.wake()

        self._loop.call_soon_threadsafe(change)


class FakeWatch:
    """In the place of clusterops.scaler.watch.Watch."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.points: deque[dict[str, Any]] = deque(maxlen=720)
        self.jobs: list[dict[str, Any]] | None = None

    @property
    def now(self) -> dict[str, Any] | None:
        return self._scene.crowded() if self._scene.reachable else None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        yield


def _without_agents(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if key != "agents"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def busy_day(at: float) -> float:
    """A load that makes agents come and go: waves of some minutes, and a spike."""
    wave = 330 + 260 * math.sin(at / 3600 * 2 * math.pi * 3)
    spike = 480 if at % 1500 < 170 else 0
    return max(wave + spike + 25 * math.sin(at / 7), 20)


def main() -> None:
    import tempfile

    agents = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(
            Path(folder),
            min(agents, 6),
            port=int(sys.argv[2]) if len(sys.argv) > 2 else 9700,
            interval_s=10,
        )
        scene.load = busy_day
        scene.crowd = agents if agents > 6 else 0
        scene.start()
        print(scene.url, flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
