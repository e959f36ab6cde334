# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what each service and container of a node uses, as JSON, one line for each look.

Processes are grouped by their control group and counted from /proc, which knows them whatever
controllers the node has; two looks make a rate. The node's own numbers come from where the
metrics API takes them, so that both say the same.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from clusterops.metrics_api import readers
from clusterops.on_node import log_sources

Json = dict[str, Any]

CONTAINERS = "var/lib/docker/containers"
_CONTAINER = re.compile(r"(?:docker|libpod|cri-containerd)[-/]([0-9a-f]{64})")
_UNIT = re.compile(r"^clusterops-|\.(service|scope)$")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGESIZE")


class Process(NamedTuple):
    """One process at one look. ``cpu_s`` and ``io_bytes`` are since it began."""

    group: str
    cpu_s: float
    memory_bytes: int
    read_bytes: int
    write_bytes: int


Look = dict[tuple[int, int], Process]


def run(arguments: Json, out: TextIO | None = None, stdin: int = 0, root: str = "/") -> None:
    """Print a look each ``interval_s`` seconds, ``count`` of them (0: until stdin ends)."""
    out = out or sys.stdout
    folder = Path(root)
    source = readers.detect(folder)
    before, cpu_before, at_before = look(folder), source.cpu(), time.monotonic()
    done = 0
    try:
        while True:
            if select.select([stdin], [], [], arguments["interval_s"])[0] and not os.read(stdin, 1):
                return
            now, cpu, at = look(folder), source.cpu(), time.monotonic()
            elapsed = max(at - at_before, 1e-3)
            document = {
                "at": time.time(),
                **node(cpu_before, cpu, source.memory(), elapsed),
                "services": usage(before, now, elapsed, cpu.cpus, names(folder)),
            }
            out.write(json.dumps(document, separators=(",", ":")) + "\n")
            out.flush()
            before, cpu_before, at_before, done = now, cpu, at, done + 1
            if done == arguments["count"]:
                return
    except BrokenPipeError:
        # Nobody reads any more; the interpreter's last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def node(
    before: readers.CpuUsage, now: readers.CpuUsage, memory: readers.Memory, elapsed_s: float
) -> Json:
    """What the node as a whole uses."""
    used = max(now.seconds - before.seconds, 0.0) / elapsed_s
    return {
        "cpu_percent": round(min(used / now.cpus * 100, 100.0), 1),
        "cpus": now.cpus,
        "memory_bytes": max(memory.total - memory.available, 0),
        "memory_total_bytes": memory.total,
    }


def look(root: Path) -> Look:
    """Every process that there is, by its number and the time when it began."""
    found: Look = {}
    for folder in (root / "proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            group = group_of((folder / "cgroup").read_text())
            # The name of a program may have blanks and brackets.
            fields = stat[stat.rindex(")") + 2 :].split()
            if group is None or fields[1] == "2" or folder.name == "2":
                continue  # the kernel's own threads
            cpu = sum(int(field) for field in fields[11:13]) / _TICKS
            resident = _memory(folder, int(fields[21]) * _PAGE)
            read, written = _transfers(folder)
            found[int(folder.name), int(fields[19])] = Process(group, cpu, resident, read, written)
        except (OSError, ValueError, IndexError):
            continue  # it ended meanwhile
    return found


def _memory(folder: Path, resident: int) -> int:
    """What a process has for itself and its share of what it shares; else all it has."""
    try:
        for line in (folder / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return resident


def _transfers(folder: Path) -> tuple[int, int]:
    """Bytes read from and written to storage; zeros where the kernel does not tell."""
    try:
        lines = (folder / "io").read_text().splitlines()
        table = dict(line.split(": ", 1) for line in lines)
        return int(table["read_bytes"]), int(table["write_bytes"])
    except (OSError, ValueError, KeyError):
        return 0, 0


def group_of(text: str) -> str | None:
    """A container's id, or a unit's name, out of /proc/PID/cgroup; None for no group at all."""
    found = _CONTAINER.search(text)
    if found:
        return found[1]
    paths = [line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2]
    for path in paths:
        parts = [part for part in path.split("/") if part]
        for part in parts:
            if part.endswith(".service") and not part.startswith("user@"):
                return part
        if parts and parts[0] == "user.slice":
            return "logins"
        if parts and parts[-1].endswith(".scope"):
            return parts[-1]
    return "other" if paths else None


def names(root: Path) -> dict[str, tuple[str, str]]:
    """Container id -> (service, name)."""
    found = log_sources.containers(root / CONTAINERS)
    return {Path(log).parent.name: known for log, known in found.items()}


def usage(
    before: Look, now: Look, elapsed_s: float, cpus: float, known: dict[str, tuple[str, str]]
) -> list[Json]:
    """Each group's use between two looks, the busiest first. CPU is in percent of the node's."""
    groups: dict[str, list[float]] = {}
    for key, process in now.items():
        # What is new has used all it used since the last look.
        old = before.get(key, Process("", 0.0, 0, 0, 0))
        sums = groups.setdefault(process.group, [0.0] * 5)
        for place, value in enumerate(
            (
                process.cpu_s - old.cpu_s,
                process.memory_bytes,
                process.read_bytes - old.read_bytes,
                process.write_bytes - old.write_bytes,
                1,
            )
        ):
            sums[place] += max(value, 0)
    rows = []
    for group, (cpu, memory, read, written, count) in groups.items():
        container = re.fullmatch("[0-9a-f]{64}", group) is not None
        service, source = known.get(group, (f"container/{group[:12]}", group[:12]))
        if not container:
            service, source = _UNIT.sub("", group), group
            service = "systemd" if group == "init.scope" else service
        rows.append(
            {
                "name": service,
                "kind": "container" if container else "service",
                "source": source,
                "cpu_percent": round(cpu / elapsed_s / cpus * 100, 1),
                "memory_bytes": int(memory),
                "read_bytes_per_s": int(read / elapsed_s),
                "write_bytes_per_s": int(written / elapsed_s),
                "processes": int(count),
            }
        )
    return sorted(rows, key=lambda row: (-row["cpu_percent"], -row["memory_bytes"], row["name"]))
