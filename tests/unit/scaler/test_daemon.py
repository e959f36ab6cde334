# SPDX-License-Identifier: GPL-3.0-or-later
"""The control loop with a world of its own: no sockets, no processes, no waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clusterops.errors import ClusterOpsError
from clusterops.scaler.daemon import Controller
from clusterops.scaler.ledger import HeldError
from clusterops.scaler.model import Action, ActionResult, Agent, Observation
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.store import Store
from tests.unit.scaler.builders import NOW, agent, seen, silent


class World:
    """A cluster in memory, seen and changed by the controller under test."""

    def __init__(self) -> None:
        self.now = NOW
        self.agents: dict[int, Agent] = {1: agent(1)}
        self.actions: list[str] = []
        self.ejected: list[str] = []
        self.restored: list[str] = []
        self.result = ActionResult(True, 1.0)
        self.effective = True
        self.gate: asyncio.Event | None = None
        self.look: dict[str, object] = {}
        self.eject_fails = False
        self.glances = 0

    async def observe(self) -> Observation:
        return seen(*self.agents.values(), at=self.now, **self.look)

    async def glance(self, before: Observation) -> Observation:
        self.glances += 1
        return await self.observe()

    async def eject(self, name: str) -> None:
        if self.eject_fails:
            raise ClusterOpsError("no answer")
        self.ejected.append(name)
        number = int(name[6:])
        self.agents[number] = agent(number, "stopped")

    async def restore(self, name: str, address: str) -> None:
        self.restored.append(name)
        number = int(name[6:])
        assert address == self.agents[number].pool_address
        self.agents[number] = agent(number)

    async def run(
        self, action: Action, on_step: Callable[[str], None], cancel: threading.Event
    ) -> ActionResult:
        self.actions.append(f"{action.kind} {action.agent}")
        on_step("Do it")
        while self.gate and not self.gate.is_set():
            await asyncio.sleep(0)
            if cancel.is_set():
                return ActionResult(False, 1.0, message="it was called off", cancelled=True)
        number = int(action.agent[6:])
        if self.result.ok and self.effective:
            self.agents[number] = agent(
                number,
                "serving" if action.kind == "scale_up" else "stopped",  # or prepared
            )
        return self.result

    def load(self, cpu: float, memory: float = 10.0) -> None:
        for number, one in self.agents.items():
            if one.pool == "in_service":
                self.agents[number] = agent(number, cpu_percent=cpu, memory_percent=memory)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make(tmp_path: Path, world: World) -> Callable[..., Controller]:
    def controller(**changes: Any) -> Controller:
        settings = ScalerSettings(server_manager_url="http://x:1", state_dir=tmp_path, **changes)
        store = Store(settings.database)
        return Controller(settings, store, world, world, ThresholdPolicy(), lambda: world.now)

    return controller


async def settle(controller: Controller, ticks: int = 6) -> None:
    for _ in range(ticks):
        await controller.tick()
        await controller.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def kinds(controller: Controller) -> list[str]:
    return [event["kind"] for event in reversed(controller.ledger.store.events())]


async def test_load_brings_agents_one_at_a_time_with_rest_between(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    world.load(95)
    await settle(controller)
    assert world.actions == ["scale_up agent-2"]
    assert controller.decision and controller.decision.blocked_by in ("cooldown", "warm_up", None)
    world.now += 31
    world.load(95)
    await settle(controller)
    assert world.actions == ["scale_up agent-2", "scale_up agent-3"]
    for _ in range(5):
        world.now += 31
        world.load(1)
        await settle(controller)
    assert world.actions[2:] == ["scale_down agent-3", "scale_down agent-2"]


async def test_desired_is_written_down_before_acting(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    world.gate = asyncio.Event()
    world.load(95)
    await controller.tick()
    await asyncio.sleep(0)
    assert [run.step for run in controller.runs.all] == ["Do it"]
    again = Store(controller.settings.database).load()
    assert again and again.desired == 2
    await controller.tick()  # an action in progress: nothing else starts
    assert world.actions == ["scale_up agent-2"]
    world.gate.set()
    await controller.close()


async def test_a_new_daemon_finishes_what_the_old_one_began(
    make: Callable[..., Controller], world: World
) -> None:
    first = make()
    await first.tick()
    first.ledger.set_desired(3, 300)
    world.agents[2] = agent(2, "running")  # killed half-way
    await settle(make())
    assert world.actions == ["scale_up agent-2", "scale_up agent-3"]


async def test_a_person_sets_the_floor_for_a_while(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    await controller.tick()
    controller.ledger.set_desired(2, 300)
    world.now += 100
    await settle(controller)
    world.load(1)
    world.now += 100
    await settle(controller)
    assert controller.decision and controller.decision.blocked_by == "hold_floor"
    world.now += 101
    await settle(controller)
    assert world.actions == ["scale_up agent-2", "scale_down agent-2"]


async def test_hold_stops_actions_but_not_ejects(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    controller.ledger.hold("up", 60)
    world.agents[2] = agent(2, state="stopped", swept=False)  # dead, in the pool
    await settle(controller)
    assert (controller.mode, world.ejected, world.actions) == ("held", ["agent-2"], [])
    with pytest.raises(HeldError, match="'up'"):
        controller.ledger.hold("deploy", 5)
    assert make().mode == "held"  # a restart does not forget it
    world.now += 61
    await settle(controller)
    assert controller.mode == "auto" and world.actions == ["scale_up agent-2"]


async def test_failures_are_told_and_tried_again_later(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    await controller.tick()
    controller.ledger.set_desired(2, 300)
    world.result = ActionResult(False, 2.0, (), "Pull the image", "agent-2", "no space left")
    await settle(controller, 3)
    assert world.actions == ["scale_up agent-2"]
    event = controller.ledger.store.events(kind="failed")[0]
    assert event["failed_task"] == "Pull the image" and event["failed_host"] == "agent-2"
    assert "no space left" in event["message"]
    for _ in range(2):
        world.now += 25
        await settle(controller, 2)
    # Three failures: the next name is tried instead.
    assert world.actions == ["scale_up agent-2"] * 3 + ["scale_up agent-3"]
    world.result = ActionResult(True, 1.0)
    world.now += 25
    await settle(controller, 3)
    assert world.agents[3].pool == "in_service"


async def test_a_playbook_without_effect_does_not_spin(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    await controller.tick()
    controller.ledger.set_desired(2, 300)
    world.effective = False
    await settle(controller, 10)
    assert world.actions == ["scale_up agent-2"]
    assert "as it was before" in controller.ledger.store.events(kind="failed")[0]["message"]


async def test_alarms_come_once_and_go(make: Callable[..., Controller], world: World) -> None:
    controller = make()
    await controller.tick()
    world.look = {"servers_known": False, "problems": ("Server Manager: refused",)}
    await settle(controller, 3)
    assert controller.mode == "paused" and world.actions == []
    assert "server_manager_unreachable" in controller.alarms
    world.look = {}
    await settle(controller, 2)
    assert controller.mode == "auto"
    assert kinds(controller).count("alarm") == kinds(controller).count("alarm_cleared") == 1


async def test_a_failed_eject_does_not_end_the_tick(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    world.agents[2] = agent(2, state="stopped", swept=False)
    world.eject_fails = True
    await controller.tick()
    assert "failed" in kinds(controller)
    world.eject_fails = False
    await settle(controller)
    assert world.ejected == ["agent-2"]


async def test_the_loop_outlives_a_broken_tick_and_stops_when_told(
    make: Callable[..., Controller], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = make()
    calls = 0

    async def broken() -> Observation:
        nonlocal calls
        calls += 1
        controller.wake()
        if calls < 3:
            raise RuntimeError("odd")
        stop.set()
        return seen(agent(1))

    monkeypatch.setattr(world, "observe", broken)
    stop = asyncio.Event()
    await asyncio.wait_for(controller.run(stop), 5)
    assert calls == 3 and controller.ledger.state


async def test_every_tick_leaves_a_record(make: Callable[..., Controller], world: World) -> None:
    controller = make()
    await settle(controller, 2)
    tick = controller.ledger.store.ticks()[0]
    assert tick["decision"]["verdicts"][0]["rule"] == "cpu_above"
    assert tick["agents"][0]["cpu_percent"] == 50.0
    assert tick["plan"]["action"] is None


async def test_after_a_hold_the_cooldown_begins(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    controller.ledger.hold("up", 60)
    world.load(95)  # whoever holds the scaler works on the agents
    await settle(controller)
    controller.ledger.release("up")
    await settle(controller)
    assert world.actions == []
    assert controller.decision and controller.decision.blocked_by == "cooldown"
    world.now += 31
    world.load(95)
    await settle(controller)
    assert world.actions == ["scale_up agent-2"]


async def test_load_that_returns_while_an_agent_drains_puts_it_back(
    make: Callable[..., Controller], world: World
) -> None:
    world.agents[2] = agent(2)
    controller = make()
    await controller.tick()
    world.load(5)
    world.now += 60
    world.gate = asyncio.Event()
    await controller.tick()
    await asyncio.sleep(0)
    assert world.actions == ["scale_down agent-2"]
    world.agents[2] = agent(2, "draining", cpu_percent=90.0)
    world.load(95)
    world.now += 5  # within the cooldown: calling off is no new action
    await controller.tick()
    assert controller.ledger.state and controller.ledger.state.desired == 2
    await controller.close()
    assert world.restored == []
    await controller.tick()
    assert world.restored == ["agent-2"]
    assert world.actions == ["scale_down agent-2"]
    kinds = [event["kind"] for event in controller.ledger.store.events()]
    assert "cancelled" in kinds and "failed" not in kinds


async def test_a_person_who_asks_for_several_gets_them_at_once(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    await controller.tick()
    world.gate = asyncio.Event()
    controller.ledger.set_desired(4, 300)
    await controller.tick()
    await asyncio.sleep(0)
    assert world.actions == [f"scale_up agent-{n}" for n in (2, 3, 4)]
    world.gate.set()
    await controller.close()
    await controller.tick()
    assert controller.seen and len(controller.seen.in_service) == 4


async def test_a_paused_scaler_changes_nothing_and_stays_paused(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    await controller.tick()
    assert controller.ledger.pause(True) and not controller.ledger.pause(True)
    world.load(95)
    await settle(controller)
    assert world.actions == [] and controller.mode == "paused"
    assert controller.decision and controller.decision.blocked_by == "paused"
    controller.ledger.store.close()
    again = make()
    await settle(again)
    assert world.actions == [] and again.mode == "paused"
    assert again.ledger.pause(False)
    await settle(again)
    assert world.actions == ["scale_up agent-2"]


async def test_a_silent_agent_leaves_between_two_ticks(
    make: Callable[..., Controller], world: World
) -> None:
    world.agents[2], world.agents[3] = agent(2), agent(3)
    controller = make()
    await controller.tick()
    world.agents[2] = silent(2)
    await controller.glance()
    assert world.ejected == []
    await controller.glance()
    assert world.ejected == ["agent-2"]
    await settle(controller)
    assert world.actions == ["scale_up agent-4"]  # the silent one is used last


async def test_a_glance_leaves_agents_alone_that_an_action_is_under_way_for(
    make: Callable[..., Controller], world: World
) -> None:
    world.agents[2] = agent(2)
    controller = make()
    await controller.tick()
    world.gate = asyncio.Event()
    controller.ledger.remember(desired=1)
    await controller.tick()
    await asyncio.sleep(0)
    assert world.actions == ["scale_down agent-2"]
    world.agents[2] = silent(2)
    for _ in range(3):
        await controller.glance()
    assert world.ejected == []


async def test_a_glance_without_the_load_balancer_changes_nothing(
    make: Callable[..., Controller], world: World
) -> None:
    world.agents[2] = agent(2)
    controller = make()
    await controller.glance()  # before the first look there is nothing to look at
    assert world.glances == 0
    await controller.tick()
    world.agents[2] = silent(2)
    world.look = {"pool_known": False}
    for _ in range(3):
        await controller.glance()
    assert world.ejected == [] and controller.seen and controller.seen.pool_known


async def test_the_loop_looks_at_those_that_serve_more_often_than_it_decides(
    make: Callable[..., Controller], world: World
) -> None:
    world.agents[2] = agent(2)
    controller = make(health_interval_s=0.1, confirm_after_s=0.1, scaling_interval_s=60)
    stop = asyncio.Event()
    loop = asyncio.create_task(controller.run(stop))
    await until(lambda: world.glances >= 3)
    assert len(controller.ledger.store.ticks()) == 1
    world.agents[2] = silent(2)
    # An ejected agent is a reason to look.
    await until(lambda: len(controller.ledger.store.ticks()) > 1)
    stop.set()
    await asyncio.wait_for(loop, 2)
    assert world.ejected == ["agent-2"]


async def test_the_warm_pool_is_filled_once_and_remembered(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make(warm_agents=1)
    await settle(controller)
    assert world.actions == ["prepare agent-2"]
    state = controller.ledger.state
    assert state and state.last_scaling_at == 0.0  # nothing to rest after
    controller.ledger.store.close()
    again = make(warm_agents=1)
    await settle(again)
    assert world.actions == ["prepare agent-2"]
    again.ledger.set_desired(2, 300)
    await settle(again)
    assert world.actions[1:] == ["scale_up agent-2", "prepare agent-3"]
    world.agents[3] = agent(3, "absent")  # somebody deleted it
    await settle(again)
    assert world.actions[3:] == ["prepare agent-3"]


async def test_a_failed_start_is_rolled_back_and_tried_again(
    make: Callable[..., Controller], world: World
) -> None:
    controller = make()
    await controller.tick()
    controller.ledger.set_desired(2, 300)
    world.result = ActionResult(False, 1.0, failed_task="Deploy", message="no space left")
    await controller.tick()
    await controller.close()
    world.agents[2] = agent(2, "running")  # that far it came
    world.result = ActionResult(True, 1.0)
    await settle(controller)
    assert world.actions == ["scale_up agent-2", "scale_down agent-2"]
    world.now += 5
    await settle(controller)
    assert world.actions[2:] == ["scale_up agent-2"]
