# SPDX-License-Identifier: GPL-3.0-or-later
"""The control loop: observe, decide, write down, act. Between two ticks it only looks whether the
agents that serve are well.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace

from clusterops.errors import ClusterOpsError
from clusterops.scaler.bounds import Bounds
from clusterops.scaler.decide import Decision, decide
from clusterops.scaler.exporter import Exporter
from clusterops.scaler.health import Strikes, count_strikes, suspected, unhealthy
from clusterops.scaler.ledger import Ledger
from clusterops.scaler.model import (
    Action,
    ActionKind,
    ActionResult,
    Eject,
    Limits,
    Observation,
    Plan,
    Rules,
    State,
)
from clusterops.scaler.policy import Policy
from clusterops.scaler.ports import Eyes, Hands
from clusterops.scaler.reconcile import acting_kind, initial_desired, plan
from clusterops.scaler.record import alarms_of, failure_text, tick_record
from clusterops.scaler.runs import Run, Runs
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.store import Store
from clusterops.scaler.troubles import after_failure, after_success, quarantined

_LOG = logging.getLogger(__name__)
_PRUNE_EVERY_S = 600.0
#: Looks between ticks take at most this share of one processor.
_GLANCES_SHARE = 0.1
#: Alarms under which the scaler changes nothing; the mode is then "paused".
SAFETY_STOPS = ("load_balancer_unreachable", "server_manager_unreachable", "many_unhealthy")


class Controller:
    """The scaler's loop."""

    def __init__(
        self,
        settings: ScalerSettings,
        store: Store,
        eyes: Eyes,
        hands: Hands,
        policy: Policy,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.exporter = Exporter(settings.state_dir)
        self._eyes = eyes
        self._policy = policy
        self._clock = clock
        self._wake = asyncio.Event()
        self.ledger = Ledger(store, clock, self.wake)
        self.exporter.limits(self.bounds.low, self.bounds.high)
        self._strikes: dict[str, Strikes] = {}
        self.runs = Runs(hands, self._ended)
        # Succeeded just now; must not be due again.
        self._without_effect: dict[str, Action] = {}
        self._pruned_at = 0.0
        self.seen: Observation | None = None
        self.last_known: Observation | None = None
        self.decision: Decision | None = None
        self.decided_at = 0.0
        self.plan: Plan | None = None
        self.alarms: dict[str, tuple[str, float]] = {}
        self.alive_at = time.monotonic()

    # --- for the API ---------------------------------------------------------------------

    @property
    def mode(self) -> str:
        if self.ledger.lease:
            return "held"
        stopped = any(name in SAFETY_STOPS for name in self.alarms)
        return "paused" if stopped or self.ledger.paused else "auto"

    @property
    def configured(self) -> Bounds:
        """What cluster.yml says."""
        return Bounds(self.settings.agents_min, self.settings.agents_max)

    @property
    def bounds(self) -> Bounds:
        """The least and the most agents at present."""
        asked = self.ledger.bounds
        return asked.within(self.configured) if asked else self.configured

    @property
    def limits(self) -> Limits:
        bounds = self.bounds
        return replace(self.settings.limits, agents_min=bounds.low, agents_max=bounds.high)

    @property
    def rules(self) -> Rules:
        return replace(self.settings.rules, agents_max=self.bounds.high)

    def healthy(self, name: str) -> bool:
        """Whether the last look found an agent fit to serve."""
        seen = self.seen
        agent = next((a for a in seen.agents if a.name == name), None) if seen else None
        return bool(agent and agent.swept and agent.ready is not False and agent.has_metrics)

    def wake(self) -> None:
        """Make the next tick come now."""
        self._wake.set()

    # --- the loop ------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until ``stop`` is set; then end the actions in progress and return."""
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _task: self.wake())
        try:
            while not stop.is_set():
                self._wake.clear()
                await self._guarded("tick", self.tick())
                await self._rest(self.settings.scaling_interval_s)
        finally:
            stopping.cancel()
            self.runs.cancel()
            await self.runs.wait(10.0)

    async def _rest(self, seconds: float) -> None:
        """Until the next tick is due, or somebody wakes the loop; look at those that serve."""
        ends = time.monotonic() + seconds
        least = 0.0
        while not self._wake.is_set():
            doubt = suspected(self._strikes)
            pause = self.settings.confirm_after_s if doubt else self.settings.health_interval_s
            left = ends - time.monotonic()
            try:
                await asyncio.wait_for(self._wake.wait(), min(max(pause, least), max(left, 0.0)))
            except TimeoutError:
                if time.monotonic() >= ends:
                    return
                used = time.process_time()
                await self._guarded("glance", self.glance())
                least = (time.process_time() - used) / _GLANCES_SHARE

    async def _guarded(self, what: str, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:  # the loop is the one thing that must go on
            _LOG.exception("a %s failed", what)
            self.exporter.error()
            self.alarms[f"{what}_failed"] = (f"the last {what} failed: {error}", self._clock())
        self.alive_at = time.monotonic()

    async def glance(self) -> None:
        """Between two ticks: take agents out of the pool that do not serve any more."""
        if self.seen is None or not self.seen.pool_known:
            return
        busy, began_at = self.runs.busy, self._clock()
        seen = await self._eyes.glance(self.seen)
        busy |= self.runs.busy
        if not seen.pool_known:
            return  # the next tick says so
        self.seen = seen
        # A playbook may be taking an agent out, or putting it in, at this very moment.
        agents = (replace(one, swept=one.swept and one.name not in busy) for one in seen.agents)
        view = replace(seen, agents=tuple(agents))
        self._strikes = count_strikes(self._strikes, view, began_at)
        ejects, _alarms = unhealthy(seen, self._strikes, self.rules)
        # What the Server Manager said at the last tick is no reason: a machine may run by now.
        due = (one for one in ejects if one.suspect and one.agent not in busy)
        await self._eject(tuple(due))

    async def tick(self) -> None:
        """One round: look, eject what is dead, decide, write down, start actions."""
        began, began_at = time.monotonic(), self._clock()
        # An action that ends during the look makes the look a picture of the past.
        busy = self.runs.busy
        seen = await self._eyes.observe()
        busy |= self.runs.busy
        acting = acting_kind(busy)
        now = self._clock()
        self.seen = seen
        if seen.servers_known:
            self.last_known = seen
            self._forget_absent(seen)
        self._strikes = count_strikes(self._strikes, seen, began_at)
        if self.ledger.state is None and not self._initialise(seen):
            self._raise_alarms(seen, Plan())
            return
        before = self._plan(seen, now, busy)
        await self._eject(before.ejects)
        self._raise_alarms(seen, before)
        stop = next((name for name in SAFETY_STOPS if name in self.alarms), None)
        state = self._state()  # somebody may have asked for something during the ejects
        decision = decide(
            self._policy,
            seen,
            state,
            now,
            self.limits,
            self.ledger.memory,
            acting=acting,
            safety_stop=stop,
        )
        self.decision, self.decided_at = decision, now
        self.ledger.memory = decision.memory
        if decision.desired != state.desired:
            # Written before anything is done: a restart goes on towards the same number.
            self.ledger.remember(desired=decision.desired, last_scaling_at=now)
            self.exporter.decided(decision.direction)
            self.ledger.event(
                "decision",
                f"from {state.desired} to {decision.desired}: {decision.reason}",
                desired=decision.desired,
                direction=decision.direction,
            )
        next_plan = self._plan(seen, now, busy)
        self.plan = next_plan
        for run in self.runs.cancel(next_plan.cancels):
            self.ledger.event("cancelling", "it is wanted again", run.action.agent)
        await self._restore(next_plan.restores, seen)
        self._begin(() if before.ejects else next_plan.actions, busy)
        self.exporter.desired.set(self._state().desired)
        self.exporter.limits(self.bounds.low, self.bounds.high)
        state_now, rules = self._state(), self.rules
        set_aside = [
            name for name in state_now.troubles if quarantined(state_now, name, now, rules)
        ]
        self.exporter.tick(seen, time.monotonic() - began, self.mode, self.alarms, set_aside)
        record = tick_record(seen, decision, next_plan, state, acting=acting, safety_stop=stop)
        self._write_down(now, record)

    async def close(self) -> None:
        """Wait for the actions in progress (tests; ``run`` ends them by itself)."""
        await self.runs.wait()

    # --- the parts of a tick ---------------------------------------------------------------

    def _state(self) -> State:
        state = self.ledger.state
        assert state is not None  # noqa: S101 - tick() sees to it
        return state

    def _plan(self, seen: Observation, now: float, busy: Mapping[str, ActionKind]) -> Plan:
        state = self._state()
        return plan(state.desired, seen, state, self._strikes, now, self.rules, busy)

    def _initialise(self, seen: Observation) -> bool:
        desired = initial_desired(seen, self.bounds.low, self.bounds.high)
        if desired is None:
            return False
        self.ledger.begin(desired)
        self.ledger.event("desired", f"starting with {desired}", desired=desired)
        return True

    def _forget_absent(self, seen: Observation) -> None:
        for agent in seen.agents:
            if agent.state == "absent":
                self.ledger.set_prepared(agent.name, None)

    async def _eject(self, ejects: tuple[Eject, ...]) -> None:
        done = False
        for eject in ejects:
            try:
                await self._eyes.eject(eject.agent)
            except ClusterOpsError as error:
                self.ledger.event("failed", f"could not be ejected: {error}", eject.agent)
                continue
            done = True
            self.exporter.eject()
            self.ledger.event("ejected", eject.reason, eject.agent)
            if eject.suspect:
                trouble = self.ledger.trouble(eject.agent)
                self.ledger.set_trouble(eject.agent, replace(trouble, suspect=True))
        if done:
            self.wake()  # look again, and replace it, without waiting for the interval

    def _raise_alarms(self, seen: Observation, before: Plan) -> None:
        current = alarms_of(seen, before)
        now = self._clock()
        for name, text in current.items():
            if name not in self.alarms:
                self.ledger.event("alarm", text, alarm=name)
        for name in self.alarms.keys() - current.keys():
            self.ledger.event("alarm_cleared", f"{name} is over", alarm=name)
        self.alarms = {
            name: (text, self.alarms[name][1] if name in self.alarms else now)
            for name, text in current.items()
        }

    def _begin(self, actions: tuple[Action, ...], busy: Mapping[str, ActionKind]) -> None:
        for action in actions:
            last = self._without_effect.get(action.agent)
            if last and last.kind == action.kind:
                self._fail(action, "the playbook succeeded, but the agent is as it was before")
            else:
                self._start(action)
        # What a look during an action shows of its agent says nothing about the action.
        for name in self._without_effect.keys() - busy.keys():
            del self._without_effect[name]

    def _start(self, action: Action) -> None:
        now = self._clock()
        self._rest_begins(action.kind, now)
        text = f"{action.kind}: {action.reason}"
        self.ledger.event("started", text, action.agent, action=action.kind)
        self.runs.start(action, now)

    def _rest_begins(self, kind: ActionKind, now: float) -> None:
        """The cooldown after a change; what is only prepared changes nothing."""
        if kind != "prepare":
            self.ledger.remember(last_scaling_at=now)

    async def _restore(self, agents: tuple[str, ...], seen: Observation) -> None:
        addresses = {agent.name: agent.pool_address or "" for agent in seen.agents}
        for name in agents:
            try:
                await self._eyes.restore(name, addresses[name])
            except ClusterOpsError as error:
                self.ledger.event("failed", f"could not be put back into service: {error}", name)
                continue
            self.ledger.remember(last_scaling_at=self._clock())
            self.ledger.event("restored", "it was draining, and is in service again", name)
            self.wake()

    def _write_down(self, now: float, record: dict[str, object]) -> None:
        store = self.ledger.store
        store.add_tick(now, record, self.ledger.memory)
        if now - self._pruned_at > _PRUNE_EVERY_S:
            self._pruned_at = now
            store.prune(now - self.settings.ticks_kept_s, self.settings.events_kept)

    # --- the end of an action --------------------------------------------------------------

    def _ended(self, run: Run, result: ActionResult | None) -> None:
        action = run.action
        if result is None:
            self.exporter.error()
            return
        self.exporter.action(action.kind, result)
        self._rest_begins(action.kind, self._clock())
        if result.ok:
            self._succeeded(action, result)
        elif result.cancelled:
            text = f"{action.kind} was called off"
            details = result.as_dict()
            self.ledger.event("cancelled", text, action.agent, action=action.kind, **details)
        else:
            self._fail(action, failure_text(result), **result.as_dict())
        self.wake()

    def _succeeded(self, action: Action, result: ActionResult) -> None:
        agent = action.agent
        self._without_effect[agent] = action
        self.ledger.set_trouble(agent, after_success(self.ledger.trouble(agent), action.kind))
        application = self.seen.application if self.seen else None
        if action.kind != "scale_down" and application:
            self.ledger.set_prepared(agent, application.release)
        text = f"{action.kind} took {result.seconds:.1f} s"
        self.ledger.event("finished", text, agent, action=action.kind, **result.as_dict())

    def _fail(self, action: Action, why: str, **data: object) -> None:
        now = self._clock()
        before = self.ledger.trouble(action.agent)
        trouble = after_failure(before, action.kind, now, self.rules)
        self.ledger.set_trouble(action.agent, trouble)
        then = f"next try in {trouble.not_before - now:.0f} s"
        if trouble.quarantined_until > now:
            then = f"set aside for {trouble.quarantined_until - now:.0f} s"
        self.ledger.event(
            "failed",
            f"{action.kind}, attempt {trouble.failures}: {why}; {then}",
            action.agent,
            action=action.kind,
            **data,
        )
