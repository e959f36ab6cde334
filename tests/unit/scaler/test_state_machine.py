# SPDX-License-Identifier: GPL-3.0-or-later
"""The control loop in a world where anything happens at any moment: random, but repeatable."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from clusterops.scaler.daemon import Controller
from clusterops.scaler.model import Lease
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.store import Store
from tests.unit.scaler.world import Fault, Metrics, World, let_tasks_run

_HOUR_S = 3600.0
_TICK_S = 10.0
#: Longer than any back-off, quarantine, hold or lease, and a clock that was an hour fast.
_TICKS_TO_HEAL = 800

numbers = st.integers(1, 4)
percents = st.sampled_from([0.0, 5.0, 50.0, 75.0, 90.0, 100.0])
lies: st.SearchStrategy[Metrics] = st.sampled_from(
    [(0.0, 0.0), (100.0, 100.0), (None, None), (None, 50.0), (0.0, 100.0)]
)


class Killed(BaseException):
    """The scaler's process ended here and now."""


class MortalStore(Store):
    """The scaler's store; the process may end just before one of its writes."""

    writes_left: int | None = None
    dead = False

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        self.dead = self.dead or self.writes_left == 0
        if self.dead:
            raise Killed
        if self.writes_left:
            self.writes_left -= 1
        with super()._write() as db:
            yield db


