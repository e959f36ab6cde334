# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scaler's API tells: the status document, and the agents that Prometheus asks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from clusterops.scaler.daemon import Controller
from clusterops.scaler.model import Agent, Trouble

Json = dict[str, Any]
_FINE = Trouble()


def describe(controller: Controller) -> Json:
    """The status document (its field names are a contract)."""
    seen, state = controller.seen, controller.ledger.state
    actions = [
        {
            "kind": run.action.kind,
            "agent": run.action.agent,
            "step": run.step,
            "started_at": time_text(run.started_at),
        }
        for run in controller.runs.all
    ]
    decision, lease = controller.decision, controller.ledger.lease
    limits, bounds, troubles = controller.limits, controller.bounds, state.troubles if state else {}
    rest_s = max(limits.cooldown_up_s, limits.cooldown_down_s)
    cooldown_ends = state.last_scaling_at + rest_s if state else 0.0
    agents = [
        {
            "name": agent.name,
            "state": agent.state or "unknown",
            "in_service": agent.pool == "in_service",
            "healthy": controller.healthy(agent.name),
            "cpu_percent": _rounded(agent.cpu_percent),
            "memory_percent": _rounded(agent.memory_percent),
            "in_flight": agent.in_flight,
            "ready": agent.ready,
            "pool": agent.pool,
            "address": agent.address,
            "set_aside_until": _later(troubles.get(agent.name, _FINE).quarantined_until),
            "failures": troubles.get(agent.name, _FINE).failures,
        }
        for agent in (seen.agents if seen else ())
        if agent.pool or agent.state not in ("absent", None)
    ]
    application = seen.application if seen else None
    return {
        "cluster": controller.settings.cluster_name,
        "mode": controller.mode,
        "desired": state.desired if state else None,
        "min": bounds.low,
        "max": bounds.high,
        "configured": {"min": controller.configured.low, "max": controller.configured.high},
        "parts": {
            "server_manager": seen.servers_known if seen else None,
            "load_balancer": seen.pool_known if seen else None,
        },
        "policy": controller.settings.scaling_policy,
        "observed_at": time_text(seen.at) if seen else None,
        "last_decision": {
            "at": time_text(controller.decided_at),
            "action": {"up": "scale_up", "down": "scale_down"}.get(decision.direction, "none"),
            "reason": decision.reason,
            "blocked_by": decision.blocked_by,
        }
        if decision
        else None,
        "action": actions[0] if actions else None,
        "actions": actions,
        "blocked_by": controller.plan.blocked_by if controller.plan else None,
        "cooldown_ends_at": time_text(cooldown_ends) if state and state.last_scaling_at else None,
        "floor": {"agents": state.floor, "ends_at": time_text(state.floor_until)}
        if state and state.floor
        else None,
        "hold": {"holder": lease.holder, "expires_at": time_text(lease.until)} if lease else None,
        "agents": agents,
        "load_balancer": {
            "agents": [
                {
                    "name": agent.name,
                    "address": agent.pool_address,
                    "state": agent.pool,
                    "in_flight": agent.in_flight,
                }
                for agent in (seen.agents if seen else ())
                if agent.pool
            ]
        },
        "application": {
            "name": application.name if application else None,
            "release": application.release if application else None,
            "healthy": any(agent.ready for agent in seen.in_service) if seen else False,
        },
        "alarms": [text for text, _since in controller.alarms.values()],
    }


def targets(controller: Controller) -> list[Json]:
    """Running agents and the application on those in the pool, for Prometheus' http_sd; the last
    known ones while nobody can tell.
    """
    seen = controller.last_known
    if seen is None:
        return []
    found: list[Json] = []

    def add(job: str, agent: Agent, address: str, path: str) -> None:
        labels = {"job": job, "node": agent.name, "__metrics_path__": path}
        found.append({"targets": [address], "labels": labels})

    port, application = controller.settings.metrics_port, seen.application
    for agent in seen.agents:
        if agent.state != "running":
            continue
        if agent.address:
            add("agents", agent, f"{agent.address}:{port}", "/metrics")
        if application and application.metrics_path and agent.in_pool and agent.pool_address:
            add("application", agent, agent.pool_address, application.metrics_path)
    return found


def _later(at: float) -> str | None:
    """A time that is still to come."""
    return time_text(at) if at > time.time() else None


def time_text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
