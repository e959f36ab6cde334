# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands against a wish for more or fewer agents, each by its name. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clusterops.scaler.model import ActionKind, Limits, State
from clusterops.scaler.policy import Situation


@dataclass(frozen=True, slots=True)
class Guard:
    """Why nothing is changed: a name for programs, and words for people."""

    name: str
    why: str


def against_up(
    situation: Situation, state: State, limits: Limits, high: int, acting: ActionKind | None
) -> Iterator[Guard]:
    """Everything that forbids more agents now, the most important first."""
    serving = len(situation.serving)
    # Load that returns while an agent drains only calls that off: nothing to wait for.
    undoing = acting == "scale_down" and any(
        agent.pool == "draining" for agent in situation.observation.agents
    )
    yield from _against_both(situation, state, acting is not None and not undoing)
    if state.desired >= high:
        yield Guard("max", f"{agents(state.desired)} is the maximum")
    if serving < state.desired:
        yield Guard("converging", f"only {serving} of {agents(state.desired)} in service yet")
    if not undoing:
        yield from _cooldown(state, situation.now, limits.cooldown_up_s)


def against_down(
    situation: Situation, state: State, limits: Limits, low: int, acting: ActionKind | None
) -> Iterator[Guard]:
    """Everything that forbids fewer agents now, the most important first."""
    now = situation.now
    serving = len(situation.serving)
    yield from _against_both(situation, state, acting is not None)
    if state.desired <= low:
        yield Guard("min", f"{agents(state.desired)} is the minimum")
    if state.desired <= state.effective_floor(now):
        were = "was" if state.floor == 1 else "were"
        left = state.floor_until - now
        yield Guard("hold_floor", f"{agents(state.floor)} {were} asked for ({left:.0f} s left)")
    if serving > state.desired:
        yield Guard("converging", f"{serving} in service, {state.desired} wanted")
    if situation.missing:
        yield Guard("missing_metrics", "metrics are missing")  # whatever the policy is
    yield from _cooldown(state, now, limits.cooldown_down_s)


def _against_both(situation: Situation, state: State, acting: bool) -> Iterator[Guard]:
    if state.held(situation.now) and state.lease:
        yield Guard("held", f"'{state.lease.holder}' holds the scaler")
    if acting:
        yield Guard("action_in_progress", "an action is in progress")


def _cooldown(state: State, now: float, cooldown_s: float) -> Iterator[Guard]:
    left = state.last_scaling_at + cooldown_s - now
    # A time stamp from the future (the clock was set back) must not freeze the scaler.
    if 0 < left <= cooldown_s:
        yield Guard("cooldown", f"the cooldown lasts {left:.0f} s more")


def agents(count: int) -> str:
    """A number of agents in words."""
    return "1 agent" if count == 1 else f"{count} agents"
