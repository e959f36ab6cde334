# SPDX-License-Identifier: GPL-3.0-or-later
"""A program in a virtual environment of its own, from wheels that were brought."""

from __future__ import annotations

from testinfra.host import Host

PYTHON = "/opt/clusterops/tool/current/bin/python"
OTHER_PYTHON = "/srv/programs/scaling/current/bin/python"


def test_the_program_runs(host: Host) -> None:
    assert host.run(f"{PYTHON} -m clusterops.metrics_api --help").rc == 0


def test_it_sees_no_packages_of_the_system(host: Host) -> None:
    assert "ModuleNotFoundError" in host.run(f"{PYTHON} -c 'import apt'").stderr


def test_without_extras_nothing_but_the_program_comes(host: Host) -> None:
    assert "ModuleNotFoundError" in host.run(f"{PYTHON} -c 'import fastapi'").stderr
    assert host.run("ls /opt/clusterops/tool/.incoming-*").rc != 0


def test_with_extras_their_packages_come_too(other: Host) -> None:
    assert other.run(f"{OTHER_PYTHON} -m clusterops.scaler --help").rc == 0
    assert other.run("ls -d /opt/clusterops").rc != 0


def test_a_release_that_was_cut_off_is_not_current(host: Host) -> None:
    release = host.check_output("readlink /opt/clusterops/tool/current")
    assert host.file(f"/opt/clusterops/tool/{release}/.complete-{release}").exists
