# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded tick as a point of the curves of the dashboard and of `status --watch`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def point_of(tick: Mapping[str, Any], at: float) -> dict[str, Any]:
    """A recorded tick, as far as charts and the decision log need it.

    Args:
        at: when it was, in Unix seconds; the record itself may have it as a text.
    """
    serving = [agent for agent in tick["agents"] if agent["pool"] == "in_service"]
    decision, plan = tick["decision"], tick["plan"]
    return {
        "at": at,
        "cpu": _mean(agent["cpu_percent"] for agent in serving),
        "memory": _mean(agent["memory_percent"] for agent in serving),
        "serving": len(serving),
        "wanted": decision["desired"],
        "was": tick["state"]["desired"],
        "direction": decision["direction"],
        "reason": decision["reason"],
        "blocked_by": decision["blocked_by"] or plan["blocked_by"],
        "verdicts": [
            [one["rule"], _rounded(one["value"]), one["limit"], one["fired"]]
            for one in decision["verdicts"]
        ],
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 1) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
