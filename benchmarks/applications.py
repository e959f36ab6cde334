#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same service in Python and in JavaScript, side by side: prints a table in Markdown.

    .venv/bin/python benchmarks/applications.py [--rounds 2] [--repository URL#REF]

It makes a cluster of its own with one agent, deploys one application after the other, as often as
there are rounds, and puts load on the agent itself, without the load balancer. Both have the
agent's processor and the limits of their Compose files. ``--repository``: to clone instead of the
JavaScript application's own one.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.cluster import Cluster  # noqa: E402

APPLICATIONS = ("fibonacci", "async-fibonacci-lab")
AGENT = "http://127.0.0.1:15001"
USERS = 20
DURATION_S = 30
UNITS = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}
FIGURES = {
    "requests/s": "rate",
    "p50, ms": "p50",
    "p99, ms": "p99",
    "failed requests": "failures",
    "memory after the load, MiB": "memory",
    "image, MiB": "image",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repository", help="URL[#REF] to clone instead")
    options = parser.parse_args()
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in APPLICATIONS}
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster("playground-bench", Path(folder))
        # One agent more takes over while the application changes; it is away when load comes.
        cluster.configure(agents_max=2, application_ready_timeout_s=90)
        if options.repository:
            with (Path(folder) / "cluster.yml").open("a") as settings:
                instead = {APPLICATIONS[1]: options.repository}
                settings.write(f"application_repositories: {json.dumps(instead)}\n")
        try:
            cluster.run("up", timeout=1800)
            cluster.run("pause")
            for _ in range(options.rounds):
                for name in APPLICATIONS:
                    cluster.run("deploy", f"apps/{name}")
                    cluster.run("scale", "1")
                    measured[name].append(_measure(cluster))
                    print(name, measured[name][-1], file=sys.stderr, flush=True)
        finally:
            cluster.run("down", "--keep-images", check=False)
    print(_table(measured))
    return 0


def _measure(cluster: Cluster) -> dict[str, float]:
    load = ("load", "--url", AGENT, "--users", str(USERS), "--think-time", "0", "--json")
    cluster.run(*load, "--duration", "5")  # warm
    summary: dict[str, Any] = json.loads(cluster.run(*load, "--duration", str(DURATION_S)).stdout)
    used = cluster.on("agent-1", "docker stats --no-stream --format '{{.MemUsage}}'")
    image = cluster.on(
        "agent-1", "docker inspect --format '{{.Image}}' $(docker ps -q) | sort -u | "
        "xargs docker image inspect --format '{{.Size}}'",
    )  # fmt: skip
    return {
        "rate": summary["requests_per_s"],
        "p50": summary["latency_ms"]["p50"],
        "p99": summary["latency_ms"]["p99"],
        "failures": summary["failures"],
        "memory": sum(_mib(line) for line in used.splitlines()),
        "image": int(image) / 2**20,
    }


def _mib(usage: str) -> float:
    """Of "61.4MiB / 192MiB", what is used."""
    match = re.match(r"([\d.]+)([KMG]iB)", usage)
    return float(match[1]) * UNITS[match[2]] if match else 0.0


def _table(measured: dict[str, list[dict[str, float]]]) -> str:
    """Medians, and the ratio of the first to the second."""
    lines = ["| | " + " | ".join(APPLICATIONS) + " | ratio |", "| --- | --- | --- | --- |"]
    for label, key in FIGURES.items():
        python, node = (
            statistics.median(one[key] for one in measured[name]) for name in APPLICATIONS
        )
        ratio = f"{python / node:.2f}" if node else ""
        lines.append(f"| {label} | {python:.0f} | {node:.0f} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
