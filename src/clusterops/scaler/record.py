# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control loop writes down: alarms, failures in words, and the record of a tick. Pure.

A tick's record holds everything that its decision was made of, so that the decision can be
made again, with this policy or with another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from clusterops.scaler.decide import Decision
from clusterops.scaler.model import (
    ActionKind,
    ActionResult,
    Agent,
    Lease,
    Observation,
    Plan,
    State,
    agent_number,
)

_PARTS = {
    "load_balancer_unreachable": "load balancer",
    "server_manager_unreachable": "Server Manager",
}
_AGENT_FIELDS = (
    *("name", "state", "pool", "swept", "cpu_percent", "memory_percent", "ready", "in_flight"),
)


def alarms_of(seen: Observation, plan: Plan) -> dict[str, str]:
    """Every alarm that is due now: name and text."""
    current = dict(plan.alarms)
    if not seen.pool_known:
        current["load_balancer_unreachable"] = _problem(seen, "load balancer")
    if not seen.servers_known:
        current["server_manager_unreachable"] = _problem(seen, "Server Manager")
    others = [text for text in seen.problems if not text.startswith(tuple(_PARTS.values()))]
    if others:
        current["deployment_unreadable"] = "; ".join(others)
    return current


def _problem(seen: Observation, part: str) -> str:
    return next((text for text in seen.problems if text.startswith(part)), f"{part}: unreachable")


def failure_text(result: ActionResult) -> str:
    """Why an action failed, in one line."""
    where = f" on {result.failed_host}" if result.failed_host else ""
    task = f"task '{result.failed_task}'{where}: " if result.failed_task else ""
    return f"{task}{result.message}"


def tick_record(
    seen: Observation,
    decision: Decision,
    next_plan: Plan,
    before: State,
    *,
    acting: ActionKind | None = None,
    safety_stop: str | None = None,
) -> dict[str, Any]:
    """What a tick leaves behind: inputs, verdicts, what blocked it, and the action.

    Args:
        before: the state that the decision was made in.
    """
    return {
        "agents": [
            {field: getattr(agent, field) for field in _AGENT_FIELDS}
            for agent in seen.agents
            if agent.pool or agent.state not in ("absent", None)
        ],
        "servers_known": seen.servers_known,
        "pool_known": seen.pool_known,
        "problems": list(seen.problems),
        "state": {
            "desired": before.desired,
            "floor": before.floor,
            "floor_until": before.floor_until,
            "last_scaling_at": before.last_scaling_at,
            "lease": asdict(before.lease) if before.lease else None,
            "paused": before.paused,
        },
        "acting": acting,
        "safety_stop": safety_stop,
        "desired": decision.desired,
        "decision": {
            "desired": decision.desired,
            "direction": decision.direction,
            "reason": decision.reason,
            "blocked_by": decision.blocked_by,
            "wished": decision.wished,
            "verdicts": [asdict(verdict) for verdict in decision.verdicts],
        },
        "plan": {
            "action": asdict(next_plan.action) if next_plan.action else None,
            "blocked_by": next_plan.blocked_by,
            "ejects": [eject.agent for eject in next_plan.ejects],
        },
    }


def observation_from(at: float, record: Mapping[str, Any]) -> Observation:
    """What was seen at a recorded tick. Raises KeyError or TypeError for another form."""
    agents = []
    for fields in record["agents"]:
        number = agent_number(str(fields["name"]))
        if number is None:
            raise TypeError(f"{fields['name']!r} is no agent")
        agents.append(Agent(number=number, **{field: fields[field] for field in _AGENT_FIELDS}))
    return Observation(
        at=at,
        agents=tuple(agents),
        servers_known=record["servers_known"],
        pool_known=record["pool_known"],
        problems=tuple(record["problems"]),
    )


def state_from(record: Mapping[str, Any]) -> State:
    """The state that a recorded decision was made in. Raises KeyError or TypeError."""
    fields = dict(record["state"])
    lease = fields.pop("lease")
    return State(**fields, lease=Lease(**lease) if lease else None)
