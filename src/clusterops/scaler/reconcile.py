# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is wanted and what is seen to the next action. Pure, and without memory.

Level-triggered: the same observation gives the same plan whatever happened before, so a
daemon that was killed anywhere finishes the half-done work of its predecessor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clusterops.scaler.model import (
    DEAD_STATES,
    OFF_STATES,
    Action,
    ActionKind,
    Agent,
    Eject,
    Observation,
    Plan,
    State,
    Trouble,
)


@dataclass(frozen=True, slots=True)
class Strikes:
    """Sweeps in a row that an agent of the pool failed: altogether, and its application alone."""

    silent: int = 0
    unready: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """When the scaler gives up on an agent, and for how long."""

    agents_max: int
    silent_sweeps: int = 2
    unready_sweeps: int = 6
    backoff_s: float = 5.0
    backoff_limit_s: float = 120.0
    actions_at_once: int = 3
    quarantine_failures: int = 3
    quarantine_s: float = 600.0


def count_strikes(before: Mapping[str, Strikes], seen: Observation) -> dict[str, Strikes]:
    """Strikes after one more sweep. Only agents of the pool collect them."""
    strikes: dict[str, Strikes] = {}
    for agent in seen.agents:
        if not agent.in_pool:
            continue
        old = before.get(agent.name, Strikes())
        if not agent.swept or agent.ready is None:
            strikes[agent.name] = old  # nothing was learned
            continue
        bad = not agent.ready
        strikes[agent.name] = Strikes(
            silent=old.silent + 1 if bad and not agent.has_metrics else 0,
            unready=old.unready + 1 if bad else 0,
        )
    return strikes


def suspected(strikes: Mapping[str, Strikes]) -> bool:
    """Whether a second look should come soon."""
    return any(strike.silent for strike in strikes.values())


def acting_kind(busy: Mapping[str, ActionKind]) -> ActionKind | None:
    """What is under way, for the decision: more agents, or else fewer."""
    kinds = set(busy.values())
    return "scale_up" if "scale_up" in kinds else next(iter(kinds), None)


def after_failure(trouble: Trouble, kind: str, now: float, rules: Rules) -> Trouble:
    """The back-off after one more failed action of an agent."""
    failures = trouble.failures + 1
    delay = min(rules.backoff_s * 2.0 ** min(failures - 1, 16), rules.backoff_limit_s)
    set_aside = kind == "scale_up" and failures % rules.quarantine_failures == 0
    return Trouble(
        failures=failures,
        not_before=now + delay,
        quarantined_until=now + rules.quarantine_s if set_aside else trouble.quarantined_until,
        suspect=trouble.suspect,
    )


def after_success(trouble: Trouble, kind: str) -> Trouble:
    """A machine that serves is forgiven; one that was taken down stays set aside."""
    if kind == "scale_up":
        return Trouble()
    return Trouble(quarantined_until=trouble.quarantined_until, suspect=trouble.suspect)


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
    busy: Mapping[str, ActionKind] | None = None,
) -> Plan:
    """The next steps towards ``desired`` agents in service.

    Args:
        busy: the agents that an action is under way for; nothing else is begun on them.
    """
    busy = busy or {}
    if not seen.pool_known:
        return Plan(blocked_by="load_balancer_unreachable")
    ejects, alarms = _ejects(seen, strikes, rules)
    if not seen.servers_known:
        return Plan(ejects, (), "server_manager_unreachable", alarms)
    wanted = choose(desired, seen, state, now, rules)
    if len(wanted) < desired:
        alarms["not_enough_agents"] = (
            f"{desired} agents are wanted, but only {len(wanted)} can serve: "
            "the others failed repeatedly and are set aside for a while"
        )
    if "many_unhealthy" in alarms:
        return Plan(ejects, (), "many_unhealthy", alarms)
    chosen = frozenset(wanted)
    cancels = tuple(name for name in wanted if busy.get(name) == "scale_down")
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
    doubted = any(strikes.get(name, Strikes()).silent for name in wanted)
    if doubted and any(action.kind == "scale_down" for action in actions):
        # The next look tells whether who is to stay can.
        return Plan((), (), "suspicion", alarms, cancels=cancels)
    return Plan((), actions, blocked, alarms, cancels=cancels)


