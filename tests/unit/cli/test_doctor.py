# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks, over facts that are made up here."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from clusterops.cli import doctor, main, probes
from clusterops.cli.checks import Engine, Facts, check_all, problems
from clusterops.cli.findings import Level, Machine, Result
from clusterops.cli.hypervisor_checks import Hypervisor
from clusterops.config import ClusterConfig
from clusterops.errors import ClusterOpsError

CONFIG = ClusterConfig()
GOOD = Facts(
    python=(3, 11, 2),
    programs={"ssh": True, "ssh-keygen": True, "mmdebstrap": False},
    engine=Engine(
        version="28.0", cgroup_version="2", storage_driver="overlay2", memory_mb=16_000, cpus=4
    ),
    hypervisor=Hypervisor(version=(7, 2, 4), kernel_driver=True, vagrant=(2, 4, 9)),
    memory_available_mb=8000,
    cpus=4,
    free_gb={"checkout": 50.0},
    busy_ports={},
    server_manager_is_ours=False,
    registry_reachable=True,
    may_install_packages=False,
    base_archive=False,
    may_start_engine=False,
    now=2_000_000_000.0,
    newest_file=1_900_000_000.0,
)


def own(name: str = "playground-control-1", *, running: bool = True, port: int = 8080) -> Machine:
    return Machine(name, "playground", running, frozenset({port}))


def of(check: str, facts: Facts, config: ClusterConfig | None = CONFIG) -> list[Result]:
    return [result for result in check_all(config, facts) if result.check.startswith(check)]


def test_a_good_machine_has_no_problem() -> None:
    results = check_all(CONFIG, GOOD)
    assert {result.level for result in results} == {Level.OK}
    assert problems(results) == []


@pytest.mark.parametrize(
    ("facts", "check", "words"),
    [
        (replace(GOOD, python=(3, 9, 1)), "Python", "too old"),
        (replace(GOOD, programs={"ssh": True}), "ssh", "ssh-keygen not installed"),
        (
            replace(GOOD, engine=Engine(error="Permission denied")),
            "Container engine",
            "Permission denied",
        ),
        (replace(GOOD, free_gb={"checkout": 2.5}), "Disk (checkout)", "2.5 GB free, 6 GB"),
        (replace(GOOD, memory_available_mb=1000), "Memory", "smallest cluster needs 2304 MiB"),
        (replace(GOOD, registry_reachable=False), "Node image", "no image registry"),
    ],
)
def test_what_blocks_up_is_a_problem_with_a_remedy(facts: Facts, check: str, words: str) -> None:
    (problem,) = problems(check_all(CONFIG, facts))
    assert problem.check == check
    assert words in problem.message
    assert problem.remedy


@pytest.mark.parametrize(
    ("facts", "check"),
    [
        (replace(GOOD, memory_available_mb=3000), "Memory"),
        (replace(GOOD, memory_available_mb=None, engine=replace(GOOD.engine, memory_mb=None)),
         "Memory"),
        (replace(GOOD, engine=replace(GOOD.engine, cpus=1)), "Cores"),
        (replace(GOOD, engine=replace(GOOD.engine, storage_driver="vfs")), "Storage driver"),
        (replace(GOOD, now=1_000_000_000.0), "Clock"),
        (replace(GOOD, engine=Engine(error="no socket"), may_install_packages=True),
         "Container engine"),
        (replace(GOOD, engine=Engine(error="no socket"), may_start_engine=True),
         "Container engine"),
    ],
)  # fmt: skip
def test_what_is_only_unpleasant_is_a_warning(facts: Facts, check: str) -> None:
    results = of(check, facts)
    assert [result.level for result in results] == [Level.WARNING]
    assert problems(check_all(CONFIG, facts)) == []


@pytest.mark.parametrize(
    "facts",
    [
        replace(GOOD, registry_reachable=False, may_install_packages=True),
        replace(GOOD, registry_reachable=False, programs={**GOOD.programs, "mmdebstrap": True}),
        replace(GOOD, registry_reachable=False, base_archive=True),
        replace(
            GOOD,
            registry_reachable=False,
            engine=replace(GOOD.engine, images=("clusterops/playground-base:trixie",)),
        ),
    ],
)
def test_a_node_image_needs_one_of_several_ways(facts: Facts) -> None:
    assert [result.level for result in of("Node image", facts)] == [Level.OK]


