# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time of a service out of /proc."""

from __future__ import annotations

from benchmarks.balancers.processes import cpu_seconds


def line(pid: int, name: str, parent: int, own: tuple[int, int], ended: tuple[int, int]) -> str:
    between = " ".join(["0"] * 9)
    return f"{pid} ({name}) S {parent} {between} {own[0]} {own[1]} {ended[0]} {ended[1]} 20 0"


def test_a_service_is_its_main_process_its_children_and_those_that_ended() -> None:
    stats = "\n".join(
        [
            line(10, "nginx: master) (x", 1, (100, 50), (30, 20)),
            line(11, "nginx", 10, (200, 100), (7, 7)),
            line(12, "nginx", 1, (1000, 1000), (0, 0)),
        ]
    )
    assert cpu_seconds(stats, "10", 100) == 5.0
