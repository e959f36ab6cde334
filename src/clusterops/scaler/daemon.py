# SPDX-License-Identifier: GPL-3.0-or-later
"""The control loop: observe, decide, write down, act. One loop, one action at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from clusterops.errors import ClusterOpsError
from clusterops.scaler.decide import Decision, decide
from clusterops.scaler.exporter import Exporter
from clusterops.scaler.model import (
    Action,
    ActionKind,
    ActionResult,
    Lease,
    Observation,
    Plan,
    State,
    Trouble,
)
from clusterops.scaler.policy import Policy
from clusterops.scaler.ports import Eyes, Hands
from clusterops.scaler.reconcile import (
    Rules,
    Strikes,
    acting_kind,
    after_failure,
    after_success,
    count_strikes,
    initial_desired,
    plan,
    suspected,
)
from clusterops.scaler.record import alarms_of, failure_text, tick_record
from clusterops.scaler.runs import Run, Runs
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.store import Store

_LOG = logging.getLogger(__name__)
_PRUNE_EVERY_S = 600.0
#: Alarms under which the scaler changes nothing; the mode is then "paused".
SAFETY_STOPS = ("load_balancer_unreachable", "server_manager_unreachable", "many_unhealthy")


class HeldError(ClusterOpsError):
    """Someone else holds the scaler."""


class Controller:
    """The scaler's loop and everything the API asks of it."""

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
        self.store = store
        self.exporter = Exporter()
        self.exporter.limits(settings.agents_min, settings.agents_max)
        self._eyes = eyes
        self._policy = policy
        self._clock = clock
        self._wake = asyncio.Event()
        self._strikes: dict[str, Strikes] = {}
        self.runs = Runs(hands, self._ended)
        # Succeeded just now; must not be due again.
        self._without_effect: dict[str, Action] = {}
        self._pruned_at = 0.0
        self._released_at = 0.0
        self.state: State | None = store.load()
        self._lease = store.load_lease()
        self._memory = store.load_memory()
        self.seen: Observation | None = None
        self.last_known: Observation | None = None
        self.decision: Decision | None = None
        self.decided_at = 0.0
        self.plan: Plan | None = None
        self.alarms: dict[str, tuple[str, float]] = {}
        self.alive_at = time.monotonic()
        if store.moved_aside:
            self.event(
                "alarm",
                f"the database was damaged; it was kept as {store.moved_aside.name} "
                "and a new one begun",
            )

    # --- for the API ---------------------------------------------------------------------

    @property
    def lease(self) -> Lease | None:
        """The lease in force."""
        lease = self._lease
        return lease if lease and self._clock() < lease.until else None

    @property
    def mode(self) -> str:
        if self.lease:
            return "held"
        stopped = any(name in SAFETY_STOPS for name in self.alarms)
        return "paused" if stopped or (self.state and self.state.paused) else "auto"

    def healthy(self, name: str) -> bool:
        """Whether the last look found an agent fit to serve."""
        seen = self.seen
        agent = next((a for a in seen.agents if a.name == name), None) if seen else None
        return bool(agent and agent.swept and agent.ready is not False and agent.has_metrics)

    def set_desired(self, count: int) -> None:
        """A person wants ``count`` agents; the policy stays above that for scaling_hold_s."""
        now = self._clock()
        until = now + self.settings.scaling_hold_s
        self.store.save(desired=count, floor=count, floor_until=until)
        self.state = replace(
            self.state
            or State(count, last_scaling_at=self._released_at, paused=self.store.load_paused()),
            desired=count,
            floor=count,
            floor_until=until,
        )
        self.event("desired", f"asked for: {count}", desired=count)
        self.wake()

    def pause(self, paused: bool) -> bool:
        """Stop deciding, or go on; agents that die are still replaced. False for no change."""
        before = self.state.paused if self.state else self.store.load_paused()
        if paused == before:
            return False
        self.store.save(paused=paused)
        if self.state:
            self.state = replace(self.state, paused=paused)
        self.event("paused" if paused else "resumed", "by request")
        self.wake()
        return True

    def hold(self, holder: str, ttl_s: float) -> Lease:
        """Start no new action for ``ttl_s``.

        Raises:
            HeldError: somebody else does so already.
        """
        lease = self.lease
        if lease and lease.holder != holder:
            raise HeldError(f"the scaler is held by '{lease.holder}'")
        if not lease:
            self.event("held", f"held by '{holder}' for {ttl_s:g} s", holder=holder)
        return self._set_lease(Lease(holder, self._clock() + ttl_s))

    def release(self, holder: str | None = None) -> bool:
        """End the lease (of ``holder``, or whoever has it); False where there was none.

        The cooldown begins.
        """
        lease = self.lease
        if not lease:
            if self._lease:
                self._set_lease(None)  # over; a clock that is set back must not renew it
            return False
        if holder is not None and lease.holder != holder:
            raise HeldError(f"the scaler is held by '{lease.holder}'")
        self._set_lease(None)
        # Whoever held the scaler worked on the agents: what they measure now is that work.
        self._released_at = self._clock()
        self.store.save(last_scaling_at=self._released_at)
        if self.state:
            self.state = replace(self.state, last_scaling_at=self._released_at)
        self.event("released", f"released by '{lease.holder}'", holder=lease.holder)
        self.wake()
        return True

    def wake(self) -> None:
        """Make the next tick come now."""
        self._wake.set()

    def event(self, kind: str, message: str, agent: str | None = None, **data: object) -> None:
        """Write something down for people, in the journal and in the store."""
        level = logging.WARNING if kind in ("alarm", "failed") else logging.INFO
        _LOG.log(level, "%s%s: %s", kind, f" {agent}" if agent else "", message)
        self.store.add_event(self._clock(), kind, message, agent, **data)

    # --- the loop ------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until ``stop`` is set; then end the action in progress and return."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._wake.clear()
                pause = await self._guarded_tick()
                waking = asyncio.create_task(self._wake.wait())
                await asyncio.wait(
                    {stopping, waking}, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                )
                waking.cancel()
        finally:
            stopping.cancel()
            self.runs.cancel()
            await self.runs.wait(10.0)

    async def _guarded_tick(self) -> float:
        try:
            await self.tick()
        except Exception as error:  # the loop is the one thing that must go on
            _LOG.exception("a tick failed")
            self.exporter.error()
            self.alarms["tick_failed"] = (f"the last tick failed: {error}", self._clock())
        self.alive_at = time.monotonic()
        pause = self.settings.scaling_interval_s
        return min(self.settings.confirm_after_s, pause) if suspected(self._strikes) else pause

    async def tick(self) -> None:
        """One round: look, eject what is dead, decide, write down, start an action."""
        began = time.monotonic()
        # An action that ends during the look makes the look a picture of the past.
        busy = self.runs.busy
        seen = await self._eyes.observe()
        busy |= self.runs.busy
        acting = acting_kind(busy)
        now = self._clock()
        self.seen = seen
        if seen.servers_known:
            self.last_known = seen
        self._strikes = count_strikes(self._strikes, seen)
        if self.state is None and not self._initialise(seen):
            self._raise_alarms(seen, Plan())
            return
        state = self._state()
        before = plan(state.desired, seen, state, self._strikes, now, self._rules, busy)
        await self._eject(before)
        self._raise_alarms(seen, before)
        stop = next((name for name in SAFETY_STOPS if name in self.alarms), None)
        state = self._state()  # somebody may have asked for something during the ejects
        decision = decide(
            self._policy,
            seen,
            state,
            now,
            self.settings.limits,
            self._memory,
            acting=acting,
            safety_stop=stop,
        )
        before_decision = state
        self.decision, self.decided_at = decision, now
        self._memory = decision.memory
        if decision.desired != state.desired:
            # Written before anything is done: a restart goes on towards the same number.
            self._remember(desired=decision.desired, last_scaling_at=now)
            self.event(
                "decision",
                f"from {state.desired} to {decision.desired}: {decision.reason}",
                desired=decision.desired,
                direction=decision.direction,
            )
        state = self._state()
        next_plan = plan(state.desired, seen, state, self._strikes, now, self._rules, busy)
        self.plan = next_plan
        for run in self.runs.cancel(next_plan.cancels):
            self.event("cancelling", "it is wanted again", run.action.agent)
        await self._restore(next_plan.restores, seen)
        self._begin(() if before.ejects else next_plan.actions, busy)
        self.exporter.desired.set(state.desired)
        self.exporter.tick(seen, time.monotonic() - began, self.mode, len(self.alarms))
        self.store.add_tick(
            now,
            tick_record(
                seen,
                decision,
                next_plan,
                before_decision,
                acting=acting,
                safety_stop=stop,
            ),
            self._memory,
        )
        if now - self._pruned_at > _PRUNE_EVERY_S:
            self._pruned_at = now
            self.store.prune(now - self.settings.ticks_kept_s, self.settings.events_kept)

    async def close(self) -> None:
        """Wait for the action in progress (tests; ``run`` ends it by itself)."""
        await self.runs.wait()

    # --- the parts of a tick ---------------------------------------------------------------

    @property
    def _rules(self) -> Rules:
        return self.settings.rules

    def _state(self) -> State:
        assert self.state is not None  # noqa: S101 - tick() sees to it
        return replace(self.state, lease=self._lease)

    def _initialise(self, seen: Observation) -> bool:
        desired = initial_desired(seen, self.settings.agents_min, self.settings.agents_max)
        if desired is None:
            return False
        self.store.save(desired=desired)
        self.state = State(
            desired, last_scaling_at=self._released_at, paused=self.store.load_paused()
        )
        self.event("desired", f"starting with {desired}", desired=desired)
        return True

    async def _eject(self, before: Plan) -> None:
        done = False
        for eject in before.ejects:
            try:
                await self._eyes.eject(eject.agent)
            except ClusterOpsError as error:
                self.event("failed", f"could not be ejected: {error}", eject.agent)
                continue
            done = True
            self.exporter.eject()
            self.event("ejected", eject.reason, eject.agent)
            if eject.suspect:
                self._set_trouble(eject.agent, replace(self._trouble(eject.agent), suspect=True))
        if done:
            self.wake()  # look again, and replace it, without waiting for the interval

    def _raise_alarms(self, seen: Observation, before: Plan) -> None:
        current = alarms_of(seen, before)
        now = self._clock()
        for name, text in current.items():
            if name not in self.alarms:
                self.event("alarm", text, alarm=name)
        for name in self.alarms.keys() - current.keys():
            self.event("alarm_cleared", f"{name} is over", alarm=name)
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
        self._remember(last_scaling_at=now)
        self.event("started", f"{action.kind}: {action.reason}", action.agent, action=action.kind)
        self.runs.start(action, now)

    async def _restore(self, agents: tuple[str, ...], seen: Observation) -> None:
        addresses = {agent.name: agent.pool_address or "" for agent in seen.agents}
        for name in agents:
            try:
                await self._eyes.restore(name, addresses[name])
            except ClusterOpsError as error:
                self.event("failed", f"could not be put back into service: {error}", name)
                continue
            self._remember(last_scaling_at=self._clock())
            self.event("restored", "it was draining, and is in service again", name)
            self.wake()

    def _ended(self, run: Run, result: ActionResult | None) -> None:
        action = run.action
        if result is None:
            self.exporter.error()
            return
        self.exporter.action(action.kind, result)
        self._remember(last_scaling_at=self._clock())
        details = result.as_dict()
        if result.ok:
            self._without_effect[action.agent] = action
            self._set_trouble(action.agent, after_success(self._trouble(action.agent), action.kind))
            text = f"{action.kind} took {result.seconds:.1f} s"
            self.event("finished", text, action.agent, action=action.kind, **details)
        elif result.cancelled:
            text = f"{action.kind} was called off"
            self.event("cancelled", text, action.agent, action=action.kind, **details)
        else:
            self._fail(action, failure_text(result), **details)
        self.wake()

    def _fail(self, action: Action, why: str, **data: object) -> None:
        now = self._clock()
        trouble = after_failure(self._trouble(action.agent), action.kind, now, self._rules)
        self._set_trouble(action.agent, trouble)
        wait = trouble.not_before - now
        then = f"next try in {wait:.0f} s"
        if trouble.quarantined_until > now:
            then = f"set aside for {trouble.quarantined_until - now:.0f} s"
        self.event(
            "failed",
            f"{action.kind}, attempt {trouble.failures}: {why}; {then}",
            action.agent,
            action=action.kind,
            **data,
        )

    # --- memory ----------------------------------------------------------------------------

    def _remember(self, **values: float) -> None:
        self.store.save(**values)
        self.state = replace(self._state(), **values)  # type: ignore[arg-type]

    def _trouble(self, agent: str) -> Trouble:
        return self._state().troubles.get(agent, Trouble())

    def _set_trouble(self, agent: str, trouble: Trouble) -> None:
        self.store.save_trouble(agent, trouble)
        state = self._state()
        self.state = replace(state, troubles={**state.troubles, agent: trouble})

    def _set_lease(self, lease: Lease | None) -> Lease:
        self.store.save_lease(lease)
        self._lease = lease
        return lease or Lease("", 0.0)
