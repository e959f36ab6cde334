# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time of a service's processes, from the text of /proc."""

from __future__ import annotations


def cpu_seconds(stats: str, main_pid: str, ticks_per_s: int) -> float:
    """User and system seconds of a process, its children, and those of its children that ended.

    ``stats`` is what /proc/PID/stat says of every process, a line each.
    """
    ticks = 0
    for line in stats.splitlines():
        pid = line.partition(" ")[0]
        # What is before the last bracket is the program's name, with anything in it.
        fields = line.rpartition(")")[2].split()
        parent, own, ended = fields[1], fields[11:13], fields[13:15]
        if pid == main_pid:
            ticks += sum(map(int, own + ended))
        elif parent == main_pid:
            ticks += sum(map(int, own))
    return ticks / ticks_per_s
