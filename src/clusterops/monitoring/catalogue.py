# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of the playground's own programs, from what those programs say of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from clusterops.state import project_root

_HELP = re.compile(r"^# HELP (\S+) (.*)$", re.MULTILINE)
_TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)
_LUA = Path("roles/load_balancer/files/lua/clusterops")
_LUA_METRIC = re.compile(r'(counter|gauge)\(lines,(?: keys, "\w",)?\s*"(\w+)",\s*"([^"]+)"')
_LUA_TEXT = re.compile(r'"# HELP " \.\. (NAME|PREFIX) \.\. "(\w*) ([^"]+)"(?:\s*\.\. "([^"]*)")?')


@dataclass(frozen=True)
class Metric:
    """One metric: who tells it, its name, its type and what it says of itself."""

    job: str
    name: str
    kind: str
    about: str


def metrics() -> list[Metric]:
    """All of them, by job and name."""
    found = [
        *_of_text("agents", _agents()),
        *_of_text("scaler", _scaler()),
        *_of_text("server_manager", _server_manager()),
        *_load_balancer(project_root() / _LUA),
    ]
    return sorted(found, key=lambda one: (one.job, one.name))


def table() -> str:
    """The same as a table in Markdown."""
    rows = [f"| {m.job} | `{m.name}` | {m.kind} | {m.about} |" for m in metrics()]
    return "\n".join(["| job | metric | type | |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _of_text(job: str, text: str) -> list[Metric]:
    kinds = dict(_TYPE.findall(text))
    return [Metric(job, name, kinds[name], about) for name, about in _HELP.findall(text)]


def _agents() -> str:
    from clusterops.metrics_api.render import to_prometheus
    from clusterops.metrics_api.sampler import Snapshot

    return to_prometheus(
        Snapshot(
            cpu_percent=0, cpus=1, memory_total=1, memory_available=1, disk_total=1, disk_free=1,
            load=(0, 0, 0), sampled_at=0,
        )
    ).decode()  # fmt: skip


def _scaler() -> str:
    from clusterops.scaler.exporter import Exporter

    return Exporter().render().decode()


def _server_manager() -> str:
    from clusterops.server_manager.telemetry import Telemetry

    return Telemetry().render([]).decode()


def _load_balancer(folder: Path) -> list[Metric]:
    """Read from the program's text: it runs inside nginx alone."""
    prefix = "clusterops_load_balancer_"
    found = []
    for file in ("metrics.lua", "latencies.lua"):
        text = (folder / file).read_text(encoding="utf-8")
        for kind, name, about in _LUA_METRIC.findall(text):
            found.append(Metric("load_balancer", prefix + name, kind, about))
        for base, name, about, more in _LUA_TEXT.findall(text):
            whole = prefix + name if base == "PREFIX" else prefix + "request_duration_seconds"
            kind = "gauge" if base == "PREFIX" else "histogram"
            found.append(Metric("load_balancer", whole, kind, about + more))
    return found
