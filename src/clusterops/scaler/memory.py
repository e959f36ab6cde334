# SPDX-License-Identifier: GPL-3.0-or-later
"""What decisions need to know of earlier ticks: who is warm, and what was wished and done. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from clusterops.scaler.model import Limits, Observation, Rate

# What a clock that was set back leaves behind is forgotten.
_TOLERANCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bounded by the longest window of the limits.

    Attributes:
        since: when each agent in service came; None before the first look.
        wishes: times, and the number of agents that the policies wished for then.
        changes: times, and by how many agents the number that is wanted changed.
    """

    since: Mapping[str, float] | None = None
    wishes: tuple[tuple[float, int], ...] = ()
    changes: tuple[tuple[float, int], ...] = ()

    def after_look(self, seen: Observation, now: float, limits: Limits) -> Memory:
        """Who is in service since when, without what is too old to matter."""
        known = self.since
        # Nobody knows how long those at the first look have been there: long enough.
        fresh = now if known is not None else 0.0
        since = {
            agent.name: min((known or {}).get(agent.name, fresh), now) for agent in seen.in_service
        }
        window = max(limits.stabilization_up_s, limits.stabilization_down_s)
        period = max(limits.up_rate.period_s, limits.down_rate.period_s)
        return Memory(
            since if seen.pool_known else known,
            _within(self.wishes, now, window),
            _within(self.changes, now, period),
        )

    def after_wish(self, now: float, wanted: int) -> Memory:
        return replace(self, wishes=(*self.wishes, (now, wanted)))

    def after_change(self, now: float, change: int) -> Memory:
        return replace(self, changes=(*self.changes, (now, change)))

    def warm(self, now: float, warmup_s: float) -> frozenset[str]:
        """The agents in service that have been there for long enough."""
        return frozenset(
            name for name, since in (self.since or {}).items() if now - since >= warmup_s
        )

    def stabilised(self, desired: int, wanted: int, now: float, limits: Limits) -> int:
        """The least that was wished for lately on the way up, the most on the way down.

        As in Kubernetes' HorizontalPodAutoscaler (stabilizationWindowSeconds): a wish that
        comes and goes changes nothing.
        """
        if wanted > desired:
            lately = _within(self.wishes, now, limits.stabilization_up_s)
            return max(desired, min([wanted, *(wish for _, wish in lately)]))
        lately = _within(self.wishes, now, limits.stabilization_down_s)
        return min(desired, max([wanted, *(wish for _, wish in lately)]))

    def room(self, desired: int, now: float, rate: Rate, direction: int) -> int:
        """By how many agents the number may change now (HorizontalPodAutoscaler: policies).

        Args:
            direction: 1 for up, -1 for down.
        """
        done = sum(
            change * direction
            for _, change in _within(self.changes, now, rate.period_s)
            if change * direction > 0
        )
        before = desired - done * direction
        most = max(rate.agents, math.ceil(before * rate.percent / 100))
        return max(0, most - done)


NO_MEMORY = Memory()


def memory_from(value: Mapping[str, Any]) -> Memory:
    """A memory from its fields as JSON has them. Raises KeyError, TypeError or ValueError."""
    since = value["since"]
    return Memory(
        since=None if since is None else {str(name): float(at) for name, at in since.items()},
        wishes=tuple((float(at), int(wish)) for at, wish in value["wishes"]),
        changes=tuple((float(at), int(change)) for at, change in value["changes"]),
    )


def _within(
    entries: tuple[tuple[float, int], ...], now: float, seconds: float
) -> tuple[tuple[float, int], ...]:
    return tuple(entry for entry in entries if now - seconds < entry[0] <= now + _TOLERANCE_S)
