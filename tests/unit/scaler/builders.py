# SPDX-License-Identifier: GPL-3.0-or-later
"""Short ways to say what the scaler sees."""

from __future__ import annotations

from typing import Any

from clusterops.scaler.health import Strikes, count_strikes
from clusterops.scaler.model import Agent, Application, Limits, Observation, Rules, State


def limits(low: int, high: int, cooldown_s: float = 30.0, **changes: Any) -> Limits:
    return Limits(low, high, cooldown_s, cooldown_s, **changes)


APPLICATION = Application("fibonacci", "r1", 5000, "/ready")
LIMITS = limits(1, 4)
RULES = Rules(agents_max=4)
NOW = 1_000_000.0


def agent(number: int, kind: str = "serving", **changes: Any) -> Agent:
    """An agent that is serving, draining, running (unused), stopped or absent."""
    values: dict[str, Any] = {"name": f"agent-{number}", "number": number, "state": "running"}
    if kind in ("stopped", "absent"):
        values["state"] = kind
    else:
        values |= {
            "address": f"10.0.0.{100 + number}",
            "swept": True,
            "cpu_percent": 50.0,
            "memory_percent": 50.0,
            "ready": True,
        }
    if kind in ("serving", "draining"):
        values |= {
            "pool": "in_service" if kind == "serving" else "draining",
            "pool_address": f"10.0.0.{100 + number}:5000",
        }
    return Agent(**{**values, **changes})


def seen(*agents: Agent, **changes: Any) -> Observation:
    """An observation of these agents; the others up to agent-4 are absent."""
    named = {a.number: a for a in agents}
    every = [named.get(n) or agent(n, "absent") for n in sorted({1, 2, 3, 4, *named})]
    return Observation(**{"at": NOW, "agents": tuple(every), "application": APPLICATION, **changes})


def state(desired: int, **changes: Any) -> State:
    return State(**{"desired": desired, **changes})


def silent(number: int) -> Agent:
    """An agent of the pool that does not answer at all."""
    return agent(number, cpu_percent=None, memory_percent=None, ready=False)


def strikes_after(looks: int, *agents: Agent, every_s: float = 1.0) -> dict[str, Strikes]:
    """Strikes of agents that were well once, and were as they are now since."""
    fine = [agent(one.number) for one in agents if one.in_pool]
    strikes = count_strikes({}, seen(*fine, at=NOW - looks * every_s))
    for left in reversed(range(looks)):
        strikes = count_strikes(strikes, seen(*agents, at=NOW - left * every_s))
    return strikes
