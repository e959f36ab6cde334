# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a node uses from its own cgroup, or from /proc where the node is a whole machine.

Every reader takes the root of the file system as an argument. Inside a container /proc/stat and
/proc/meminfo tell of the machine below, so the node's cgroup, mounted at /sys/fs/cgroup, comes
first. The root cgroup of a machine has no limits and is not used: /proc says it better there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# Both controllers may share one mount, whose name then has them in either order.
_V1_CPUACCT = ("cpuacct", "cpu,cpuacct", "cpuacct,cpu")
_V1_CPU = ("cpu", "cpu,cpuacct", "cpuacct,cpu")
_KIB = 1024


class CpuUsage(NamedTuple):
    """CPU time used since some fixed moment, and how much the node may use."""

    seconds: float
    cpus: float


class Memory(NamedTuple):
    """Memory of the node in bytes; page cache that can be dropped counts as available."""

    total: int
    available: int


class Source(NamedTuple):
    """Where a node's numbers come from; both readers raise OSError or ValueError."""

    kind: str
    cpu: Callable[[], CpuUsage]
    memory: Callable[[], Memory]


def detect(root: Path) -> Source:
    """Choose the readers for the node whose file system is at `root`.

    CPU and memory are chosen apart: a container may have been given one controller only.
    """
    group = root / "sys/fs/cgroup"
    # A machine's root cgroup has no cgroup.type.
    if (group / "cgroup.type").exists() or (group / "cpu.max").exists():
        return Source(
            "cgroup v2",
            lambda: read_cpu_v2(root),
            (lambda: read_memory_v2(root))
            if (group / "memory.current").exists()
            else (lambda: read_memory_host(root)),
        )
    accounting = _own_v1(group, _V1_CPUACCT, "cpuacct.usage")
    memory = _own_v1(group, ("memory",), "memory.usage_in_bytes")
    return Source(
        "cgroup v1" if accounting or memory else "machine",
        (lambda: read_cpu_v1(root)) if accounting else (lambda: read_cpu_host(root)),
        (lambda: read_memory_v1(root)) if memory else (lambda: read_memory_host(root)),
    )


def read_cpu_v2(root: Path) -> CpuUsage:
    """CPU use of a cgroup v2 and its children."""
    group = root / "sys/fs/cgroup"
    seconds = _table(group / "cpu.stat")["usage_usec"] / 1e6
    quota, _, period = (_optional(group / "cpu.max") or "max").strip().partition(" ")
    limit = None if quota == "max" else int(quota) / int(period or 100_000)
    return CpuUsage(seconds, _cpus(root, limit, _optional(group / "cpuset.cpus.effective")))


def read_cpu_v1(root: Path) -> CpuUsage:
    """CPU use of a cgroup v1 and its children."""
    group = root / "sys/fs/cgroup"
    accounting = _own_v1(group, _V1_CPUACCT, "cpuacct.usage")
    if accounting is None:
        raise OSError(f"{group} has no cpuacct.usage any more")
    seconds = int((accounting / "cpuacct.usage").read_text()) / 1e9
    limit = None
    control = _own_v1(group, _V1_CPU, "cpu.cfs_quota_us")
    if control is not None:
        quota = int((control / "cpu.cfs_quota_us").read_text())
        if quota > 0:
            limit = quota / int((control / "cpu.cfs_period_us").read_text())
    cpuset = _optional(group / "cpuset/cpuset.effective_cpus") or _optional(
        group / "cpuset/cpuset.cpus"
    )
    return CpuUsage(seconds, _cpus(root, limit, cpuset))


def read_cpu_host(root: Path) -> CpuUsage:
    """CPU use of a whole machine: everything but idle and waiting for I/O."""
    lines = (root / "proc/stat").read_text().splitlines()
    # user nice system idle iowait irq softirq steal; guest times are already part of user.
    ticks = [int(field) for field in lines[0].split()[1:9]]
    busy = sum(ticks) - ticks[3] - ticks[4]
    return CpuUsage(busy / os.sysconf("SC_CLK_TCK"), float(_online(lines)))


