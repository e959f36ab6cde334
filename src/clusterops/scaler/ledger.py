# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked of the scaler and what it remembers, on disk before anyone relies on it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from clusterops.errors import ClusterOpsError
from clusterops.scaler.bounds import Bounds
from clusterops.scaler.memory import Memory
from clusterops.scaler.model import Lease, State, Trouble
from clusterops.scaler.store import Store
from clusterops.scaler.troubles import trouble_of

_LOG = logging.getLogger(__name__)


class HeldError(ClusterOpsError):
    """Someone else holds the scaler."""


class Ledger:
    """The requested state, the lease, back-offs and events of one scaler."""

    def __init__(self, store: Store, clock: Callable[[], float], on_request: Callable[[], None]):
        """
        Args:
            on_request: called when somebody asked for something that should be done now.
        """
        self.store = store
        self._clock = clock
        self._on_request = on_request
        self._state = store.load()
        self._lease = store.load_lease()
        self.bounds: Bounds | None = store.load_bounds()
        self._released_at = 0.0
        self.memory: Memory = store.load_memory()
        if store.moved_aside:
            self.event(
                "alarm",
                f"the database was damaged; it was kept as {store.moved_aside.name} "
                "and a new one begun",
            )

    @property
    def state(self) -> State | None:
        """What is wanted, with the lease; None before the first look."""
        return replace(self._state, lease=self._lease) if self._state else None

    @property
    def lease(self) -> Lease | None:
        """The lease in force."""
        lease = self._lease
        return lease if lease and self._clock() < lease.until else None

    @property
    def paused(self) -> bool:
        """Whether somebody paused the scaler."""
        return self._state.paused if self._state else self.store.load_paused()

    def event(self, kind: str, message: str, agent: str | None = None, **data: object) -> None:
        """Write something down for people, in the journal and in the store."""
        level = logging.WARNING if kind in ("alarm", "failed") else logging.INFO
        _LOG.log(level, "%s%s: %s", kind, f" {agent}" if agent else "", message)
        self.store.add_event(self._clock(), kind, message, agent, **data)

    # --- what people and programs ask for --------------------------------------------------

    def set_desired(self, count: int, hold_s: float) -> None:
        """A person wants ``count`` agents; the policy stays above that for ``hold_s``."""
        floor = {"floor": count, "floor_until": self._clock() + hold_s}
        if self._state is None:
            self.begin(count)
        self.remember(desired=count, **floor)
        self.event("desired", f"asked for: {count}", desired=count)
        self._on_request()

    def set_bounds(self, bounds: Bounds | None) -> bool:
        """The least and the most agents until further notice; None is what cluster.yml says.

        False for no change.
        """
        if bounds == self.bounds:
            return False
        self.store.save_bounds(bounds)
        self.bounds = bounds
        said = f"{bounds.low} to {bounds.high} agents" if bounds else "as in cluster.yml"
        self.event("bounds", f"{said}, by request")
        self._on_request()
        return True

    def pause(self, paused: bool) -> bool:
        """Stop deciding, or go on; agents that die are still replaced. False for no change."""
        if paused == self.paused:
            return False
        self.remember(paused=paused)
        self.event("paused" if paused else "resumed", "by request")
        self._on_request()
        return True

    def hold(self, holder: str, ttl_s: float) -> Lease:
        """Start no new action for ``ttl_s``.

        Raises:
            HeldError: somebody else does so already.
        """
        self._check_holder(holder)
        if not self.lease:
            self.event("held", f"held by '{holder}' for {ttl_s:g} s", holder=holder)
        lease = Lease(holder, self._clock() + ttl_s)
        self._set_lease(lease)
        return lease

    def release(self, holder: str | None = None) -> bool:
        """End the lease (of ``holder``, or whoever has it); False where there was none.

        The cooldown begins.
        """
        lease = self.lease
        if not lease:
            if self._lease:
                self._set_lease(None)  # over; a clock that is set back must not renew it
            return False
        if holder is not None:
            self._check_holder(holder)
        self._set_lease(None)
        # Whoever held the scaler worked on the agents: what they measure now is that work.
        self._released_at = self._clock()
        self.remember(last_scaling_at=self._released_at)
        self.event("released", f"released by '{lease.holder}'", holder=lease.holder)
        self._on_request()
        return True

    def _check_holder(self, holder: str) -> None:
        lease = self.lease
        if lease and lease.holder != holder:
            raise HeldError(f"the scaler is held by '{lease.holder}'")

    def _set_lease(self, lease: Lease | None) -> None:
        self.store.save_lease(lease)
        self._lease = lease

    # --- what the scaler remembers ---------------------------------------------------------

    def begin(self, desired: int) -> None:
        """The first number of agents that is wanted."""
        self.store.save(desired=desired)
        self._state = State(
            desired, last_scaling_at=self._released_at, paused=self.store.load_paused()
        )

    def remember(self, **values: Any) -> None:
        """Set fields of the state; before there is one, only on disk."""
        self.store.save(**values)
        if self._state:
            self._state = replace(self._state, **values)

    def trouble(self, agent: str) -> Trouble:
        """What is remembered of an agent's failures."""
        return trouble_of(self._state, agent) if self._state else Trouble()

    def set_trouble(self, agent: str, trouble: Trouble) -> None:
        self.store.save_trouble(agent, trouble)
        if self._state:
            troubles = {**self._state.troubles, agent: trouble}
            self._state = replace(self._state, troubles=troubles)

    def set_prepared(self, agent: str, release: str | None) -> None:
        """The agent's machine has a release's image, or is not there any more (None)."""
        before = self._state.prepared if self._state else {}
        if before.get(agent) == release:
            return
        after = {name: has for name, has in before.items() if name != agent}
        self.remember(prepared=after | ({agent: release} if release else {}))
