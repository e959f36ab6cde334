#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long site.yml takes on four nodes where nothing is to be done, and what each role costs.

    .venv/bin/python benchmarks/content.py [--runs 3] [--before FOLDER] [--folder FOLDER]

It makes a cluster of its own (name, ports) with three agents and takes it down again. --before
names another checkout with its .venv, whose site.yml then runs on the same machines (what it
changes there is settled by a run that does not count). With --folder, the cluster of that folder's
cluster.yml, outside of a checkout, is used as it runs, and left. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.cluster import Cluster  # noqa: E402

AGENTS = 3
STARTS = "Ansible's start and the starts of plays"


@dataclass
class Cost:
    """Seconds by the clock, tasks that began, and results of hosts that had something to do."""

    seconds: float = 0.0
    tasks: int = 0
    done: int = 0
    skipped: int = 0


@dataclass
class Profile:
    """What a run cost: all of it, by role (tasks without one: by play), and by task, in order."""

    seconds: float = 0.0
    changed: int = 0
    groups: dict[str, Cost] = field(default_factory=dict)
    tasks: list[tuple[str, str, Cost]] = field(default_factory=list)

    @property
    def all(self) -> Cost:
        every = Cost(self.seconds)
        for cost in self.groups.values():
            every.tasks += cost.tasks
            every.done += cost.done
            every.skipped += cost.skipped
        return every


def profile(events: Iterable[dict[str, Any]], began: float) -> Profile:
    """Reads what the callback task_times has written.

    A task lasts until the next one, or the next play, begins; what is before a play's first task is
    counted as the start of the play. ``began`` is when the run did, by the same clock.
    """
    found = Profile()
    current = found.groups.setdefault(STARTS, Cost())
    task, play, since = Cost(), "", began
    for event in events:
        if event["event"] == "result":
            found.changed += event["status"] == "changed"
            for cost in (current, task):
                cost.skipped += event["status"] == "skipped"
                cost.done += event["status"] != "skipped"
            continue
        for cost in (current, task):
            cost.seconds += event["at"] - since
        since = event["at"]
        if event["event"] == "task":
            group = f"role {event['role']}" if event["role"] else f"play “{play}”"
            current, task = found.groups.setdefault(group, Cost()), Cost(tasks=1)
            current.tasks += 1
            found.tasks.append((group, event["name"] or event["action"], task))
        else:
            play = event.get("name", "")
            current, task = found.groups[STARTS], Cost()
    found.seconds = since - began
    return found


@dataclass(frozen=True)
class Run:
    """One run of site.yml; processor time in seconds, of this machine and inside of the nodes."""

    profile: Profile
    own_cpu: float
    node_cpu: float
    load: float


class Measurement:
    """Runs site.yml of a checkout on a cluster."""

    def __init__(self, cluster: Cluster, nodes: Sequence[str]) -> None:
        self._cluster = cluster
        self._nodes = nodes

    def run(self, tree: Path) -> Run:
        """Once; fails where the playbook does."""
        load, node_cpu, own_cpu = os.getloadavg()[0], self._node_cpu(), _own_cpu()
        with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as times:
            began = time.monotonic()
            done = subprocess.run(  # noqa: S603 - the checkout's own program
                [
                    *(str(tree / ".venv/bin/ansible-playbook"), "site.yml"),
                    *("-e", f"@{self._cluster.folder / '.playground/resolved.json'}"),
                ],
                cwd=tree,
                env={
                    **self._cluster.environment,
                    "PATH": f"{tree / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
                    "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "benchmarks/callbacks"),
                    "ANSIBLE_CALLBACKS_ENABLED": "task_times",
                    "TASK_TIMES_FILE": times.name,
                },
                capture_output=True,
                text=True,
            )
            own_cpu = _own_cpu() - own_cpu
            if done.returncode != 0:
                raise SystemExit(f"{tree}: site.yml failed\n{done.stdout[-4000:]}{done.stderr}")
            found = profile((json.loads(line) for line in times), began)
        return Run(found, own_cpu, self._node_cpu() - node_cpu, load)

    def _node_cpu(self) -> float:
        """Processor seconds of all nodes since they were made."""
        return sum(
            int(self._cluster.on(node, CPU_SECONDS).split()[-1]) / 1e6 for node in self._nodes
        )