def read_memory_v2(root: Path) -> Memory:
    """Memory of a cgroup v2; without a limit the total is the machine's."""
    group = root / "sys/fs/cgroup"
    limit = (group / "memory.max").read_text().strip()
    return _cgroup_memory(
        usage=int((group / "memory.current").read_text()),
        inactive_file=_table(group / "memory.stat").get("inactive_file", 0),
        limits=[] if limit == "max" else [int(limit)],
        machine=read_memory_host(root),
    )


def read_memory_v1(root: Path) -> Memory:
    """Memory of a cgroup v1; without a limit the total is the machine's."""
    group = root / "sys/fs/cgroup/memory"
    stat = _table(group / "memory.stat")
    limits = [int((group / "memory.limit_in_bytes").read_text())]
    # A parent may be stricter than the node's own limit.
    if "hierarchical_memory_limit" in stat:
        limits.append(stat["hierarchical_memory_limit"])
    return _cgroup_memory(
        usage=int((group / "memory.usage_in_bytes").read_text()),
        inactive_file=stat.get("total_inactive_file", stat.get("inactive_file", 0)),
        limits=limits,
        machine=read_memory_host(root),
    )


def read_memory_host(root: Path) -> Memory:
    """Memory of a whole machine."""
    table = _table(root / "proc/meminfo")
    available = table.get("MemAvailable:", table["MemFree:"])
    return Memory(table["MemTotal:"] * _KIB, available * _KIB)


def read_disk(root: Path) -> tuple[int, int]:
    """Size of the file system at `root` and what is free for ordinary users, in bytes."""
    stat = os.statvfs(root)
    return stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize


def read_load(root: Path) -> tuple[float, float, float]:
    """Load averages of a whole machine over 1, 5 and 15 minutes."""
    one, five, fifteen = (root / "proc/loadavg").read_text().split()[:3]
    return float(one), float(five), float(fifteen)


def count_runnable(root: Path, except_pid: int) -> int:
    """Tasks of this PID namespace that run, want to run, or wait for a disk.

    A container's /proc/loadavg is the machine's; the node's own load is averaged from this.
    """
    count = 0
    for entry in os.scandir(root / "proc"):
        if not entry.name.isdigit() or int(entry.name) == except_pid:
            continue
        process = Path(entry.path)
        try:
            # The command's name is in brackets and may hold anything, brackets too.
            fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[17]) == 1:
                count += fields[0] in "RD"
                continue
            for task in os.scandir(process / "task"):
                text = (Path(task.path) / "stat").read_text(errors="replace")
                count += text.rpartition(")")[2].split()[0] in "RD"
        except (OSError, IndexError, ValueError):
            continue  # it ended while being read
    return count


def _cgroup_memory(usage: int, inactive_file: int, limits: list[int], machine: Memory) -> Memory:
    total = min([limit for limit in limits if limit > 0] + [machine.total])
    used = max(0, usage - inactive_file)
    return Memory(total, max(0, total - used))


def _cpus(root: Path, limit: float | None, cpuset: str | None) -> float:
    available = _online((root / "proc/stat").read_text().splitlines())
    allowed = _cpuset_size(cpuset or "")
    if allowed:
        available = min(available, allowed)
    return float(available) if limit is None else min(limit, float(available))


def _online(stat_lines: list[str]) -> int:
    return sum(1 for line in stat_lines if line[:3] == "cpu" and line[3:4].isdigit()) or 1


def _cpuset_size(text: str) -> int:
    """Number of CPUs in a list such as `0-3,8`."""
    size = 0
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            size += int(last or first) - int(first) + 1
    return size


def _own_v1(group: Path, mounts: tuple[str, ...], name: str) -> Path | None:
    """The controller's folder if it is a cgroup below the root (only that has release_agent)."""
    for mount in mounts:
        folder = group / mount
        if (folder / name).exists() and not (folder / "release_agent").exists():
            return folder
    return None


def _optional(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _table(path: Path) -> dict[str, int]:
    """Lines `name number …` as a dictionary."""
    table = {}
    for line in path.read_text().splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[1].isdigit():
            table[fields[0]] = int(fields[1])
    return table