def test_another_clusters_image_is_not_this_clusters() -> None:
    engine = replace(GOOD.engine, images=("clusterops/other-base:trixie",))
    assert problems(check_all(CONFIG, replace(GOOD, registry_reachable=False, engine=engine)))


def test_a_foreign_port_names_port_use_holder_and_key() -> None:
    facts = replace(GOOD, busy_ports={5002: "nginx (process 77)"})
    (problem,) = problems(check_all(CONFIG, facts))
    assert "port 5002 (application of agent-2) is in use by nginx (process 77)" in problem.message
    assert "port_app" in (problem.remedy or "")


def test_a_port_of_another_cluster_names_that_cluster() -> None:
    engine = replace(GOOD.engine, machines=(Machine("b-control-1", "b", True, frozenset({8080})),))
    facts = replace(GOOD, busy_ports={8080: None}, engine=engine)
    (problem,) = problems(check_all(CONFIG, facts))
    assert "b-control-1 of cluster 'b'" in problem.message


def test_ports_of_this_cluster_are_no_problem() -> None:
    engine = replace(GOOD.engine, machines=(own(),))
    facts = replace(
        GOOD,
        engine=engine,
        busy_ports={8080: "docker-proxy (process 5)", 3000: "python (process 6)"},
        server_manager_is_ours=True,
    )
    assert problems(check_all(CONFIG, facts)) == []


def test_somebody_elses_program_at_the_server_managers_port_is_a_problem() -> None:
    facts = replace(GOOD, busy_ports={3000: "node (process 6)"})
    (problem,) = problems(check_all(CONFIG, facts))
    assert "port 3000 (Server Manager API) is in use by node" in problem.message
    assert "port_server_manager" in (problem.remedy or "")


def test_a_cluster_that_stands_needs_little_more_disk_and_no_more_memory() -> None:
    engine = replace(GOOD.engine, machines=(own(),))
    facts = replace(
        GOOD, engine=engine, free_gb={"checkout": 3.0}, memory_available_mb=200,
        server_manager_is_ours=True,
    )  # fmt: skip
    assert problems(check_all(CONFIG, facts)) == []
    full = replace(facts, free_gb={"checkout": 0.2})
    assert [problem.check for problem in problems(check_all(CONFIG, full))] == ["Disk (checkout)"]


def test_machines_left_behind_are_named() -> None:
    facts = replace(GOOD, engine=replace(GOOD.engine, machines=(own(running=False),)))
    (result,) = of("Machines", facts)
    assert result.level is Level.WARNING
    assert "playground-control-1" in result.message


def test_another_provider_needs_no_container_engine() -> None:
    config = ClusterConfig(cluster_provider="virtualbox")
    assert problems(check_all(config, replace(GOOD, engine=Engine(error="none")))) == []


def test_without_a_valid_cluster_yml_the_rest_is_still_checked() -> None:
    assert of("Python", GOOD, None)
    assert not of("Ports", GOOD, None)


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(found: Facts) -> None:
        monkeypatch.setattr(doctor, "gather", lambda *_: found)

    return use


