# SPDX-License-Identifier: GPL-3.0-or-later
"""`vagrant up --provider=docker`: a whole cluster, and nothing of it left afterwards.

The tests of this file run in order on one cluster.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT, Cluster, request, wait_for

pytestmark = pytest.mark.e2e

NAME = "playground-vagrant"
OFFSET = 10_000


class VagrantCluster(Cluster):
    """A cluster whose machines Vagrant starts."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "VAGRANT_HOME": str(self.folder / "vagrant-home"),
            "VAGRANT_DOTFILE_PATH": str(self.folder / ".vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        }

    def vagrant(self, *arguments: str, timeout: float = 1500) -> str:
        """Run Vagrant in the checkout; what it prints."""
        result = subprocess.run(
            ["vagrant", *arguments],
            cwd=ROOT,
            env=self.environment,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
        assert result.returncode == 0, f"{result.stdout[-4000:]}\n{result.stderr[-2000:]}"
        return result.stdout

    def containers(self) -> set[str]:
        """Names of the cluster's containers, running or not."""
        return set(_docker("ps", "--all", "--format={{.Names}}", *_OURS).split())


_OURS = ("--filter", f"label=clusterops.cluster={NAME}")


def _docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.fixture(scope="module")
def vagrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VagrantCluster]:
    """The cluster, before its first `vagrant up`."""
    assert shutil.which("vagrant"), "./playground test installs it"
    cluster = VagrantCluster(NAME, tmp_path_factory.mktemp("vagrant"), offset=OFFSET)
    cluster.configure(agents_max=2)
    cluster.run("down", "--keep-images")
    try:
        yield cluster
    finally:
        cluster.run("down", check=False)


def test_one_command_brings_the_cluster_up(vagrant: VagrantCluster) -> None:
    output = vagrant.vagrant("up", "--provider=docker")
    print(output)
    assert output.count("ansible-playbook site.yml") == 1  # once for all, not once for each
    assert vagrant.containers() == {f"{NAME}-control-1", f"{NAME}-agent-1"}
    wait_for("agent-1 in service", lambda: vagrant.in_service() == ["agent-1"], 60)
    assert request("GET", f"{vagrant.url}/health")[:2] == (200, {"status": "OK"})


def test_the_command_line_knows_the_machines(vagrant: VagrantCluster) -> None:
    status = vagrant.status()
    assert (status["name"], status["provider"]) == (NAME, "docker")
    nodes = {node["name"]: (node["state"], node["ports"]["ssh"]) for node in status["nodes"]}
    assert nodes == {"control-1": ("running", 22223), "agent-1": ("running", 22224)}
    assert status["application"]["healthy"]


def test_vagrant_logs_in(vagrant: VagrantCluster) -> None:
    assert vagrant.vagrant("ssh", "agent-1", "--command", "hostname").strip() == "agent-1"


def test_a_second_up_changes_nothing(vagrant: VagrantCluster) -> None:
    before = _docker("ps", "--no-trunc", "--format={{.ID}} {{.CreatedAt}}", *_OURS)
    output = vagrant.vagrant("up")
    assert "Everything was up to date" in output, output
    assert _docker("ps", "--no-trunc", "--format={{.ID}} {{.CreatedAt}}", *_OURS) == before


def test_the_cluster_scales_beyond_vagrants_machines(vagrant: VagrantCluster) -> None:
    vagrant.run("scale", "2")
    assert vagrant.in_service() == ["agent-1", "agent-2"]


def test_halted_machines_come_back(vagrant: VagrantCluster) -> None:
    vagrant.vagrant("halt")
    running = _docker("ps", "--format={{.Names}}", *_OURS).split()
    assert {f"{NAME}-control-1", f"{NAME}-agent-1"}.isdisjoint(running)
    vagrant.vagrant("up")
    wait_for("agent-1 in service", lambda: "agent-1" in vagrant.in_service(), 60)
    assert request("GET", f"{vagrant.url}/health")[:2] == (200, {"status": "OK"})


def test_destroy_and_down_leave_nothing(vagrant: VagrantCluster) -> None:
    vagrant.vagrant("destroy", "--force")
    assert vagrant.containers() == set()  # the scaler's agent went, too
    assert not Path(vagrant.folder, ".playground").exists()
    vagrant.run("down")
    for kind in ("volume", "network", "image"):
        assert _docker(kind, "ls", "--quiet", *_OURS) == ""
    assert "not created" in vagrant.vagrant("status")
