# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster in memory for the scaler: machines, a load balancer, and playbooks that go wrong.

It is the scaler's eyes and hands, and notes every promise that the scaler breaks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from clusterops.errors import ClusterOpsError
from clusterops.scaler.daemon import Controller
from clusterops.scaler.model import Action, ActionResult, Agent, Observation, PoolState
from tests.unit.scaler.builders import APPLICATION, NOW

Metrics = tuple[float | None, float | None]
HONEST_AND_MODERATE: Metrics = (50.0, 50.0)
STAGES: Mapping[str, tuple[str, ...]] = {
    "scale_up": ("power_on", "deploy", "serve"),
    "scale_down": ("drain", "leave", "undeploy", "power_off"),
    "prepare": ("power_on", "pull", "power_off"),
}
#: How long an entry that was removed stays listed as "out", for its last requests.
_OUT_S = 5.0


@dataclass
class Machine:
    """One agent as it really is. Times left in seconds."""

    number: int
    state: str = "absent"
    application: bool = False
    frozen: bool = False
    crashed: bool = False
    pool: PoolState | None = None
    address: str | None = None
    pool_address: str | None = None
    changing_s: float = 0.0
    out_s: float = 0.0
    boots: int = 0
    image: bool = False
    metrics: Metrics = HONEST_AND_MODERATE
    lie: Metrics | None = None

    @property
    def name(self) -> str:
        return f"agent-{self.number}"

    @property
    def answers(self) -> bool:
        return self.state == "running" and not self.frozen

    @property
    def able(self) -> bool:
        """Requests that reach it are served."""
        return self.answers and self.application

    @property
    def in_service(self) -> bool:
        return self.pool == "in_service"

    @property
    def moved(self) -> bool:
        return self.address is not None and self.pool_address != f"{self.address}:5000"

    def run_now(self, application: bool, *, new_address: bool = False) -> None:
        """Its machine runs, whatever it did before."""
        if new_address or not self.boots:
            self.boots += 1
        self.state, self.changing_s, self.frozen = "running", 0.0, False
        self.address = f"10.0.{self.boots}.{100 + self.number}"
        self.application, self.crashed = application, not application

    def halt(self, state: str) -> None:
        """Its machine does not run any more."""
        self.state, self.changing_s, self.address = state, 0.0, None
        self.image = self.image and state != "absent"
        self.application = self.frozen = self.crashed = False

    def join(self) -> None:
        self.pool, self.pool_address = "in_service", f"{self.address}:5000"

    def leave(self) -> None:
        if self.pool in ("in_service", "draining"):
            self.pool, self.out_s = "out", _OUT_S


@dataclass
class Fault:
    """What the next ``times`` playbooks of an agent do before their stage number ``stage``."""

    kind: Literal["fail", "hang", "no_effect"]
    stage: int
    times: int


@dataclass
class Playbook:
    """A run under way; ``tickets`` is how many stages it may go on."""

    action: Action
    fault: Fault | None
    tickets: int = 0


