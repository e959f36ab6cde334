#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the main things take on this machine: prints a table in Markdown.

    .venv/bin/python benchmarks/cluster.py [--warm]

It makes a cluster of its own (name, ports) and takes it down again. Without --warm everything is
built and downloaded anew (`.cache` is set aside meanwhile), with it the images are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.cluster import Cluster, request, wait_for  # noqa: E402

SCALE_UPS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--warm", action="store_true", help="keep images and downloads")
    warm = parser.parse_args().warm
    rows: list[tuple[str, str, str]] = []
    cache, aside = ROOT / ".cache/images", ROOT / ".cache/images.aside"
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster("playground-bench", Path(folder))
        cluster.configure()
        if not warm and cache.exists():
            cache.rename(aside)
        try:
            rows.append(("first `up`", f"{_seconds(cluster, 'up'):.0f} s", "≤ 480 s"))
            rows.append(("second `up`", f"{_seconds(cluster, 'up'):.0f} s", "≤ 45 s"))
            time.sleep(30)
            rows.append(("control node, idle", f"{_memory_mb(cluster):.0f} MB", "≤ 600 MB"))
            new, again = _scale_ups(cluster)
            rows.append(
                ("decision → first request, new agent", f"{max(new):.1f} s (worst)", "≤ 20 s")
            )
            rows.append(("… agent that was stopped", f"{max(again):.1f} s (worst)", "≤ 20 s"))
        finally:
            cluster.run("down", *(["--keep-images"] if warm else []), check=False)
            if aside.exists():
                aside.rename(cache) if not cache.exists() else None
    print("| what | measured | target |\n| --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    return 0


def _seconds(cluster: Cluster, *arguments: str) -> float:
    began = time.monotonic()
    cluster.run(*arguments, timeout=1800)
    return time.monotonic() - began


def _memory_mb(cluster: Cluster) -> float:
    """Memory of the whole control node, without the file cache that can be given back."""
    body = cluster.on(
        "control-1",
        "cat /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.stat 2>/dev/null || "
        "cat /sys/fs/cgroup/memory/memory.usage_in_bytes /sys/fs/cgroup/memory/memory.stat",
    ).split("\n")
    numbers = dict(line.split() for line in body[1:] if len(line.split()) == 2)
    inactive = numbers.get("total_inactive_file") or numbers["inactive_file"]
    active = numbers.get("total_active_file") or numbers["active_file"]
    return (int(body[0]) - int(inactive) - int(active)) / 1e6


def _scale_ups(cluster: Cluster) -> tuple[list[float], list[float]]:
    """Seconds from asking for an agent to the first request it serves: new, and once stopped."""
    token = (cluster.folder / ".playground/token").read_text().strip()
    servers = "http://127.0.0.1:13000/api/v1/servers"
    new, again = [], []
    for turn in range(SCALE_UPS):
        if turn:
            request("DELETE", f"{servers}/agent-2", None, token)
        for times in (new, again):
            request("POST", "http://127.0.0.1:19000/api/v1/desired", {"desired": 2}, token)
            times.append(wait_for("agent-2 serves", lambda: _serves(cluster), 120, every=0.1))
            cluster.run("scale", "1")
            wait_for("agent-2 is off", lambda: _state(cluster) == "stopped", 60)
    print(json.dumps({"new": new, "again": again}), file=sys.stderr)
    return new, again


def _serves(cluster: Cluster) -> bool:
    return any(
        request("GET", f"{cluster.url}/health")[2].get("X-Served-By") == "agent-2" for _ in range(4)
    )


def _state(cluster: Cluster) -> str:
    nodes = {node["name"]: node["state"] for node in cluster.status()["nodes"]}
    return str(nodes.get("agent-2", "absent"))


if __name__ == "__main__":
    sys.exit(main())