# Microseconds of the node's own control group, version 2 or 1.
CPU_SECONDS = (
    "awk '/usage_usec/ { print $2 }' /sys/fs/cgroup/cpu.stat 2>/dev/null | grep . ||"
    " awk '{ print int($1 / 1000) }' /sys/fs/cgroup/cpuacct/cpuacct.usage"
)


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def totals(names: Sequence[str], runs: Sequence[Sequence[Run]]) -> str:
    """The whole playbook, a column for each checkout; medians."""
    rows = [
        ("seconds", [_median(run.profile.seconds for run in each) for each in runs], "{:.1f}"),
        ("tasks", [_median(run.profile.all.tasks for run in each) for each in runs], "{:.0f}"),
        (
            "results that did something",
            [_median(r.profile.all.done for r in e) for e in runs],
            "{:.0f}",
        ),
        ("skipped results", [_median(r.profile.all.skipped for r in e) for e in runs], "{:.0f}"),
        ("processor seconds of Ansible", [_median(r.own_cpu for r in e) for e in runs], "{:.1f}"),
        (
            "processor seconds of the nodes",
            [_median(r.node_cpu for r in e) for e in runs],
            "{:.1f}",
        ),
    ]
    return _table(["all of site.yml", *names], rows)


def by_group(runs: Sequence[Run]) -> str:
    """What each role, and each play's own tasks, took; medians, the most expensive first."""
    names = {name for run in runs for name in run.profile.groups}
    rows = [
        (
            name,
            [
                _median(run.profile.groups.get(name, Cost()).seconds for run in runs),
                *(
                    _median(getattr(run.profile.groups.get(name, Cost()), kind) for run in runs)
                    for kind in ("tasks", "done", "skipped")
                ),
            ],
            "{:.3g}",
        )
        for name in names
    ]
    rows.sort(key=lambda row: row[1][0], reverse=True)
    return _table(["by role", "seconds", "tasks", "did something", "skipped"], rows)


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _table(header: Sequence[str], rows: Sequence[tuple[str, Sequence[float], str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
    for name, values, form in rows:
        lines.append(f"| {name} | " + " | ".join(form.format(value) for value in values) + " |")
    return "\n".join(lines)


def measure(cluster: Cluster, trees: Sequence[Path], count: int) -> list[list[Run]]:
    """The runs of each checkout, after one of it that does not count."""
    nodes = [node["name"] for node in cluster.status()["nodes"] if node["state"] == "running"]
    measurement = Measurement(cluster, nodes)
    runs = []
    for tree in trees:
        measurement.run(tree)
        runs.append([measurement.run(tree) for _ in range(count)])
        for run in runs[-1]:
            print(
                f"{tree.name}: {run.profile.seconds:.1f} s, {run.profile.changed} changes,"
                f" load {run.load:.1f} before",
                file=sys.stderr,
            )
    return runs


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="of each checkout")
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--folder", type=Path, help="of the cluster.yml of a cluster that runs")
    parser.add_argument("--tasks", action="store_true", help="tell about each task as well")
    options = parser.parse_args()
    if options.folder and not (options.folder / ".playground/resolved.json").exists():
        parser.error(
            f"{options.folder} has no cluster that runs beside its cluster.yml, "
            "outside of a checkout (PLAYGROUND_CLUSTER_FILE)"
        )
    trees = [*([options.before.resolve()] if options.before else []), ROOT]
    with tempfile.TemporaryDirectory() as temporary:
        cluster = Cluster("playground-content", options.folder or Path(temporary))
        if options.folder is None:
            cluster.configure(agents_min=AGENTS)
        try:
            if options.folder is None:
                cluster.run("up", timeout=1800)
            runs = measure(cluster, trees, options.runs)
        finally:
            if options.folder is None:
                cluster.run("down", "--keep-images", check=False)
    print(totals(["before", "now"][-len(trees) :], runs), end="\n\n")
    print(by_group(runs[-1]))
    if options.tasks:
        for group, name, cost in runs[-1][-1].profile.tasks:
            did = f"{cost.done} done, {cost.skipped} skipped"
            print(f"{cost.seconds:6.2f} s, {did}  {group}: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
