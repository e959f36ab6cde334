#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What observing costs on the control node of a cluster with four agents: a table in Markdown.

    .venv/bin/python benchmarks/observing.py [--seconds 300]

It makes a cluster of its own (name, ports) and takes it down again. Processor time is that of all
processes of a service, memory is what they hold for themselves (PSS). Nobody uses the cluster
meanwhile. What a service spends on being asked, and not for itself, is measured by asking often.
The whole scaler is measured with nobody at the dashboard, and with one reader of its stream.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.cluster import Cluster, wait_for  # noqa: E402

AGENTS = 4
INTERVAL_S = 10
OBSERVERS = ("prometheus", "prometheus-postgres-exporter", "prometheus-redis-exporter")
SCALER = "clusterops-scaler"
#: Asked by Prometheus for its numbers: service -> address.
ASKED = {
    SCALER: "http://127.0.0.1:9000/metrics",
    "nginx": "http://127.0.0.1:8081/metrics",
    "postgresql@17-main": "http://127.0.0.1:9187/metrics",
    "redis-server": "http://127.0.0.1:9121/metrics",
}
TARGET = {"cpu": 3.0, "memory": 150.0}
TIMES = 100

# Run on the node: processor time (s) and memory (MB) by service.
LOOK = r"""
import glob, json, os, re
ticks, found = os.sysconf("SC_CLK_TCK"), {}
for folder in glob.glob("/proc/[0-9]*"):
    try:
        unit = re.search(r"/([^/]+)\.service", open(folder + "/cgroup").read())
        stat = open(folder + "/stat").read().rsplit(")", 1)[1].split()
        rolled = open(folder + "/smaps_rollup").read()
    except OSError:
        continue
    if unit:
        one = found.setdefault(unit[1], [0.0, 0.0])
        one[0] += (int(stat[11]) + int(stat[12]) + int(stat[13]) + int(stat[14])) / ticks
        one[1] += int(re.search(r"Pss: +(\d+)", rolled)[1]) / 1e3 * 1.024
print(json.dumps(found))
"""


def look(cluster: Cluster) -> dict[str, list[float]]:
    """Seconds of processor time since the start, and MB, by service."""
    found: dict[str, list[float]] = json.loads(cluster.on("control-1", f"python3 -c '{LOOK}'"))
    return found


def over(cluster: Cluster, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Percent of one processor, and MB at the end, by service."""
    before, began = look(cluster), time.monotonic()
    time.sleep(seconds)
    after, took = look(cluster), time.monotonic() - began
    cpu = {
        name: (after[name][0] - before[name][0]) / took * 100 for name in after if name in before
    }
    return cpu, {name: memory for name, (_, memory) in after.items()}


@contextlib.contextmanager
def page_open(cluster: Cluster) -> Iterator[None]:
    """Somebody reads the dashboard's stream, as its page does."""
    with requests.get(f"{cluster.dashboard}/api/v1/stream", stream=True, timeout=30) as stream:
        stream.raise_for_status()
        closing = threading.Event()

        def read() -> None:
            for _ in stream.iter_lines():
                if closing.is_set():
                    return

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        time.sleep(10)
        yield
        if not reader.is_alive():
            raise RuntimeError("the dashboard's stream has ended")
        closing.set()
        reader.join(30)


def measure(cluster: Cluster, seconds: float) -> dict[str, Any]:
    """Percent of one processor and MB of each observer, and percent of those that are asked."""
    cpu, memory = over(cluster, seconds)
    with page_open(cluster):
        watched_cpu, watched_memory = over(cluster, seconds)
    asked = {}
    for name, url in ASKED.items():
        start = look(cluster)[name][0]
        cluster.on("control-1", f"for i in $(seq {TIMES}); do curl -sS -o /dev/null {url}; done")
        each = max(look(cluster)[name][0] - start, 0.0) / TIMES
        asked[name] = each / INTERVAL_S * 100
    samples = cluster.on(
        "control-1",
        "curl -sS 'http://127.0.0.1:9090/api/v1/query?query=prometheus_tsdb_head_series'",
    )
    return {
        "cpu": {name: cpu[name] for name in (*OBSERVERS, SCALER)},
        "memory": {name: memory[name] for name in (*OBSERVERS, SCALER)},
        "watched": (watched_cpu[SCALER], watched_memory[SCALER]),
        "asked": asked,
        "series": int(json.loads(samples)["data"]["result"][0]["value"][1]),
    }


def report(found: dict[str, Any]) -> str:
    """The table, and whether the targets are met."""
    lines = ["| | of one core | memory |", "| --- | --- | --- |"]
    for name in OBSERVERS:
        lines.append(f"| {name} | {found['cpu'][name]:.2f} % | {found['memory'][name]:.0f} MB |")
    for name, share in found["asked"].items():
        lines.append(f"| {name}, asked each {INTERVAL_S} s | {share:.2f} % | |")
    cpu = sum(found["cpu"][name] for name in OBSERVERS) + sum(found["asked"].values())
    memory = sum(found["memory"][name] for name in OBSERVERS)
    lines.append(f"| **together** | **{cpu:.2f} %** | **{memory:.0f} MB** |")
    scaler = found["cpu"][SCALER]
    lines.append(
        f"| the whole scaler: looks each 1.5 s and 10 s, decisions, records | {scaler:.2f} % "
        f"| {found['memory'][SCALER]:.0f} MB |"
    )
    share, held = found["watched"]
    lines.append(
        f"| the same, while one reads the dashboard's stream | {share:.2f} % | {held:.0f} MB |"
    )
    met = cpu <= TARGET["cpu"] and memory <= TARGET["memory"]
    lines.append(
        f"\n{found['series']} series; target ≤ {TARGET['cpu']:g} % and ≤ {TARGET['memory']:g} MB: "
        + ("met" if met else "MISSED")
    )
    return "\n".join(lines)


def main() -> int:
    """Measure on a new cluster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="how long (default 300)")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster("playground-observe", Path(folder))
        cluster.configure(agents_min=AGENTS, agents_max=AGENTS, scaling_interval_s=10)
        try:
            cluster.run("up", timeout=1800)
            wait_for("all agents in service", lambda: len(cluster.in_service()) == AGENTS, 120)
            time.sleep(60)
            print(report(measure(cluster, seconds)))
        finally:
            cluster.run("down", "--keep-images", check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
