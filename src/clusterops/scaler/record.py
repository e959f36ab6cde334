# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control loop tells people: alarms, failures in words, and the record of a tick. Pure."""

from __future__ import annotations

from dataclasses import asdict

from clusterops.scaler.model import ActionResult, Decision, Observation, Plan, State

_PARTS = {
    "load_balancer_unreachable": "load balancer",
    "server_manager_unreachable": "Server Manager",
}


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
    seen: Observation, decision: Decision, next_plan: Plan, state: State
) -> dict[str, object]:
    """What a tick leaves behind: inputs, verdicts, what blocked it, and the action."""
    return {
        "agents": [
            {
                "name": agent.name,
                "state": agent.state,
                "pool": agent.pool,
                "cpu_percent": agent.cpu_percent,
                "memory_percent": agent.memory_percent,
                "ready": agent.ready,
                "in_flight": agent.in_flight,
            }
            for agent in seen.agents
            if agent.pool or agent.state not in ("absent", None)
        ],
        "problems": list(seen.problems),
        "desired": state.desired,
        "decision": asdict(decision),
        "plan": {
            "action": asdict(next_plan.action) if next_plan.action else None,
            "blocked_by": next_plan.blocked_by,
            "ejects": [eject.agent for eject in next_plan.ejects],
        },
    }
