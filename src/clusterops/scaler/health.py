# SPDX-License-Identifier: GPL-3.0-or-later
"""Which agents of the pool are unwell, look by look, and which have to leave it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clusterops.scaler.model import DEAD_STATES, Agent, Eject, Observation, Rules


@dataclass(frozen=True, slots=True)
class Strikes:
    """Looks in a row that an agent of the pool failed: altogether, and its application alone.

    Attributes:
        fine_at: when the last look that found it ready began, or else the first at all.
        unready_s: since then.
    """

    silent: int = 0
    unready: int = 0
    fine_at: float = 0.0
    unready_s: float = 0.0


NO_STRIKES = Strikes()


def count_strikes(
    before: Mapping[str, Strikes], seen: Observation, began: float | None = None
) -> dict[str, Strikes]:
    """Strikes after one more look. Only agents of the pool collect them.

    Args:
        began: when the look began (Unix seconds); agents that hang make it long.
    """
    began = seen.at if began is None else began
    strikes: dict[str, Strikes] = {}
    for agent in seen.agents:
        if not agent.in_pool:
            continue
        old = before.get(agent.name, Strikes(fine_at=began))
        if not agent.swept or agent.ready is None:
            strikes[agent.name] = old  # nothing was learned
        elif agent.ready:
            strikes[agent.name] = Strikes(fine_at=began)
        else:
            fine_at = min(old.fine_at, seen.at)  # later only if the clock was set back
            strikes[agent.name] = Strikes(
                silent=0 if agent.has_metrics else old.silent + 1,
                unready=old.unready + 1,
                fine_at=fine_at,
                unready_s=seen.at - fine_at,
            )
    return strikes


def suspected(strikes: Mapping[str, Strikes]) -> bool:
    """Whether the next look should come soon."""
    return any(strike.unready for strike in strikes.values())


def unhealthy(
    seen: Observation, strikes: Mapping[str, Strikes], rules: Rules
) -> tuple[tuple[Eject, ...], dict[str, str]]:
    """Agents that must leave the pool now, and the alarms raised by looking for them."""
    pool = [agent for agent in seen.agents if agent.in_pool]
    someone_ready = any(agent.ready for agent in pool)
    certain: list[Eject] = []
    doubtful: list[Eject] = []
    for agent in pool:
        strike = strikes.get(agent.name, NO_STRIKES)
        if why := _cannot_serve(agent, seen):
            certain.append(Eject(agent.name, why))
        elif why := _fails(strike, rules, someone_ready):
            doubtful.append(Eject(agent.name, why, suspect=True))
    alarms = {}
    if none_ready(seen, strikes, rules):
        alarms["none_ready"] = (
            "no agent's application is ready, and has not been for a while: more likely a part "
            "that they share (the database) than the agents; see ./playground logs"
        )
    if len(doubtful) >= 2 and len(doubtful) * 2 > len(pool):
        names = ", ".join(eject.agent for eject in doubtful)
        alarms["many_unhealthy"] = (
            f"{len(doubtful)} of {len(pool)} agents look unhealthy at once ({names}): more likely "
            "the network or a shared part than the agents; nothing is changed until this clears"
        )
        return tuple(certain), alarms
    return tuple(certain + doubtful), alarms


def none_ready(seen: Observation, strikes: Mapping[str, Strikes], rules: Rules) -> bool:
    """Whether no agent of the pool has been ready for ``none_ready_s``."""
    pool = [agent for agent in seen.agents if agent.in_pool]
    if not pool or any(agent.ready for agent in pool):
        return False
    unready = (strikes.get(agent.name, NO_STRIKES) for agent in pool)
    return all(strike.unready and strike.unready_s >= rules.none_ready_s for strike in unready)


def _cannot_serve(agent: Agent, seen: Observation) -> str | None:
    """What is known for certain."""
    if seen.servers_known and agent.state in DEAD_STATES:
        return f"its machine is {agent.state}"
    if seen.servers_known and agent.state == "stopping" and agent.pool == "in_service":
        return "its machine is being stopped"
    if agent.moved:
        return f"it moved from {agent.pool_address} to {agent.address}"
    return None


def _fails(strike: Strikes, rules: Rules, someone_ready: bool) -> str | None:
    """What is only seen from here, and more than once."""
    if strike.silent >= rules.silent_looks:
        return f"no metrics and not ready {strike.silent} times in a row"
    # Where nobody is ready, the fault is likely shared (the database): ejecting agents would
    # not help.
    if strike.unready >= 2 and strike.unready_s >= rules.unready_s and someone_ready:
        return f"the application has not been ready for {strike.unready_s:.0f} s"
    return None
