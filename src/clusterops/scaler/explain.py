# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded tick in plain words: what was seen and decided, and what stood against it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clusterops.scaler.guards import agents

Json = Mapping[str, Any]

#: What each guard means, for people who meet it for the first time.
GUARDS = {
    "min": "agents_min is reached.",
    "max": "agents_max is reached.",
    "cooldown": "After a change the scaler rests (scaling_cooldown_s), so that its effect shows.",
    "stabilization": "A wish has to last (scale_up_stabilization_s, scale_down_stabilization_s).",
    "rate": "Within scaling_rate_period_s the number may change by so much only "
    "(scale_up_rate_agents, scale_down_rate_agents).",
    "warm_up": "An agent's metrics count once it has been in service for scaling_warmup_s.",
    "missing_metrics": "Nobody knows how busy an agent without metrics is: no scale-down.",
    "action_in_progress": "One change after the other.",
    "converging": "The last change has not been finished yet.",
    "hold_floor": "After `scale N` the policy does not go below N for scaling_hold_s.",
    "suspicion": "An agent that is to stay looks silent: a second look before another one goes.",
    "held": "Someone (`up`, `deploy`) works on the cluster; the scaler waits.",
    "paused": "Someone paused the scaler: ./playground resume.",
    "dry_run": "scaling_dry_run is on: decisions are only written down.",
    "many_unhealthy": "More than half of the agents look unhealthy at once: that is more likely "
    "the scaler's own network, so nothing is touched.",
    "load_balancer_unreachable": "Without the load balancer nobody knows who serves.",
    "server_manager_unreachable": "Without the Server Manager no machine can be started.",
}


def explain(tick: Json, events: Sequence[Json] = ()) -> Iterator[str]:
    """Lines of text about a tick.

    Args:
        events: what happened since the tick before, newest first.
    """
    decision, state = tick["decision"], tick["state"]
    serving = [agent for agent in tick["agents"] if agent["pool"] == "in_service"]
    yield f"{agents(state['desired'])} wanted, {len(serving)} in service."
    yield _decided(decision, state["desired"])
    guard = decision["blocked_by"] or tick["plan"]["blocked_by"]
    if guard:
        yield f"Guard: {guard}. {GUARDS.get(guard, '')}".rstrip()
    action = tick["plan"]["action"]
    if action:
        kind = action["kind"].replace("_", " ")
        yield f"Next: {kind} {action['agent']}, because {action['reason']}."
    for name in tick["plan"]["ejects"]:
        yield f"{name} was taken out of the load balancer at once."
    if decision["verdicts"]:
        yield "Rules:"
        yield from (f"  {_verdict(verdict)}" for verdict in decision["verdicts"])
    if tick["agents"]:
        yield "Agents:"
        yield from (f"  {_agent(agent)}" for agent in tick["agents"])
    for problem in tick["problems"]:
        yield f"Problem: {problem}"
    if events:
        yield "Meanwhile:"
        yield from (f"  {_event(event)}" for event in reversed(events))


def _decided(decision: Json, before: int) -> str:
    if decision["direction"] == "none":
        return f"Nothing was changed: {decision['reason']}."
    word = "more" if decision["desired"] > before else "fewer"
    count = abs(decision["desired"] - before)
    return f"{count} {word}, so {decision['desired']}: {decision['reason']}."


def _verdict(verdict: Json) -> str:
    value = "unknown" if verdict["value"] is None else f"{verdict['value']:.1f}"
    fired = "yes" if verdict["fired"] else "no"
    return f"{verdict['rule']}: {value}, limit {verdict['limit']:g}: {fired}"


def _agent(agent: Json) -> str:
    words = [str(agent["pool"] or "not in the pool").replace("_", " "), str(agent["state"])]
    for field, name in (("cpu_percent", "CPU"), ("memory_percent", "memory")):
        if agent[field] is not None:
            words.append(f"{name} {agent[field]:.0f} %")
    if agent["swept"] and agent["cpu_percent"] is None:
        words.append("no metrics")
    if agent["ready"] is False:
        words.append("not ready")
    if agent["in_flight"]:
        words.append(f"{agent['in_flight']} in flight")
    return f"{agent['name']}: {', '.join(words)}"


def _event(event: Json) -> str:
    who = f" {event['agent']}" if event.get("agent") else ""
    return f"{event['kind']}{who}: {event['message']}"