class World:
    """Everything outside of the scaler."""

    def __init__(self) -> None:
        self.now = NOW  # the wall clock; it jumps
        self.machines = {number: Machine(number) for number in (1, 2, 3, 4)}
        self.server_manager_out_s = self.load_balancer_out_s = 0.0
        self.boot_s = self.stop_s = 0.0
        self.faults: dict[int, Fault] = {}
        self.lost: list[Literal["request", "answer"]] = []
        self.playbooks: list[Playbook] = []
        self.during_look: list[Callable[[], None]] = []
        self.during_change: list[Callable[[], None]] = []
        self.broken: list[str] = []
        self.changes = 0  # everything that the scaler did
        self.controller: Controller | None = None
        self.look: Observation | None = None
        self.serving_well: set[str] = set()
        # What people asked for.
        self.held_until = 0.0

    @property
    def server_manager(self) -> bool:
        """Whether it answers."""
        return not self.server_manager_out_s

    @property
    def load_balancer(self) -> bool:
        """Whether it answers."""
        return not self.load_balancer_out_s

    # --- time ----------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.server_manager_out_s = max(self.server_manager_out_s - seconds, 0.0)
        self.load_balancer_out_s = max(self.load_balancer_out_s - seconds, 0.0)
        for machine in self.machines.values():
            machine.changing_s = max(machine.changing_s - seconds, 0.0)
            machine.out_s = max(machine.out_s - seconds, 0.0)
            if machine.pool == "out" and not machine.out_s:
                machine.pool = machine.pool_address = None
            if machine.changing_s:
                continue
            if machine.state == "starting":
                machine.run_now(False, new_address=False)
                machine.crashed = False
            elif machine.state == "stopping":
                machine.halt("stopped")

    def let_playbooks_go_on(self, stages: int) -> None:
        for playbook in self.playbooks:
            playbook.tickets = stages

    def heal(self) -> None:
        """All parts answer, all agents can do what they are asked for, no playbook hangs."""
        self.server_manager_out_s = self.load_balancer_out_s = 0.0
        self.boot_s = self.stop_s = 0.0
        self.faults.clear()
        self.lost.clear()
        for playbook in self.playbooks:
            playbook.fault = None
        for machine in self.machines.values():
            machine.frozen, machine.lie, machine.metrics = False, None, HONEST_AND_MODERATE
            if machine.crashed:
                machine.application, machine.crashed = True, False

    def unfinished(self, wanted: int, most: int) -> list[str]:
        """What is not yet as it should be, where nothing is wrong any more."""
        machines = self.machines.values()
        serving = [one.name for one in machines if one.in_service and one.able]
        serving = [name for name in serving if self._machine(name).number <= most]
        found = [] if len(serving) == wanted else [f"{serving} serve, {wanted} are wanted"]
        # A machine in error costs nothing; only people can say what it is worth.
        return found + [
            f"{one.name} is {one.state} ({one.pool})"
            for one in machines
            if one.name not in serving
            and (one.state not in ("stopped", "absent", "error") or one.pool)
        ]

    def missing_warm(self, wanted: int, warm: int, most: int) -> int:
        """How many agents the warm pool lacks."""
        machines = [one for one in self.machines.values() if one.number <= most]
        usable = sum(one.state != "error" for one in machines)
        prepared = sum(one.state == "stopped" and one.image for one in machines)
        return max(min(warm, usable - wanted) - prepared, 0)

    def picture(self) -> tuple[object, ...]:
        machines = self.machines.values()
        return self.changes, *((m.name, m.state, m.application, m.pool) for m in machines)

    # --- the scaler's eyes ---------------------------------------------------------------

    async def observe(self) -> Observation:
        self.look = Observation(
            at=self.now,
            agents=tuple(self._seen(machine) for machine in self.machines.values()),
            servers_known=self.server_manager,
            pool_known=self.load_balancer,
            application=APPLICATION,
            problems=(
                *(() if self.load_balancer else ("load balancer: refused",)),
                *(() if self.server_manager else ("Server Manager: refused",)),
            ),
        )
        self.serving_well = {
            one.name for one in self.machines.values() if one.able and not one.moved
        }
        look = self.look
        await self._meanwhile(self.during_look)
        return look

    def _seen(self, machine: Machine) -> Agent:
        pool = machine.pool if self.load_balancer else None
        pool_address = machine.pool_address if self.load_balancer else None
        state = machine.state if self.server_manager else None
        address = machine.address if self.server_manager else None
        in_pool = pool in ("in_service", "draining")
        swept = bool(address or (pool_address and in_pool)) and state in (None, "running")
        # The address that gets the traffic is the one that is asked.
        answers = swept and machine.answers and not (in_pool and machine.moved)
        cpu, memory = (machine.lie or machine.metrics) if answers else (None, None)
        return Agent(
            name=machine.name,
            number=machine.number,
            state=state,
            address=address,
            pool=pool,
            pool_address=pool_address,
            swept=swept,
            cpu_percent=cpu,
            memory_percent=memory,
            ready=(answers and machine.application) if swept else None,
        )

    async def glance(self, before: Observation) -> Observation:
        """As the real one: the pool and those in it are new, the machines' states are not."""
        now = await self.observe()
        if not now.pool_known:
            return replace(before, pool_known=False)
        old = {agent.name: agent for agent in before.agents}
        agents = (
            replace(agent, state=old[agent.name].state, address=old[agent.name].address)
            for agent in now.agents
        )
        return replace(before, at=self.now, agents=tuple(agents))

    async def eject(self, agent: str) -> None:
        machine = self._machine(agent)
        if agent in self.serving_well:
            self.broken.append(f"{agent} was ejected, and serves well")
        await self._ask(machine.leave)

    async def restore(self, agent: str, address: str) -> None:
        machine = self._machine(agent)
        if not machine.able:
            self.broken.append(f"{agent} was put back, and cannot serve")
        if address != machine.pool_address or machine.moved:
            self.broken.append(f"{agent} was put back at {address}")
        self._check_free("restore", agent)

        def back() -> None:
            machine.pool = "in_service"

        await self._ask(back)

    async def _ask(self, change: Callable[[], None]) -> None:
        self.changes += 1
        await self._meanwhile(self.during_change)
        lost = self.lost.pop(0) if self.lost else None
        if self.load_balancer and lost != "request":
            change()
        if lost or not self.load_balancer:
            raise ClusterOpsError("load balancer: no answer")

    async def _meanwhile(self, happenings: list[Callable[[], None]]) -> None:
        while happenings:
            happenings.pop()()
            await let_tasks_run()

    # --- the scaler's hands --------------------------------------------------------------

    async def run(
        self, action: Action, on_step: Callable[[str], None], cancel: threading.Event
    ) -> ActionResult:
        machine = self._machine(action.agent)
        self.changes += 1
        self._check_begin(action, machine)
        playbook = Playbook(action, self._fault(machine.number))
        self.playbooks.append(playbook)
        try:
            for place, stage in enumerate((*STAGES[action.kind], "end")):
                on_step(stage)
                if not await self._turn(playbook, place, cancel):
                    return ActionResult(False, 1.0, message="it was called off", cancelled=True)
                fault = playbook.fault
                if fault and fault.kind == "no_effect":
                    machine.image = True  # it is believed; a scale-up does what is missing
                    break
                if fault and fault.kind == "fail" and fault.stage <= place:
                    return _failed(stage, "it was not possible")
                if trouble := self._do(stage, machine):
                    return _failed(stage, trouble)
                while stage == "power_on" and machine.state == "starting":
                    if cancel.is_set():
                        return ActionResult(False, 1.0, message="called off", cancelled=True)
                    await asyncio.sleep(0)
            return ActionResult(True, 1.0)
        finally:
            self.playbooks.remove(playbook)

    async def _turn(self, playbook: Playbook, place: int, cancel: threading.Event) -> bool:
        """Wait until a stage may begin; False for a run that was called off."""
        while not cancel.is_set():
            fault = playbook.fault
            hangs = fault and fault.kind == "hang" and fault.stage <= place
            if playbook.tickets and not hangs:
                playbook.tickets -= 1
                return True
            await asyncio.sleep(0)
        return False

    def _fault(self, number: int) -> Fault | None:
        fault = self.faults.get(number)
        if fault:
            fault.times -= 1
            if not fault.times:
                del self.faults[number]
        return fault

    def _do(self, stage: str, machine: Machine) -> str | None:
        """A stage takes effect, or says why it does not."""
        if stage in ("power_on", "power_off") and not self.server_manager:
            return "the Server Manager does not answer"
        if stage in ("serve", "drain", "leave") and not self.load_balancer:
            return "the load balancer does not answer"
        trouble: str | None = None
        match stage:
            case "power_on" if machine.state == "stopping":
                trouble = "it is being stopped"
            case "power_on" if machine.state not in ("running", "starting"):
                machine.halt("starting")
                machine.changing_s = self.boot_s
                machine.boots += 1
                if not self.boot_s:
                    self.advance(0.0)
            case "deploy" | "pull" if not machine.answers:
                trouble = "unreachable"
            case "pull":
                machine.image = True
            case "deploy":
                machine.application, machine.crashed, machine.image = True, False, True
            case "serve" if not machine.able:
                trouble = "it did not become ready"
            case "serve":
                machine.join()
            case "drain" if machine.in_service:
                machine.pool = "draining"
            case "leave":
                machine.leave()
            case "undeploy" if machine.answers:
                machine.application = machine.crashed = False
            case "power_off" if machine.state not in ("absent", "stopped", "stopping"):
                machine.halt("stopping")
                machine.changing_s = self.stop_s
                if not self.stop_s:
                    self.advance(0.0)
        return trouble

    # --- promises ------------------------------------------------------------------------

    def _check_begin(self, action: Action, machine: Machine) -> None:
        what = f"{action.kind} {action.agent}"
        self._check_free(action.kind, action.agent)
        assert self.controller is not None
        at_once = self.controller.settings.actions_at_once
        others = [one for one in self.playbooks if one.action.kind != "prepare"]
        if action.kind == "prepare":
            if self.playbooks:
                self.broken.append(f"{what}: begun beside something else")
            if machine.state not in ("stopped", "absent"):
                self.broken.append(f"{what}: its machine is {machine.state}")
        elif len(others) >= at_once:
            self.broken.append(f"{what}: more than {at_once} actions at once")
        desired = self.controller.ledger.state.desired if self.controller.ledger.state else 0
        left = sum(one.in_service for one in self.machines.values()) - 1
        if action.kind == "scale_down" and machine.in_service and left < desired:
            self.broken.append(f"{what}: leaves {left} in service, {desired} are wanted")

    def _check_free(self, kind: str, agent: str) -> None:
        """Nobody holds the scaler, it is not blind, and nothing else is done with this agent."""
        if self.now < self.held_until:
            self.broken.append(f"{kind} {agent} was begun while the scaler is held")
        if self.look and not (self.look.servers_known and self.look.pool_known):
            self.broken.append(f"{kind} {agent} was begun blindly")
        if any(playbook.action.agent == agent for playbook in self.playbooks):
            self.broken.append(f"{kind} {agent}: a second action at the same time")

    def _machine(self, agent: str) -> Machine:
        return self.machines[int(agent.removeprefix("agent-"))]


async def let_tasks_run() -> None:
    """Long enough for every stage that may begin."""
    for _ in range(24):
        await asyncio.sleep(0)


def _failed(stage: str, why: str) -> ActionResult:
    return ActionResult(False, 1.0, failed_task=stage, failed_host="agent", message=why)
