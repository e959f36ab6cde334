# SPDX-License-Identifier: GPL-3.0-or-later
"""How many agents should serve: the policy's wish, seen through every guard. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clusterops.scaler.guards import Guard, against_down, against_up, agents
from clusterops.scaler.memory import NO_MEMORY, Memory
from clusterops.scaler.model import ActionKind, Limits, Observation, State
from clusterops.scaler.policy import Direction, Policy, Recommendation, Situation, Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """How many agents are wanted now, and why (not); ``memory`` is for the next decision."""

    desired: int
    direction: Direction
    reason: str
    verdicts: tuple[Verdict, ...] = ()
    blocked_by: str | None = None
    wished: int | None = None
    memory: Memory = NO_MEMORY


def decide(
    policy: Policy,
    observation: Observation,
    state: State,
    now: float,
    limits: Limits,
    memory: Memory = NO_MEMORY,
    *,
    acting: ActionKind | None = None,
    safety_stop: str | None = None,
) -> Decision:
    """Say how many agents are wanted now.

    ``acting`` says what kind of action is under way; ``safety_stop`` names an alarm that
    forbids any change.
    """
    memory = memory.after_look(observation, now, limits)
    situation = Situation(observation, state.desired, now, memory.warm(now, limits.warmup_s))
    wish = policy.recommend(situation)
    stay = Decision(state.desired, "none", "", wish.verdicts, memory=memory)
    if state.paused:
        return replace(stay, reason="scaling is paused", blocked_by="paused")
    low, high = _bounds(wish, limits)
    clamped = min(max(state.desired, low), high)
    if clamped != state.desired:
        reason = f"the limits are now {low} to {agents(high)}"
        return _changed(replace(stay, reason=reason, wished=clamped), state, now, limits)
    if safety_stop:
        return replace(stay, reason=f"nothing is changed: {safety_stop}", blocked_by=safety_stop)
    target = wish.target(state.desired)
    memory = memory.after_wish(now, target)
    stay = replace(stay, reason=wish.reason, memory=memory, wished=target)
    if wish.direction == "none":
        return _without_wish(policy, situation, wish, stay, limits)
    settled = memory.stabilised(state.desired, min(max(target, low), high), now, limits)
    guard = _guard(wish, situation, state, limits, low, high, acting)
    if not guard and settled == state.desired:
        guard = Guard("stabilization", _unsettled(wish.direction, limits))
    rate, sign = (limits.up_rate, 1) if wish.direction == "up" else (limits.down_rate, -1)
    room = memory.room(state.desired, now, rate, sign)
    if not guard and room == 0:
        guard = Guard("rate", "the number of agents has changed enough for the moment")
    if guard:
        return replace(stay, reason=f"{wish.reason}, but {guard.why}", blocked_by=guard.name)
    step = min(abs(settled - state.desired), room)
    return _changed(replace(stay, wished=state.desired + sign * step), state, now, limits)


def _bounds(wish: Recommendation, limits: Limits) -> tuple[int, int]:
    """What holds now: a policy may narrow agents_min and agents_max, never widen them."""
    fences = (limits.agents_min, limits.agents_max)
    low = fences[0] if wish.low is None else min(max(wish.low, fences[0]), fences[1])
    high = fences[1] if wish.high is None else min(max(wish.high, fences[0]), fences[1])
    return low, max(low, high)


def _changed(stay: Decision, state: State, now: float, limits: Limits) -> Decision:
    """The decision for the number that is left after every guard."""
    wanted = stay.desired if stay.wished is None else stay.wished
    if limits.dry_run:
        reason = f"{stay.reason}; this is a dry run: {wanted} would be wanted"
        return replace(stay, reason=reason, blocked_by="dry_run")
    return replace(
        stay,
        desired=wanted,
        direction="up" if wanted > state.desired else "down",
        memory=stay.memory.after_change(now, wanted - state.desired),
    )


def _without_wish(
    policy: Policy, situation: Situation, wish: Recommendation, stay: Decision, limits: Limits
) -> Decision:
    """No change; says so when only agents that have just come are the reason."""
    warming = sorted({agent.name for agent in situation.serving} - situation.warm)
    if warming and not wish.blocked_by:
        everybody = frozenset(agent.name for agent in situation.serving)
        otherwise = policy.recommend(replace(situation, warm=everybody))
        if otherwise.direction != "none":
            why = f"{', '.join(warming)} came less than {limits.warmup_s:g} s ago"
            return replace(stay, reason=f"{otherwise.reason}, but {why}", blocked_by="warm_up")
    return replace(stay, blocked_by=wish.blocked_by)


def _guard(
    wish: Recommendation,
    situation: Situation,
    state: State,
    limits: Limits,
    low: int,
    high: int,
    acting: ActionKind | None,
) -> Guard | None:
    if wish.direction == "up":
        return next(against_up(situation, state, limits, high, acting), None)
    return next(against_down(situation, state, limits, low, acting), None)


def _unsettled(direction: Direction, limits: Limits) -> str:
    window = limits.stabilization_up_s if direction == "up" else limits.stabilization_down_s
    return f"that was not so for all of the last {window:g} s"