def choose(
    desired: int, seen: Observation, state: State, now: float, rules: Rules
) -> tuple[str, ...]:
    """The names that should serve: those closest to serving already, low numbers first."""

    def rank(agent: Agent) -> tuple[int, int]:
        if agent.state == "running":
            nearness = {"in_service": 0, "draining": 1}.get(agent.pool or "", 2)
        else:
            nearness = {"starting": 3, "error": 5}.get(agent.state or "", 4)
        if nearness and state.troubles.get(agent.name, Trouble()).suspect:
            nearness = max(nearness, 6)
        if nearness and _quarantined(state, agent.name, now, rules):
            nearness = 9
        return nearness, agent.number

    ranked = sorted((agent for agent in seen.agents if agent.number <= rules.agents_max), key=rank)
    return tuple(agent.name for agent in ranked[:desired] if rank(agent)[0] < 9)


def _next_actions(
    desired: int,
    wanted: frozenset[str],
    seen: Observation,
    state: State,
    now: float,
    rules: Rules,
    busy: Mapping[str, ActionKind],
) -> tuple[tuple[Action, ...], str | None]:
    """Several up at once, one down at a time, and capacity first."""
    blocked = "action_in_progress" if busy else None
    agents = sorted(seen.agents, key=lambda agent: agent.number)
    ups = []
    for agent in agents:
        if agent.name not in wanted or _serves(agent) or agent.name in busy:
            continue
        if seen.application is None:
            blocked = blocked or "no_deployment"
        elif _waits(state, agent.name, now, rules):
            blocked = blocked or "backoff"
        else:
            ups.append(Action("scale_up", agent.name, _why_up(agent)))
    free = max(rules.actions_at_once - len(busy), 0)
    if ups and free:
        return tuple(ups[:free]), None
    if busy or ups:
        return (), blocked
    serving = sum(_serves(agent) for agent in agents)
    for agent in reversed(agents):  # the highest number leaves first
        if agent.name in wanted or not _costs(agent):
            continue
        if _serves(agent) and serving <= desired:
            continue  # beyond the maximum; it serves until what replaces it does
        if _waits(state, agent.name, now, rules):
            blocked = blocked or "backoff"
        else:
            return (Action("scale_down", agent.name, _why_down(agent)),), None
    return (), blocked


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


def _waits(state: State, name: str, now: float, rules: Rules) -> bool:
    return _ahead(state.troubles.get(name, Trouble()).not_before, now, rules.backoff_limit_s)


def _quarantined(state: State, name: str, now: float, rules: Rules) -> bool:
    return _ahead(state.troubles.get(name, Trouble()).quarantined_until, now, rules.quarantine_s)


def _ahead(until: float, now: float, most_s: float) -> bool:
    """Whether a time is still to come; not if it is further off than it can be, because the
    clock was set back.
    """
    return now < until <= now + most_s


def _ejects(
    seen: Observation, strikes: Mapping[str, Strikes], rules: Rules
) -> tuple[tuple[Eject, ...], dict[str, str]]:
    """Agents that must leave the pool now, and the alarms raised by looking for them."""
    certain: list[Eject] = []
    doubtful: list[Eject] = []
    pool = [agent for agent in seen.agents if agent.in_pool]
    someone_ready = any(agent.ready for agent in pool)
    alarms = {}
    unready = [strikes.get(agent.name, Strikes()).unready for agent in pool]
    if pool and not someone_ready and min(unready) >= rules.unready_sweeps:
        alarms["none_ready"] = (
            f"no agent's application has been ready for {min(unready)} looks: more likely a part "
            "that they share (the database) than the agents; see ./playground logs"
        )
    for agent in pool:
        strike = strikes.get(agent.name, Strikes())
        if seen.servers_known and agent.state in DEAD_STATES:
            certain.append(Eject(agent.name, f"its machine is {agent.state}"))
        elif seen.servers_known and agent.state == "stopping" and agent.pool == "in_service":
            certain.append(Eject(agent.name, "its machine is being stopped"))
        elif agent.moved:
            certain.append(
                Eject(agent.name, f"it moved from {agent.pool_address} to {agent.address}")
            )
        elif strike.silent >= rules.silent_sweeps:
            doubtful.append(
                Eject(agent.name, f"no metrics and not ready {strike.silent} times in a row", True)
            )
        elif strike.unready >= rules.unready_sweeps and someone_ready:
            # Where nobody is ready, the fault is likely shared (the database): ejecting
            # agents would not help.
            doubtful.append(
                Eject(
                    agent.name,
                    f"the application was not ready {strike.unready} times in a row",
                    True,
                )
            )
    if len(doubtful) >= 2 and len(doubtful) * 2 > len(pool):
        names = ", ".join(eject.agent for eject in doubtful)
        return tuple(certain), alarms | {
            "many_unhealthy": f"{len(doubtful)} of {len(pool)} agents look unhealthy at once "
            f"({names}): more likely the network or a shared part than the agents; "
            "nothing is changed until this clears"
        }
    return tuple(certain + doubtful), alarms
