# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests, errors and latency, out of two looks at the load balancer's counters. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_LINE = re.compile(r"^clusterops_load_balancer_(\w+)\{([^}]*)\} (\S+)$", re.ASCII | re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"', re.ASCII)
_BUCKETS = "request_duration_seconds_bucket"
NOBODY = "none"
"""The name under which the load balancer counts requests that no agent had."""


@dataclass(slots=True)
class Counts:
    """What the load balancer has counted for one agent since it started.

    Attributes:
        buckets: upper limit (seconds) -> requests that took no longer.
    """

    requests: float = 0.0
    errors: float = 0.0
    in_flight: int = 0
    buckets: dict[float, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """The counters at one moment; ``at`` is of a clock that never jumps."""

    at: float
    agents: Mapping[str, Counts]


def parse(text: str, at: float) -> Look:
    """A look, out of Prometheus' text format. Lines that are not understood are passed over."""
    agents: dict[str, Counts] = {}
    for name, labels_text, value_text in _LINE.findall(text):
        if name not in ("requests_total", "in_flight_requests", _BUCKETS):
            continue
        labels = dict(_LABEL.findall(labels_text))
        try:
            value = float(value_text)
            limit = float(labels["le"]) if name == _BUCKETS else 0.0
            agent = agents.setdefault(labels["agent"], Counts())
        except (KeyError, ValueError):
            continue
        if name == "in_flight_requests":
            agent.in_flight = int(value)
        elif name == _BUCKETS:
            agent.buckets[limit] = agent.buckets.get(limit, 0.0) + value
        else:
            agent.requests += value
            agent.errors += value if labels.get("status") == "5xx" else 0.0
    return Look(at, agents)


def between(before: Look, after: Look) -> dict[str, Any]:
    """What happened from one look to the next: rates per second, percentiles in milliseconds."""
    seconds = max(after.at - before.at, 1e-3)
    agents: dict[str, dict[str, Any]] = {}
    buckets: dict[float, float] = {}
    requests = errors = 0.0
    for name, new in after.agents.items():
        old = before.agents.get(name, Counts())
        done = _more(old.requests, new.requests)
        failed = _more(old.errors, new.errors)
        own = {at: _more(old.buckets.get(at, 0.0), n) for at, n in new.buckets.items()}
        requests += done
        errors += failed
        for limit, count in own.items():
            buckets[limit] = buckets.get(limit, 0.0) + count
        if name != NOBODY:
            agents[name] = {
                "requests_per_s": round(done / seconds, 1),
                "errors_per_s": round(failed / seconds, 2),
                "in_flight": new.in_flight,
                "p95_ms": quantile(own, 0.95),
            }
    return {
        "requests_per_s": round(requests / seconds, 1),
        "errors_per_s": round(errors / seconds, 2),
        "in_flight": sum(agent.in_flight for agent in after.agents.values()),
        **{f"p{percent}_ms": quantile(buckets, percent / 100) for percent in (50, 95, 99)},
        "agents": agents,
    }


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The latency (ms) that ``share`` of the requests kept to; None without requests.

    As Prometheus' histogram_quantile: even within a bucket, never beyond the last finite one.
    """
    limits = sorted(buckets)
    if not limits or buckets[limits[-1]] <= 0:
        return None
    wanted = share * buckets[limits[-1]]
    floor = below = 0.0
    for limit in limits:
        reached = max(buckets[limit], below)
        if reached >= wanted and reached > below:
            if math.isinf(limit):
                return _ms(floor)
            return _ms(floor + (limit - floor) * (wanted - below) / (reached - below))
        floor, below = limit, reached
    return _ms(floor)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _more(before: float, after: float) -> float:
    """How much a counter grew; one that is smaller than before has begun anew."""
    return after - before if after >= before else after


def oldest_within(looks: Iterable[Look], now: float, seconds: float) -> Look | None:
    """The look to compare with: the oldest that is at most ``seconds`` old."""
    return next((look for look in looks if now - look.at <= seconds), None)
