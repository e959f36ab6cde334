# SPDX-License-Identifier: GPL-3.0-or-later
"""What parts of the cluster answer, taken apart and checked. Pure."""

from __future__ import annotations

import json
import math
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from clusterops.errors import ClusterOpsError
from clusterops.scaler.model import agent_number

STALE_AFTER_S = 30.0


class ProbeError(ClusterOpsError):
    """A part of the cluster did not answer as it should."""


def parse_servers(body: Any) -> dict[str, dict[str, Any]]:
    """Agents by name, out of a Server Manager's listing."""
    if isinstance(body, dict):
        body = body.get("servers")
    if not isinstance(body, list):
        raise ProbeError("the list of servers is no list")
    return {
        server["name"]: server
        for server in body
        if isinstance(server, dict)
        and isinstance(server.get("name"), str)
        and agent_number(server["name"]) is not None
    }


def parse_pool(body: Any) -> dict[str, dict[str, Any]]:
    """Pool entries by name, out of the load balancer's answer."""
    agents = body.get("agents") if isinstance(body, dict) else None
    if isinstance(agents, dict) and not agents:  # an empty Lua table becomes {}
        agents = []
    if not isinstance(agents, list):
        raise ProbeError("the list of agents is no list")
    return {
        entry["name"]: entry
        for entry in agents
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    }


def parse_metrics(body: bytes, date: str | None, now: float) -> tuple[float, float] | None:
    """CPU and memory in percent, or None for anything but fresh, sane numbers."""
    try:
        document = json.loads(body)
        values = [
            float(document[key])
            for key in ("cpu_utilization_percent", "memory_utilization_percent")
            if not isinstance(document[key], bool)
        ]
        age = _age(document.get("sampled_at"), date, now)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    if len(values) != 2 or not all(math.isfinite(v) and 0 <= v <= 10_000 for v in values):
        return None
    if age is not None and age > STALE_AFTER_S:
        return None
    return min(values[0], 100.0), min(values[1], 100.0)


def _age(sampled_at: Any, date: str | None, now: float) -> float | None:
    """Seconds between the sample and the answer, on the agent's own clock where it tells it."""
    if isinstance(sampled_at, str):
        sampled_at = datetime.fromisoformat(sampled_at).timestamp()
    if isinstance(sampled_at, bool) or not isinstance(sampled_at, int | float):
        return None
    if date:
        now = parsedate_to_datetime(date).timestamp()
    return now - float(sampled_at)
