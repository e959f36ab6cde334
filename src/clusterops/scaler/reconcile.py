# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is wanted and what is seen to the next actions. Pure, and without memory.

Level-triggered: the same observation gives the same plan whatever happened before, so a
daemon that was killed anywhere finishes the half-done work of its predecessor.
"""

from __future__ import annotations

from collections.abc import Mapping

from clusterops.scaler.health import NO_STRIKES, Strikes, none_ready, unhealthy
from clusterops.scaler.model import (
    OFF_STATES,
    Action,
    ActionKind,
    Agent,
    Observation,
    Plan,
    Rules,
    State,
)
from clusterops.scaler.troubles import quarantined, trouble_of, waits

Busy = Mapping[str, ActionKind]
"""Agents that an action is under way for."""

_SET_ASIDE = 9
"""The rank of agents that are not used at all."""


def acting_kind(busy: Busy) -> ActionKind | None:
    """What is under way, for the decision: more agents, or else fewer. Preparing is neither."""
    kinds = set(busy.values()) - {"prepare"}
    return "scale_up" if "scale_up" in kinds else next(iter(kinds), None)


def initial_desired(seen: Observation, agents_min: int, agents_max: int) -> int | None:
    """What an empty store starts from: what already serves, within the limits."""
    if not seen.pool_known:
        return None
    return min(max(agents_min, len(seen.in_service)), agents_max)


def plan(
    desired: int,
    seen: Observation,
    state: State,
    strikes: Mapping[str, Strikes],
    now: float,
    rules: Rules,
    busy: Busy | None = None,
) -> Plan:
    """The next steps towards ``desired`` agents in service.

    Args:
        busy: the agents that an action is under way for; nothing else is begun on them.
    """
    busy = busy or {}
    if not seen.pool_known:
        return Plan(blocked_by="load_balancer_unreachable")
    ejects, alarms = unhealthy(seen, strikes, rules)
    if not seen.servers_known:
        return Plan(ejects, (), "server_manager_unreachable", alarms)
    ranked = candidates(seen, state, now, rules, busy)
    if len(ranked) < desired:
        alarms["not_enough_agents"] = (
            f"{desired} agents are wanted, but only {len(ranked)} can serve: "
            "the others failed repeatedly and are set aside for a while"
        )
    if none_ready(seen, strikes, rules):
        # Perhaps it is the agents after all: another one tells. It serves only if it is ready.
        desired = min(desired + 1, rules.agents_max)
    wanted = ranked[:desired]
    if "many_unhealthy" in alarms:
        return Plan(ejects, (), "many_unhealthy", alarms)
    chosen = frozenset(wanted)
    cancels = tuple(
        name
        for name in wanted
        # What a failed start has left is taken down to its end: a start begins with nothing.
        if busy.get(name) == "scale_down" and not trouble_of(state, name).undo
    )
    if state.held(now):
        return Plan(ejects, (), "held", alarms, cancels=cancels)
    if ejects:
        return Plan(ejects, (), "ejecting", alarms, cancels=cancels)  # look again before acting
    restores = tuple(
        agent.name
        for agent in seen.agents
        if agent.name in chosen and agent.name not in busy and _drains_in_good_health(agent)
    )
    if restores:
        return Plan((), (), "restoring", alarms, restores, cancels)
    actions, blocked = _next_actions(desired, chosen, seen, state, now, rules, busy)
    doubted = any(strikes.get(name, NO_STRIKES).silent for name in wanted)
    if doubted and any(action.kind == "scale_down" for action in actions):
        # The next look tells whether who is to stay can.
        return Plan((), (), "suspicion", alarms, cancels=cancels)
    if not actions and not busy and not blocked:
        actions = _preparation(ranked[desired:], seen, state, now, rules)
    return Plan((), actions, blocked, alarms, cancels=cancels)


def candidates(
    seen: Observation, state: State, now: float, rules: Rules, busy: Busy
) -> tuple[str, ...]:
    """Every agent that may be used: the one closest to serving first, low numbers first."""

    def rank(agent: Agent) -> tuple[int, int]:
        nearness = _nearness(agent, is_prepared(agent, seen, state))
        if busy.get(agent.name) == "prepare":
            nearness = 6  # it will be, but who knows when
        if nearness and trouble_of(state, agent.name).suspect:
            nearness = max(nearness, 7)
        if nearness and quarantined(state, agent.name, now, rules):
            nearness = _SET_ASIDE
        return nearness, agent.number

    ranks = {agent.name: rank(agent) for agent in seen.agents if agent.number <= rules.agents_max}
    return tuple(name for name in sorted(ranks, key=ranks.__getitem__)
                 if ranks[name][0] < _SET_ASIDE)  # fmt: skip


def _nearness(agent: Agent, prepared: bool) -> int:
    """How much is left to do until it serves; 0 for nothing."""
    if agent.state == "running":
        return {"in_service": 0, "draining": 1}.get(agent.pool or "", 2)
    if agent.state in ("starting", "error"):
        return {"starting": 3, "error": 6}[agent.state]
    return 4 if prepared else 5


def is_prepared(agent: Agent, seen: Observation, state: State) -> bool:
    """Whether its machine has the image of what is deployed."""
    return (
        seen.application is not None
        and agent.state != "absent"
        and state.prepared.get(agent.name) == seen.application.release
    )


def _next_actions(
    desired: int,
    wanted: frozenset[str],
    seen: Observation,
    state: State,
    now: float,
    rules: Rules,
    busy: Busy,
) -> tuple[tuple[Action, ...], str | None]:
    """Several up at once, one down at a time, and capacity first."""
    changing = acting_kind(busy) is not None
    blocked = "action_in_progress" if changing else None
    agents = [agent for agent in seen.agents if agent.name not in busy]
    agents.sort(key=lambda agent: agent.number)
    brings: list[Action] = []
    for agent in agents:
        if agent.name not in wanted or _serves(agent):
            continue
        if trouble_of(state, agent.name).undo and _costs(agent):
            brings.append(Action("scale_down", agent.name, "its last start failed: rolled back"))
        elif seen.application is None:
            blocked = blocked or "no_deployment"
        elif waits(state, agent.name, now, rules):
            blocked = blocked or "backoff"
        else:
            brings.append(Action("scale_up", agent.name, _why_up(agent)))
    # A preparation takes no other action's place.
    free = rules.actions_at_once - sum(kind != "prepare" for kind in busy.values())
    if brings and free > 0:
        return tuple(brings[:free]), None
    if changing or brings:
        return (), blocked
    serving = sum(_serves(agent) for agent in seen.agents)
    for agent in reversed(agents):  # the highest number leaves first
        if agent.name in wanted or not _costs(agent):
            continue
        if _serves(agent) and serving <= desired:
            continue  # beyond the maximum; it serves until what replaces it does
        if waits(state, agent.name, now, rules) and not trouble_of(state, agent.name).undo:
            blocked = blocked or "backoff"
        else:
            return (Action("scale_down", agent.name, _why_down(agent)),), None
    return (), blocked


def _preparation(
    others: tuple[str, ...], seen: Observation, state: State, now: float, rules: Rules
) -> tuple[Action, ...]:
    """One more agent for the warm pool: those next in line, one at a time."""
    agents = {agent.name: agent for agent in seen.agents}
    for name in others[: rules.warm_agents]:
        agent = agents[name]
        if agent.state not in ("stopped", "absent") or is_prepared(agent, seen, state):
            continue
        if seen.application is not None and not waits(state, name, now, rules):
            return (Action("prepare", name, "the warm pool has room for it"),)
    return ()


def _drains_in_good_health(agent: Agent) -> bool:
    """Whether it can be put back as it is: its application has not been stopped yet."""
    return (
        agent.pool == "draining"
        and agent.state == "running"
        and agent.ready is True
        and agent.has_metrics
        and not agent.moved
    )


def _serves(agent: Agent) -> bool:
    return agent.pool == "in_service" and agent.state == "running"


def _costs(agent: Agent) -> bool:
    """Whether an unwanted agent still has to be taken down."""
    if agent.state == "error":
        return agent.in_pool
    return agent.in_pool or agent.state not in OFF_STATES


def _why_up(agent: Agent) -> str:
    if agent.pool == "draining":
        return "it is draining, and wanted again"
    if agent.state == "running":
        return "it runs, is wanted, and is not in service"
    return f"it is wanted, and its machine is {agent.state}"


def _why_down(agent: Agent) -> str:
    if agent.pool == "in_service":
        return "it is one more than wanted"
    return f"it is not wanted, and its machine is {agent.state}"