class ScalerMachine(RuleBasedStateMachine):
    """A scaler, people who use it, and a world that lets it down."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda *_: None)  # of a killed scaler: nobody's business
        self.folder = folder
        self.world = World()
        self.latest = self.world.now
        # What people asked for: it has to be so, whatever happens to the scaler.
        self.paused = False
        self.desired_while_paused: int | None = None
        self.floor, self.floor_until = 0, 0.0
        self.controller: Controller
        self.store: MortalStore

    @initialize(
        states=st.lists(
            st.sampled_from(["absent", "stopped", "running", "serving"]), min_size=4, max_size=4
        ),
        low=st.integers(0, 2),
        high=st.integers(3, 4),
        warm=st.integers(0, 2),
        out_s=st.sampled_from([0.0, 20.0]),
        stages_a_tick=st.sampled_from([8, 1]),
    )
    def begin(
        self, states: list[str], low: int, high: int, warm: int, out_s: float, stages_a_tick: int
    ) -> None:
        self.stages_a_tick = stages_a_tick  # one on a machine with a lot to do
        for machine, state in zip(self.world.machines.values(), states, strict=True):
            if state in ("running", "serving"):
                machine.run_now(state == "serving")
                machine.crashed = False
            else:
                machine.halt(state)
            if state == "serving":
                machine.join()
        self.world.load_balancer_out_s = out_s
        self.settings = ScalerSettings(
            server_manager_url="http://x:1",
            state_dir=self.folder,
            agents_min=low,
            agents_max=high,
            warm_agents=warm,
        )
        self._start()

    # --- the scaler's life -----------------------------------------------------------------

    def _start(self) -> None:
        self.store = MortalStore(self.settings.database)
        self.controller = Controller(
            self.settings,
            self.store,
            self.world,
            self.world,
            ThresholdPolicy(),
            lambda: self.world.now,
        )
        self.world.controller = self.controller

    def _kill(self) -> None:
        in_a_write = self.store.dead
        desired = self.controller.ledger.state and self.controller.ledger.state.desired
        self.store.dead = True
        self.world.during_look.clear()
        self.world.during_change.clear()
        self._end_tasks()
        self.store.close()
        self._start()
        state = self.store.load()
        if not in_a_write:  # everything was on disk
            assert (state and state.desired) == desired
            return
        # Whoever asked a scaler that died meanwhile has to look what came of it.
        lease = self.store.load_lease()
        self.world.held_until = lease.until if lease else 0.0
        self.paused = self.store.load_paused()
        self.desired_while_paused = state.desired if state and self.paused else None
        self.floor = state.floor if state else 0
        self.floor_until = state.floor_until if state else 0.0

    def _end_tasks(self) -> None:
        async def end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.loop.run_until_complete(end())

    def _ask(self, request: Callable[[], object]) -> None:
        """Ask the scaler for something; it may die of it."""
        try:
            request()
        except Killed:
            self._kill()

    async def _ticking(self) -> None:
        await let_tasks_run()
        await self.controller.tick()
        await let_tasks_run()

    def _tick(self, seconds: float) -> None:
        self._pass(seconds, self._ticking)

    def _pass(self, seconds: float, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Time goes by, and then the scaler does something; perhaps the last it ever does."""
        self.world.advance(seconds)
        self.latest = max(self.latest, self.world.now)
        if self.world.now >= self.floor_until:
            self.floor = 0  # over, even for a clock that is set back
        with contextlib.suppress(Killed):
            self.loop.run_until_complete(work())
        if self.store.dead:
            self._kill()
        self.world.let_playbooks_go_on(0)

    @rule(seconds=st.integers(1, 30), stages=st.integers(0, 5), late=st.booleans())
    def tick(self, seconds: int, stages: int, late: bool) -> None:
        if late:  # the playbooks go on while the scaler looks
            self.world.during_look.append(lambda: self.world.let_playbooks_go_on(stages))
        else:
            self.world.let_playbooks_go_on(stages)
        self._tick(seconds)

    @rule(glances=st.integers(1, 4), stages=st.integers(0, 2), late=st.booleans())
    def it_glances(self, glances: int, stages: int, late: bool) -> None:
        async def glancing() -> None:
            await let_tasks_run()
            await self.controller.glance()
            await let_tasks_run()

        for _ in range(glances):
            if late:
                self.world.during_look.append(lambda: self.world.let_playbooks_go_on(stages))
            else:
                self.world.let_playbooks_go_on(stages)
            self._pass(2, glancing)

    @rule(
        seconds=st.integers(1, 30),
        ticks=st.integers(3, 12),
        stages=st.integers(1, 3),
        load=st.sampled_from([None, 0.0, 5.0, 75.0, 100.0]),
    )
    def a_while_passes(self, seconds: int, ticks: int, stages: int, load: float | None) -> None:
        if load is not None:
            self.load_changes(load, load)
        for _ in range(ticks):
            self.world.let_playbooks_go_on(stages)
            self._tick(seconds)

    @rule(before=st.integers(0, 4), ticks=st.integers(1, 4), after=st.integers(0, 4))
    def somebody_changes_their_mind(self, before: int, ticks: int, after: int) -> None:
        self._ask(lambda: self._desired(self._within(before)))
        for _ in range(ticks):
            self.world.let_playbooks_go_on(1)
            self._tick(1)
        self._ask(lambda: self._desired(self._within(after)))

    @rule(writes=st.none() | st.integers(0, 6))
    def the_scaler_is_killed(self, writes: int | None) -> None:
        if writes is None:
            self._kill()
        else:  # soon: just before the write after these
            self.store.writes_left = writes

    # --- people ----------------------------------------------------------------------------

    def _within(self, count: int) -> int:
        return min(max(count, self.settings.agents_min), self.settings.agents_max)

    def _desired(self, count: int) -> None:
        self.controller.ledger.set_desired(count, 300)
        self.floor, self.floor_until = count, self.world.now + self.settings.scaling_hold_s
        if self.paused:
            self.desired_while_paused = count

    def _pause(self, paused: bool) -> None:
        self.controller.ledger.pause(paused)
        state = self.controller.ledger.state
        if paused and not self.paused:
            self.desired_while_paused = state.desired if state else None
        self.paused = paused

    def _hold(self, seconds: int) -> None:
        self.controller.ledger.hold("up", seconds)
        self.world.held_until = self.world.now + seconds

    def _release(self) -> None:
        self.controller.ledger.release("up")
        self.world.held_until = 0.0

    @rule(
        what=st.sampled_from(["desired", "pause", "resume", "hold", "release"]),
        count=st.integers(0, 4),
        seconds=st.integers(1, 300),
        when=st.sampled_from(["now", "during_look", "during_change"]),
    )
    def somebody_asks(self, what: str, count: int, seconds: int, when: str) -> None:
        request: Callable[[], None] = {
            "desired": lambda: self._desired(self._within(count)),
            "pause": lambda: self._pause(True),
            "resume": lambda: self._pause(False),
            "hold": lambda: self._hold(seconds),
            "release": self._release,
        }[what]
        if when == "now":
            self._ask(request)
        else:
            getattr(self.world, when).append(request)

    # --- the world -------------------------------------------------------------------------

    @rule(cpu=percents, memory=percents)
    def load_changes(self, cpu: float, memory: float) -> None:
        for machine in self.world.machines.values():
            machine.metrics = (cpu, memory)

    @rule(number=numbers, lie=st.none() | lies)
    def an_agent_lies(self, number: int, lie: Metrics | None) -> None:
        self.world.machines[number].lie = lie

    @rule(number=numbers, state=st.sampled_from(["stopped", "absent", "error", "paused"]))
    def a_machine_dies(self, number: int, state: str) -> None:
        self.world.machines[number].halt(state)

    @rule(number=numbers, application=st.booleans(), new_address=st.booleans())
    def a_machine_comes_back(self, number: int, application: bool, new_address: bool) -> None:
        self.world.machines[number].run_now(application, new_address=new_address)

    @rule(number=numbers, what=st.sampled_from(["freezes", "thaws", "crashes"]))
    def a_machine_falls_silent(self, number: int, what: str) -> None:
        machine = self.world.machines[number]
        if what == "crashes":
            machine.crashed = machine.crashed or machine.application
            machine.application = False
        else:
            machine.frozen = what == "freezes" and machine.state == "running"

    @rule(boot_s=st.integers(0, 90), stop_s=st.integers(0, 30))
    def machines_are_slow(self, boot_s: int, stop_s: int) -> None:
        self.world.boot_s, self.world.stop_s = float(boot_s), float(stop_s)

    @rule(server_manager_s=st.integers(0, 40), load_balancer_s=st.integers(0, 40))
    def parts_do_not_answer(self, server_manager_s: int, load_balancer_s: int) -> None:
        self.world.server_manager_out_s = float(server_manager_s)
        self.world.load_balancer_out_s = float(load_balancer_s)

    @rule(
        number=numbers,
        kind=st.sampled_from(["fail", "hang", "no_effect"]),
        stage=st.integers(0, 4),
        times=st.integers(1, 4),
    )
    def playbooks_will_go_wrong(
        self, number: int, kind: Literal["fail", "hang", "no_effect"], stage: int, times: int
    ) -> None:
        self.world.faults[number] = Fault(kind, stage, times)

    @rule(part=st.sampled_from(["request", "answer"]))
    def a_message_will_be_lost(self, part: Literal["request", "answer"]) -> None:
        self.world.lost.append(part)

    @rule(seconds=st.floats(-_HOUR_S, _HOUR_S))
    def the_clock_jumps(self, seconds: float) -> None:
        # Never more than an hour behind what was written down last.
        self.world.now = max(self.world.now + seconds, self.latest - _HOUR_S)
        self.latest = max(self.latest, self.world.now)

    # --- what always holds -----------------------------------------------------------------

    @invariant()
    def no_promise_was_broken(self) -> None:
        assert not self.world.broken, "; ".join(self.world.broken)

    @precondition(lambda self: self.controller.ledger.state is not None)
    @invariant()
    def desired_is_as_it_may_be(self) -> None:
        state = self.controller.ledger.state
        assert state
        assert self.settings.agents_min <= state.desired <= self.settings.agents_max
        if self.paused:
            if self.desired_while_paused is None:
                self.desired_while_paused = state.desired
            assert state.desired == self.desired_while_paused, "changed while paused"
        if self.world.now < self.floor_until:
            assert state.desired >= self.floor, "less than a person asked for"

    @invariant()
    def what_was_asked_for_is_remembered(self) -> None:
        state = self.controller.ledger.state
        if state:
            assert state.paused == self.paused
        lease = Lease("up", self.world.held_until)
        expected = lease if self.world.now < lease.until else None
        assert self.controller.ledger.lease == expected

    # --- and in the end --------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            # After a failure there is nothing left to learn.
            if hasattr(self, "controller") and sys.exc_info()[0] is None:
                self._heals()
        finally:
            self._end_tasks()
            self.loop.close()
            if hasattr(self, "store"):
                self.store.close()

    def _heals(self) -> None:
        """Whatever happened: in a world that works again, the scaler reaches what is wanted."""
        self.store.writes_left = None
        self.world.during_look.clear()
        self.world.during_change.clear()
        self.world.heal()
        self._release()
        self._pause(False)
        self._calm_tick()
        assert self.controller.ledger.state
        wanted = self.controller.ledger.state.desired
        for _ in range(_TICKS_TO_HEAL):
            if not self._unfinished(wanted):
                break
            self._calm_tick()
        unfinished = self._unfinished(wanted)
        assert not unfinished, "; ".join(unfinished)
        self.world.advance(2 * _HOUR_S)  # what was set aside is eligible again
        for _ in range(10):
            self._calm_tick()
        high, warm = self.settings.agents_max, self.settings.warm_agents
        assert self.world.missing_warm(wanted, warm, high) == 0
        before = self._picture()
        for _ in range(3):
            self._calm_tick()
        assert self._picture() == before
        self.no_promise_was_broken()
        self.desired_is_as_it_may_be()
        self.what_was_asked_for_is_remembered()

    def _calm_tick(self) -> None:
        self.world.let_playbooks_go_on(self.stages_a_tick)
        self._tick(_TICK_S)
        note(f"{self.world.now:.0f}: {self._picture()} {self.controller.plan}")

    def _unfinished(self, wanted: int) -> list[str]:
        found = self.world.unfinished(wanted, self.settings.agents_max)
        if self.controller.runs.busy:
            found.append(f"under way: {self.controller.runs.busy}")
        if self.controller.ledger.state and self.controller.ledger.state.desired != wanted:
            found.append(f"{self.controller.ledger.state.desired} are wanted now, not {wanted}")
        return found

    def _picture(self) -> tuple[object, ...]:
        return (
            self.controller.ledger.state and self.controller.ledger.state.desired,
            *self.world.picture(),
        )


def test_it_keeps_its_promises_and_recovers_from_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "clusterops")  # thousands of lines
    runs = itertools.count()

    class InItsOwnFolder(ScalerMachine):
        def __init__(self) -> None:
            super().__init__(tmp_path / str(next(runs)))

    run_state_machine_as_test(
        InItsOwnFolder,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
