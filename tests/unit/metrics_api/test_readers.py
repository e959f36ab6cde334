"""What a node uses: fake trees of /sys/fs/cgroup and /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clusterops.metrics_api import readers

MIB = 1024 * 1024


def tree(root: Path, files: dict[str, str]) -> Path:
    proc = {
        "proc/stat": "cpu  100 5 50 1000 20 3 2 10 7 0\ncpu0 1 1 1\ncpu1 1 1 1\ncpu10 1\nintr 5\n",
        "proc/meminfo": "MemTotal: 4194304 kB\nMemFree: 1048576 kB\nMemAvailable: 3145728 kB\n",
        "proc/loadavg": "0.50 0.40 0.30 1/100 7\n",
    }
    for name, text in {**proc, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v2(**changes: str) -> dict[str, str]:
    files = {
        "cgroup.type": "domain\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\n",
        "cpu.max": "50000 100000\n",
        "memory.current": f"{200 * MIB}\n",
        "memory.stat": f"anon 5\nactive_file 9\ninactive_file {50 * MIB}\n",
        "memory.max": f"{256 * MIB}\n",
    }
    return {f"sys/fs/cgroup/{k}": v for k, v in {**files, **changes}.items()}


def v1(cpu: str = "cpu", cpuacct: str = "cpuacct", quota: str = "50000") -> dict[str, str]:
    group = "sys/fs/cgroup"
    return {
        f"{group}/{cpuacct}/cpuacct.usage": "2500000000\n",
        f"{group}/{cpu}/cpu.cfs_quota_us": f"{quota}\n",
        f"{group}/{cpu}/cpu.cfs_period_us": "100000\n",
        f"{group}/memory/memory.usage_in_bytes": f"{200 * MIB}\n",
        f"{group}/memory/memory.limit_in_bytes": f"{256 * MIB}\n",
        f"{group}/memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {50 * MIB}\n",
    }


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (v2(), "cgroup v2"),
        (v1(), "cgroup v1"),
        (v1("cpu,cpuacct", "cpu,cpuacct"), "cgroup v1"),
        (v1("cpuacct,cpu", "cpuacct,cpu"), "cgroup v1"),
        # hybrid: the controllers are on v1, an empty v2 tree stands beside them
        ({**v1(), "sys/fs/cgroup/unified/cgroup.procs": ""}, "cgroup v1"),
    ],
)
def test_a_container_is_measured_by_its_own_cgroup(
    tmp_path: Path, files: dict[str, str], kind: str
) -> None:
    source = readers.detect(tree(tmp_path, files))
    assert source.kind == kind
    assert source.cpu() == (2.5, 0.5)
    assert source.memory() == (256 * MIB, (256 - 150) * MIB)


def test_without_a_quota_a_container_has_all_online_cpus(tmp_path: Path) -> None:
    source = readers.detect(tree(tmp_path, v2(**{"cpu.max": "max 100000\n"})))
    assert source.cpu().cpus == 3
    source = readers.detect(tree(tmp_path / "v1", v1(quota="-1")))
    assert source.cpu().cpus == 3


def test_a_cpu_set_limits_cpus_too(tmp_path: Path) -> None:
    files = v2(**{"cpu.max": "max 100000\n", "cpuset.cpus.effective": "0,2\n"})
    assert readers.detect(tree(tmp_path, files)).cpu().cpus == 2


def test_a_quota_above_the_machine_counts_as_the_machine(tmp_path: Path) -> None:
    files = v2(**{"cpu.max": "800000 100000\n"})
    assert readers.detect(tree(tmp_path, files)).cpu().cpus == 3


@pytest.mark.parametrize("limit", ["max", str(9 * 1024**4)])
def test_without_a_limit_the_total_is_the_machines(tmp_path: Path, limit: str) -> None:
    memory = readers.detect(tree(tmp_path, v2(**{"memory.max": limit}))).memory()
    assert memory.total == 4096 * MIB
    assert memory.available == (4096 - 150) * MIB


def test_unlimited_v1_memory_is_the_machines(tmp_path: Path) -> None:
    files = v1()
    files["sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n"
    assert readers.detect(tree(tmp_path, files)).memory().total == 4096 * MIB


def test_a_stricter_parent_sets_the_limit(tmp_path: Path) -> None:
    files = v1()
    files["sys/fs/cgroup/memory/memory.stat"] += f"hierarchical_memory_limit {160 * MIB}\n"
    assert readers.detect(tree(tmp_path, files)).memory() == (160 * MIB, 10 * MIB)


def test_usage_over_the_limit_leaves_nothing_available(tmp_path: Path) -> None:
    memory = readers.detect(tree(tmp_path, v2(**{"memory.max": str(100 * MIB)}))).memory()
    assert memory == (100 * MIB, 0)


@pytest.mark.parametrize(
    "files",
    [
        {},
        # a machine's root cgroups: v2 has cpu.stat but no type, v1 has release_agent
        {"sys/fs/cgroup/cpu.stat": "usage_usec 1\n", "sys/fs/cgroup/cgroup.controllers": "cpu"},
        {
            **v1(),
            "sys/fs/cgroup/cpu/release_agent": "",
            "sys/fs/cgroup/cpuacct/release_agent": "",
            "sys/fs/cgroup/memory/release_agent": "",
        },
    ],
)
def test_a_whole_machine_is_measured_by_proc(tmp_path: Path, files: dict[str, str]) -> None:
    source = readers.detect(tree(tmp_path, files))
    assert source.kind == "machine"
    # idle and iowait are not use, guest time is not counted twice
    assert source.cpu() == (170 / os.sysconf("SC_CLK_TCK"), 3)
    assert source.memory() == (4096 * MIB, 3072 * MIB)
    assert readers.read_load(tmp_path) == (0.5, 0.4, 0.3)


def test_a_container_without_the_memory_controller_uses_meminfo(tmp_path: Path) -> None:
    files = v2()
    del files["sys/fs/cgroup/memory.current"]
    source = readers.detect(tree(tmp_path, files))
    assert source.cpu().cpus == 0.5
    assert source.memory().total == 4096 * MIB


def test_runnable_tasks_are_counted_whatever_their_names(tmp_path: Path) -> None:
    def stat(state: str, threads: int, name: str = "x") -> str:
        return f"1 ({name}) {state} " + " ".join(["0"] * 16) + f" {threads} 0\n"

    files = {
        "proc/1/stat": stat("S", 1),
        "proc/2/stat": stat("R", 1, "a) S (b"),
        "proc/3/stat": stat("S", 3),
        "proc/3/task/3/stat": stat("S", 3),
        "proc/3/task/4/stat": stat("R", 3),
        "proc/3/task/5/stat": stat("D", 3),
        "proc/4/stat": "",  # ended while being read
        "proc/99/stat": stat("R", 1),
    }
    assert readers.count_runnable(tree(tmp_path, files), except_pid=99) == 3


def test_a_missing_file_is_an_error_not_a_zero(tmp_path: Path) -> None:
    source = readers.detect(tree(tmp_path, v2()))
    (tmp_path / "sys/fs/cgroup/cpu.stat").unlink()
    with pytest.raises(OSError):
        source.cpu()


def test_a_cgroup_v1_without_a_quota_has_the_whole_machine(tmp_path: Path) -> None:
    files = {name: text for name, text in v1().items() if "cfs" not in name}
    usage = readers.detect(tree(tmp_path, files)).cpu()
    assert (usage.seconds, usage.cpus) == (2.5, 3.0)


def test_a_cgroup_v1_that_went_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"no cpuacct\.usage any more"):
        readers.read_cpu_v1(tree(tmp_path, {}))


def test_lines_that_are_no_numbers_are_passed_over(tmp_path: Path) -> None:
    stat = f"odd\nworse than ever\ninactive_file {50 * MIB}\n"
    memory = readers.detect(tree(tmp_path, v2(**{"memory.stat": stat}))).memory()
    assert memory.available == 106 * MIB
