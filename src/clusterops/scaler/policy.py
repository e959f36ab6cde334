# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scaling policy is given and what it answers; all that a plug-in has to know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from clusterops.scaler.model import Agent, Observation

Direction = Literal["up", "down", "none"]


@dataclass(frozen=True)  # no slots: what is asked for again and again is kept
class Situation:
    """What there is to judge by. ``desired`` agents are wanted at present.

    ``warm`` names the agents in service whose metrics count: not those that have only just come.
    """

    observation: Observation
    desired: int
    now: float
    warm: frozenset[str]

    @cached_property
    def serving(self) -> tuple[Agent, ...]:
        return self.observation.in_service

    @cached_property
    def fresh(self) -> tuple[Agent, ...]:
        """The agents in service whose metrics are known and count."""
        return tuple(a for a in self.serving if a.has_metrics and a.name in self.warm)

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """The agents in service that should have metrics, and have none."""
        return tuple(a.name for a in self.serving if not a.has_metrics and a.name in self.warm)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule said about one number."""

    rule: str
    value: float | None
    limit: float
    fired: bool


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A policy's wish, before any guard.

    Attributes:
        wanted: how many agents; None for one more or one fewer.
        low, high: bounds that hold at this moment, within agents_min and agents_max.
        silent: it has no opinion now, and does not stand in the way of another policy's.
    """

    direction: Direction
    reason: str
    verdicts: tuple[Verdict, ...] = ()
    blocked_by: str | None = None
    wanted: int | None = None
    low: int | None = None
    high: int | None = None
    silent: bool = False

    def target(self, desired: int) -> int:
        """The number of agents that is wished for. Never against the direction."""
        if self.direction == "up":
            return max(desired + 1 if self.wanted is None else self.wanted, desired)
        if self.direction == "down":
            return min(desired - 1 if self.wanted is None else self.wanted, desired)
        return desired


class Policy(Protocol):
    """What a plug-in behind the entry point group ``clusterops.policies`` provides.

    The class is called with keywords: the options that the policy has in cluster.yml, and the
    scaler's other settings, from which it may pick. It raises ``ValueError`` for an option that
    it cannot use; the text says what is allowed.
    """

    def recommend(self, situation: Situation) -> Recommendation:
        """Say whether more or fewer agents are needed. Pure; must not keep state."""
        ...
