# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes use, from a made-up /proc."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from clusterops.metrics_api.readers import CpuUsage, Memory
from clusterops.on_node import usage_probe
from clusterops.on_node.usage_probe import Process, group_of, look, node, usage

ID = "ab" * 32
TICKS = os.sysconf("SC_CLK_TCK")


def process(
    root: Path, number: int, group: str, *, cpu_s: float = 0.0, parent: int = 1, name: str = "x"
) -> None:
    folder = root / "proc" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    fields = ["S", str(parent)] + ["0"] * 9 + [str(int(cpu_s * TICKS)), "0"] + ["0"] * 6
    fields += [str(number * 10), "0", "100"]
    (folder / "stat").write_text(f"{number} ({name}) {' '.join(fields)}")
    (folder / "cgroup").write_text(group)
    (folder / "smaps_rollup").write_text("00-ff ---p 00000000 00:00 0 [rollup]\nPss:  512 kB\n")
    (folder / "io").write_text("rchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\n")


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("9:name=systemd:/\n4:memory:/\n0::/system.slice/nginx.service", "nginx.service"),
        ("0::/system.slice/system-postgresql.slice/postgresql@17-main.service",
         "postgresql@17-main.service"),
        (f"4:memory:/docker/{ID}\n0::/system.slice/docker.service", ID),
        (f"0::/system.slice/docker-{ID}.scope", ID),
        ("0::/user.slice/user-0.slice/session-1.scope", "logins"),
        ("0::/user.slice/user-0.slice/user@0.service/init.scope", "logins"),
        ("0::/init.scope", "init.scope"),
        ("0::/", "other"),
        ("", None),
    ],
)  # fmt: skip
def test_a_process_belongs_to_its_unit_or_container(text: str, group: str | None) -> None:
    assert group_of(text) == group


def test_processes_are_read_and_kernel_threads_are_not(tmp_path: Path) -> None:
    process(tmp_path, 10, "0::/system.slice/nginx.service", cpu_s=3, name="nginx: a) b")
    process(tmp_path, 20, "0::/", parent=2)
    (tmp_path / "proc/30").mkdir()  # it ended while it was looked at
    found = look(tmp_path)
    assert list(found.values()) == [Process("nginx.service", 3.0, 512 * 1024, 4096, 8192)]


def test_two_looks_make_a_rate_in_percent_of_what_the_node_may_use() -> None:
    before = {(1, 1): Process("nginx.service", 1.0, 50, 0, 0)}
    now = {
        (1, 1): Process("nginx.service", 1.5, 100, 0, 2000),
        (2, 9): Process("nginx.service", 0.1, 40, 0, 0),
        (3, 1): Process(ID, 0.0, 70, 0, 0),
        (4, 1): Process("clusterops-scaler.service", 0.0, 10, 0, 0),
    }
    rows = usage(before, now, 2.0, 0.5, {ID: ("app/api", "fib-api-1")})
    assert rows[0] == {
        "name": "nginx",
        "kind": "service",
        "source": "nginx.service",
        "cpu_percent": 60.0,
        "memory_bytes": 140,
        "read_bytes_per_s": 0,
        "write_bytes_per_s": 1000,
        "processes": 2,
    }
    assert [(row["name"], row["kind"]) for row in rows[1:]] == [
        ("app/api", "container"), ("scaler", "service"),
    ]  # fmt: skip


def test_a_process_number_that_is_used_again_is_another_process() -> None:
    before = {(1, 1): Process("a.service", 90.0, 0, 0, 0)}
    now = {(1, 2): Process("a.service", 0.2, 0, 0, 0)}
    assert usage(before, now, 1.0, 1.0, {})[0]["cpu_percent"] == 20.0


def test_the_node_as_a_whole() -> None:
    figures = node(CpuUsage(10.0, 0.5), CpuUsage(10.25, 0.5), Memory(1000, 400), 1.0)
    assert figures == {
        "cpu_percent": 50.0, "cpus": 0.5, "memory_bytes": 600, "memory_total_bytes": 1000,
    }  # fmt: skip


def test_it_prints_as_many_looks_as_asked_for_and_ends_with_its_input(tmp_path: Path) -> None:
    process(tmp_path, 10, "0::/system.slice/nginx.service")
    (tmp_path / "proc/stat").write_text("cpu 1 2 3 4 5 6 7 8\ncpu0 1 2 3 4 5 6 7 8\n")
    (tmp_path / "proc/meminfo").write_text(
        "MemTotal: 100 kB\nMemFree: 10 kB\nMemAvailable: 40 kB\n"
    )
    reader, writer = os.pipe()
    out = io.StringIO()
    usage_probe.run({"interval_s": 0.01, "count": 2}, out, reader, str(tmp_path))
    looks = [json.loads(text) for text in out.getvalue().splitlines()]
    assert [each["services"][0]["name"] for each in looks] == ["nginx", "nginx"]
    assert looks[0]["memory_bytes"] == 60 * 1024
    os.close(writer)
    out = io.StringIO()
    usage_probe.run({"interval_s": 60, "count": 0}, out, reader, str(tmp_path))
    os.close(reader)
    assert out.getvalue() == ""
