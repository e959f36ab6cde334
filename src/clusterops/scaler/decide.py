# SPDX-License-Identifier: GPL-3.0-or-later
"""How many agents should serve: the policy's wish, seen through every guard. Pure."""

from __future__ import annotations

from clusterops.scaler.model import (
    Decision,
    Limits,
    Observation,
    Policy,
    Recommendation,
    State,
)


def decide(
    policy: Policy,
    observation: Observation,
    state: State,
    now: float,
    limits: Limits,
    *,
    acting: bool = False,
    safety_stop: str | None = None,
) -> Decision:
    """Say how many agents are wanted now.

    ``acting`` is whether a playbook is running; ``safety_stop`` names an alarm that forbids
    any change. The result differs from ``state.desired`` by one at most, unless the limits
    themselves were moved.
    """
    low, high = limits.agents_min, limits.agents_max
    clamped = min(max(state.desired, low), high)
    if clamped != state.desired:
        return Decision(
            clamped,
            "up" if clamped > state.desired else "down",
            f"the limits are now {low} to {_agents(high)}",
        )
    if safety_stop:
        return Decision(
            state.desired, "none", f"nothing is changed: {safety_stop}", (), safety_stop
        )
    wish = policy.recommend(observation, now)
    if wish.direction == "none":
        return Decision(state.desired, "none", wish.reason, wish.verdicts, wish.blocked_by)
    guard = _guard(wish, observation, state, now, limits, acting)
    if guard:
        name, why = guard
        return Decision(
            state.desired, "none", f"{wish.reason}, but {why}", wish.verdicts, blocked_by=name
        )
    step = 1 if wish.direction == "up" else -1
    return Decision(state.desired + step, wish.direction, wish.reason, wish.verdicts)


def _guard(
    wish: Recommendation,
    observation: Observation,
    state: State,
    now: float,
    limits: Limits,
    acting: bool,
) -> tuple[str, str] | None:
    """The first guard that stands against a wish: (its name, the reason in words)."""
    serving = len(observation.in_service)
    if state.held(now) and state.lease:
        return "held", f"'{state.lease.holder}' holds the scaler"
    if acting:
        return "action_in_progress", "an action is in progress"
    if wish.direction == "up":
        if state.desired >= limits.agents_max:
            return "max", f"{_agents(state.desired)} is the maximum"
        if serving < state.desired:
            return "converging", f"only {serving} of {_agents(state.desired)} in service yet"
    else:
        if state.desired <= limits.agents_min:
            return "min", f"{_agents(state.desired)} is the minimum"
        if state.desired <= state.effective_floor(now):
            left = state.floor_until - now
            return "hold_floor", f"{_were_asked(state.floor)} ({left:.0f} s left)"
        if serving > state.desired:
            return "converging", f"{serving} in service, {state.desired} wanted"
        if any(not agent.has_metrics for agent in observation.in_service):
            return "missing_metrics", "metrics are missing"  # whatever the policy is
    left = state.last_scaling_at + limits.cooldown_s - now
    # A time stamp from the future (the clock was set back) must not freeze the scaler.
    if 0 < left <= limits.cooldown_s:
        return "cooldown", f"the cooldown lasts {left:.0f} s more"
    return None


def _agents(count: int) -> str:
    return "1 agent" if count == 1 else f"{count} agents"


def _were_asked(count: int) -> str:
    return f"{_agents(count)} {'was' if count == 1 else 'were'} asked for"
