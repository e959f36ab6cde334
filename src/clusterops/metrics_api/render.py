# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a snapshot into JSON or Prometheus text, and choose between them."""

from __future__ import annotations

import json
import time
from typing import Any, Literal

from clusterops.metrics_api.sampler import Snapshot

Format = Literal["json", "text", "openmetrics"]

CONTENT_TYPES: dict[Format, str] = {
    "json": "application/json",
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
_MEDIA: dict[str, Format] = {
    "application/json": "json",
    "text/plain": "text",
    "application/openmetrics-text": "openmetrics",
}


def choose_format(accept: str) -> Format:
    """The format that an Accept header asks for: JSON unless a text format is named in it.

    The highest `q` wins, then what comes first; wildcards ask for nothing in particular.
    """
    best: Format = "json"
    best_q = 0.0
    for item in accept.split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if media in _MEDIA and quality > best_q:
            best, best_q = _MEDIA[media], quality
    return best


def to_json(snapshot: Snapshot) -> bytes:
    """The JSON document of GET /metrics."""
    cpu = round(snapshot.cpu_percent, 2)
    memory = round(snapshot.memory_percent, 2)
    document: dict[str, Any] = {
        "cpu_utilization_percent": cpu,
        "memory_utilization_percent": memory,
        "status": "active",
        "cpu": cpu,
        "memory": {
            "total": snapshot.memory_total,
            "available": snapshot.memory_available,
            "percent": memory,
        },
        "disk": {
            "total": snapshot.disk_total,
            "free": snapshot.disk_free,
            "percent": round(snapshot.disk_percent, 2),
        },
        "load": [round(value, 2) for value in snapshot.load],
        "cpus": _number(snapshot.cpus),
        "sampled_at": _iso(snapshot.sampled_at),
    }
    return json.dumps(document).encode() + b"\n"


def to_prometheus(snapshot: Snapshot, openmetrics: bool = False) -> bytes:
    """The same numbers as Prometheus text, or as OpenMetrics text."""
    lines: list[str] = []

    def gauge(name: str, text: str, value: float, labels: str = "") -> None:
        lines.append(f"# HELP {name} {text}")
        lines.append(f"# TYPE {name} gauge")
        lines.append(f"{name}{labels} {_number(value)}")

    one, five, fifteen = snapshot.load
    mount = '{mountpoint="/"}'
    gauge("node_load1", "1m load average.", round(one, 2))
    gauge("node_load5", "5m load average.", round(five, 2))
    gauge("node_load15", "15m load average.", round(fifteen, 2))
    gauge(
        "node_memory_MemTotal_bytes",
        "Memory that the node may use in bytes.",
        snapshot.memory_total,
    )
    gauge(
        "node_memory_MemAvailable_bytes",
        "Memory that the node can still take in bytes.",
        snapshot.memory_available,
    )
    gauge("node_filesystem_size_bytes", "Filesystem size in bytes.", snapshot.disk_total, mount)
    gauge(
        "node_filesystem_avail_bytes",
        "Filesystem space available to non-root users in bytes.",
        snapshot.disk_free,
        mount,
    )
    gauge(
        "clusterops_node_cpu_utilization_ratio",
        "Used part of the CPU time that the node may use, average of the last 10 seconds.",
        round(snapshot.cpu_percent / 100, 4),
    )
    gauge(
        "clusterops_node_memory_utilization_ratio",
        "Used part of the memory that the node may use.",
        round(snapshot.memory_percent / 100, 4),
    )
    gauge("clusterops_node_cpus", "CPUs that the node may use.", snapshot.cpus)
    gauge(
        "clusterops_node_sample_timestamp_seconds",
        "Unix time of this sample.",
        round(snapshot.sampled_at, 3),
    )
    if openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _iso(seconds: float) -> str:
    milliseconds = int(seconds * 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{stamp}.{milliseconds % 1000:03d}Z"
