# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenarios of the roles: which, where, how many at a time, a line for each result."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from clusterops.cli import molecule
from clusterops.cli.molecule import Job
from clusterops.errors import UsageError
from clusterops.images.scenario import SYSTEMS, chosen_systems

KNOWN = ["monitoring", "base", "registry"]


def _jobs(folder: Path, *names: str) -> list[Job]:
    return [Job(name, "debian-13", folder) for name in names]


def test_every_role_has_a_scenario() -> None:
    root = Path(__file__).parents[3]
    roles = {path.name for path in (root / "roles").iterdir() if path.is_dir()}
    assert set(molecule.scenarios(root)) == roles | {"upgrade"}


def test_those_that_take_longest_begin_first(tmp_path: Path) -> None:
    for name in ("base", "monitoring", "firewall", "tasks"):
        (tmp_path / "molecule" / name).mkdir(parents=True)
        if name != "tasks":
            (tmp_path / "molecule" / name / "molecule.yml").touch()
    assert molecule.scenarios(tmp_path) == ["monitoring", "firewall", "base"]


@pytest.mark.parametrize(
    ("arguments", "names", "others"),
    [
        ([], KNOWN, []),
        (["base"], ["base"], []),
        (["-s", "registry", "base", "--destroy=never"], ["base", "registry"], ["--destroy=never"]),
    ],
)
def test_scenarios_are_named_or_all(
    arguments: list[str], names: list[str], others: list[str]
) -> None:
    assert molecule.split(arguments, KNOWN) == (names, others)


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(UsageError, match="found scenario 'bsae'; allowed: base, monitoring"):
        molecule.split(["bsae"], KNOWN)


def test_systems_are_one_several_or_all() -> None:
    assert chosen_systems("debian-12") == ["debian-12"]
    assert chosen_systems("debian-13, ubuntu-24.04") == ["debian-13", "ubuntu-24.04"]
    assert chosen_systems("all") == list(SYSTEMS)
    with pytest.raises(UsageError, match="found 'fedora-40'; allowed: debian-12"):
        chosen_systems("debian-12,fedora-40")


def test_a_role_is_not_tried_where_it_refuses_the_system(tmp_path: Path) -> None:
    jobs = molecule.jobs_of(["base", "load_balancer"], ["debian-13", "ubuntu-22.04"], tmp_path)
    assert [(job.scenario, job.system) for job in jobs] == [
        ("base", "debian-13"),
        ("base", "ubuntu-22.04"),
        ("load_balancer", "debian-13"),
    ]


def test_each_result_has_a_line_and_one_failure_fails_all(tmp_path: Path) -> None:
    jobs = _jobs(tmp_path, "base", "registry")
    jobs[1].log.write_text(
        "it began\nthe port is taken\nAn error occurred during the test sequence\n"
    )
    said: list[str] = []
    code = molecule.report(jobs, lambda job: int(job.scenario == "registry"), said.append, 2)
    assert code == 1
    text = "\n".join(said)
    assert "passed  base" in text and "FAILED  registry" in text and "[2/2]" in text
    assert "the port is taken" in text and "An error occurred" not in text


def test_all_passed(tmp_path: Path) -> None:
    said: list[str] = []
    assert molecule.report(_jobs(tmp_path, "base"), lambda job: 0, said.append, 2) == 0
    assert said == [said[0]] and said[0].startswith("[1/1]    passed  base")


@pytest.mark.parametrize("at_once", [2, 3])
def test_so_many_run_at_a_time(tmp_path: Path, at_once: int) -> None:
    together = threading.Barrier(at_once, timeout=10)
    running: list[str] = []
    most = 0

    def run(job: Job) -> int:
        nonlocal most
        running.append(job.scenario)
        together.wait()  # would time out with fewer
        most = max(most, len(running))
        together.wait()
        running.remove(job.scenario)
        return 0

    names = list("abcdef")
    results = list(molecule.run_all(_jobs(tmp_path, *names), run, at_once))
    assert {result.job.scenario for result in results} == set(names)
    assert most == at_once


def test_two_systems_do_not_share_files(tmp_path: Path) -> None:
    one, two = Job("base", "debian-12", tmp_path), Job("base", "debian-13", tmp_path)
    assert one.log != two.log
    assert one.environment()["NODE_SYSTEM"] == "debian-12"
    key = "MOLECULE_EPHEMERAL_DIRECTORY"
    assert one.environment()[key] != two.environment()[key]
