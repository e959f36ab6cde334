# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of ten minutes, with a scale-up and a scale-down, as the services recorded it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from clusterops.config import ClusterConfig
from clusterops.report.run import (
    Run,
    add_events,
    add_ticks,
    add_traffic,
    load_from,
    settings_of,
)

Json = dict[str, Any]
START = 1_795_644_000.0  # 2026-11-25 22:00:00 UTC
END = START + 600


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tick(
    at: float,
    *,
    wanted: int = 1,
    was: int | None = None,
    serving: int = 1,
    cpu: float = 40.0,
    guard: str | None = None,
    wished: int | None = None,
    reason: str = "quiet",
) -> Json:
    before = wanted if was is None else was
    direction = "none" if wanted == before else "up" if wanted > before else "down"
    return {
        "at": iso(at),
        "agents": [
            {"name": f"agent-{number}", "state": "running", "pool": "in_service",
             "cpu_percent": cpu, "memory_percent": 30.0}
            for number in range(1, serving + 1)
        ],
        "state": {"desired": before},
        "decision": {
            "desired": wanted, "direction": direction, "reason": reason, "blocked_by": guard,
            "wished": wished,
            "verdicts": [
                {"rule": "cpu_above", "value": cpu, "limit": 70.0, "fired": cpu > 70},
                {"rule": "memory_below", "value": 30.0, "limit": 40.0, "fired": True},
            ],
        },
        "plan": {"blocked_by": None},
    }  # fmt: skip


def ticks() -> list[Json]:
    """Newest first, as the scaler tells them."""
    found = []
    for second in range(0, 600, 10):
        at = START + second
        busy = 180 <= second < 400
        cpu = 85.0 if busy else 20.0
        serving = 2 if 220 <= second < 430 else 1
        if second == 180:
            found.append(
                tick(at, wanted=2, was=1, cpu=cpu, reason="average CPU 85 % is above 70 %")
            )
        elif second == 410:
            found.append(
                tick(
                    at, wanted=1, was=2, serving=2, cpu=cpu, reason="average CPU 20 % is below 30 %"
                )
            )
        elif 230 <= second < 250:
            found.append(tick(at, wanted=2, serving=2, cpu=cpu, guard="cooldown", wished=3))
        else:
            wanted = 2 if 180 < second < 410 else 1
            found.append(tick(at, wanted=wanted, serving=serving, cpu=cpu))
    return found[::-1]


def events() -> list[Json]:
    """Newest first."""
    rows: list[Json] = [
        {"at": START + 180, "kind": "decision", "message": "from 1 to 2: average CPU 85 % …"},
        {"at": START + 181, "kind": "started", "agent": "agent-2", "message": "scale_up: wanted",
         "action": "scale_up"},
        {"at": START + 194, "kind": "finished", "agent": "agent-2", "message": "scale_up took 13 s",
         "action": "scale_up"},
        {"at": START + 300, "kind": "ejected", "agent": "agent-2", "message": "it is silent"},
        {"at": START + 301, "kind": "weather", "message": "sunny"},
        {"at": START + 418, "kind": "finished", "agent": "agent-2", "message": "it took 8 s",
         "action": "scale_down"},
    ]  # fmt: skip
    return [
        {"id": number, "agent": None, **row, "at": iso(row["at"])}
        for number, row in enumerate(rows, 1)
    ][::-1]


def traffic() -> list[Json]:
    return [
        {"at": START + second, "requests_per_s": 200.0 if 100 <= second < 400 else 20.0,
         "errors_per_s": 1.0 if second == 300 else 0.0, "p50_ms": 4.0, "p95_ms": 20.0,
         "p99_ms": 250.0 if second == 190 else 40.0}
        for second in range(0, 600, 10)
    ]  # fmt: skip


def load_document(start: float = START + 100, **more: Any) -> Json:
    return {
        "profile": "spike", "started_at": iso(start), "url": "http://127.0.0.1:8080",
        "open_loop": True, "duration_s": 300.0,
        "totals": {"requests": 60_000, "failures": 12, "latency_ms": {"p50": 4.0, "p99": 300.0}},
        "seconds": [
            {"at": iso(start + second), "requests": 200, "failures": 0, "rate_wanted": 210.0,
             "p50_ms": 5.0, "p95_ms": None, "p99_ms": 90.0}
            for second in range(1, 301)
        ],
        **more,
    }  # fmt: skip


def run(**changes: Any) -> Run:
    """The whole of it."""
    config = {
        **ClusterConfig.model_construct().model_dump(),
        "cluster_name": "mine",
        "agents_max": 3,
        "application_env": {"API_KEY": "hunter2-secret"},
        "datastore_postgres_url": "postgresql://app:hunter3-secret@db/app",
    }
    found = Run(START, END, "mine", "docker")
    found.settings = settings_of(config, ClusterConfig.model_construct().model_dump())
    add_ticks(found, ticks())
    add_events(found, events())
    add_traffic(found, traffic())
    found.load = load_from(load_document())
    found.versions = [("playground", "0.1.0")]
    for name, value in changes.items():
        setattr(found, name, value)
    return found