def test_doctor_prints_marks_and_exits_0(
    state: Any, facts: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    facts(replace(GOOD, memory_available_mb=3000))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "✓ Python: 3.11.2" in out
    assert "! Memory: 3000 MiB" in out
    assert "→ lower agents_max" in out


def test_doctor_fails_when_up_would(
    state: Any, facts: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    facts(replace(GOOD, python=(3, 9, 1)))
    assert main(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    failed = [check for check in document["checks"] if check["status"] == "failed"]
    assert [check["check"] for check in failed] == ["Python"]


def test_doctor_shows_each_mistake_of_cluster_yml(
    state: Any, facts: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    facts(GOOD)
    state.cluster_file.write_text("agents_max: 99\nagent_cpu: 1\n")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert out.count("✗ cluster.yml") == 2
    assert "did you mean 'agent_cpus'?" in out


def test_preflight_gives_up_the_problems(state: Any, facts: Any) -> None:
    facts(replace(GOOD, busy_ports={8080: "nginx (process 7)"}))
    (problem,) = doctor.preflight(CONFIG, state)
    assert problem.check == "Ports"
    with pytest.raises(ClusterOpsError, match="port 8080") as caught:
        doctor.refuse_problems(CONFIG, state)
    assert caught.value.exit_code == 1
    facts(GOOD)
    doctor.refuse_problems(CONFIG, state)


def test_meminfo_is_read() -> None:
    assert probes.memory_available_mb("MemTotal: 1 kB\nMemAvailable:  2097152 kB\n") == 2048
    assert probes.memory_available_mb("") is None


def test_listeners_are_found_in_proc_net_tcp() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue tr tm->when retrnsmt uid timeout inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1\n"
        "   1: 0100007F:1F91 0100007F:9C40 01 00000000:00000000 00:00000000 00000000 0 0 4243 1\n"
    )
    assert probes.listening_inodes(table) == {8080: "4242"}


def test_a_machine_is_read_from_the_engines_list() -> None:
    found = probes.machine(
        {
            "Names": ["/playground-agent-1"],
            "Labels": {"clusterops.cluster": "playground"},
            "State": "running",
            "Ports": [{"PrivatePort": 22, "PublicPort": 2224}, {"PrivatePort": 80}],
        }
    )
    assert found == Machine("playground-agent-1", "playground", True, frozenset({2224}))


VIRTUALBOX = ClusterConfig(cluster_provider="virtualbox")


def _with(**changes: Any) -> Facts:
    return replace(GOOD, hypervisor=replace(GOOD.hypervisor, **changes))


@pytest.mark.parametrize(
    ("facts", "check", "words", "remedy"),
    [
        (_with(error="VBoxManage is not in PATH", remedy="Install VirtualBox."), "VirtualBox",
         "not in PATH", "Install VirtualBox"),
        (_with(version=(6, 1, 50)), "VirtualBox", "6.1.50 is too old", "7.0 or newer"),
        (_with(vagrant=None), "Vagrant", "not installed", "virtualbox_template"),
        (_with(vagrant=(2, 3, 4)), "Vagrant", "2.3.4 does not know VirtualBox 7.2.4", "2.4.9"),
        (_with(vagrant=(2, 4, 1), version=(7, 1, 0)), "Vagrant", "does not know", "2.4.2"),
    ],
)  # fmt: skip
def test_what_virtualbox_lacks(facts: Facts, check: str, words: str, remedy: str) -> None:
    (problem,) = problems(check_all(VIRTUALBOX, facts))
    assert problem.check == check
    assert words in problem.message
    assert remedy in (problem.remedy or "")


@pytest.mark.parametrize(
    ("facts", "config"),
    [
        (_with(), VIRTUALBOX),
        (_with(vagrant=(2, 3, 4), version=(7, 0, 20)), VIRTUALBOX),
        (_with(vagrant=None, template=True), VIRTUALBOX),
        (_with(vagrant=None), VIRTUALBOX.model_copy(update={"virtualbox_template": "mine"})),
        (replace(GOOD, engine=Engine(error="none")), VIRTUALBOX),
        (_with(error="none"), CONFIG),
        (_with(error="none"), ClusterConfig(cluster_provider="docker")),
    ],
)
def test_what_virtualbox_does_not_need(facts: Facts, config: ClusterConfig) -> None:
    assert problems(check_all(config, facts)) == []


def test_a_missing_kernel_driver_is_a_warning() -> None:
    (result,) = of("VirtualBox driver", _with(kernel_driver=False), VIRTUALBOX)
    assert result.level is Level.WARNING
    assert "modprobe vboxdrv" in (result.remedy or "")
    assert of("VirtualBox driver", _with(kernel_driver=None), VIRTUALBOX) == []


def test_ports_of_the_clusters_own_virtual_machines_are_no_problem() -> None:
    facts = _with(machines=(own("playground-control-1", port=8080),))
    facts = replace(facts, busy_ports={8080: "VBoxHeadless (process 9)"})
    assert problems(check_all(VIRTUALBOX, facts)) == []
