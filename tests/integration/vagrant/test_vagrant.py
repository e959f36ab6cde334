# SPDX-License-Identifier: GPL-3.0-or-later
"""The Vagrantfile on real VirtualBox, as far as machines without an operating system can go.

What Vagrant makes is read back with the Server Manager's driver: it has to be what the driver
itself would have made from the same cluster.yml.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from clusterops.config_file import load_config
from clusterops.server_manager.driver import Cluster, Server, ServerState
from clusterops.server_manager.drivers import _virtualbox_machine as recipe
from clusterops.server_manager.drivers.virtualbox import VirtualBoxDriver
from clusterops.server_manager.service import server_spec
from clusterops.virtualbox._vboxmanage_client import VBoxManage
from clusterops.virtualbox._vboxmanage_model import Vm
from tests.vagrant import run_vagrant
from tests.virtualbox.host import VirtualBoxHost
from tests.virtualbox.vagrant import BOX, vagrant_environment

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
# The machines have no operating system that could answer.
HOME_VAGRANTFILE = """Vagrant.configure("2") do |config|
  config.vm.boot_timeout = 3
  config.vm.graceful_halt_timeout = 1
end
"""
CLUSTER_YML = f"""\
cluster_name: vagrant-test
vagrant_box: {BOX}
agents_min: 2
agents_max: 3
control_cpus: 1.5
control_memory_mb: 768
agent_cpus: 0.3
agent_memory_mb: 384
port_server_manager: 23000
port_load_balancer: 28080
port_dashboard: 29000
port_prometheus: 29090
port_ssh: 22223
port_app: 25000
port_metrics: 25100
virtualbox_network: 10.213.57.0/24
"""


@dataclass
class Vagrant:
    """Vagrant with a home of its own, for the cluster below ``folder``."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = run_vagrant(self.folder, self.environment, *arguments, timeout=300)
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def up(self, name: str) -> None:
        """Bring a machine up; that it boots but never answers is what must be said about it."""
        result = self.run("up", name, "--provider=virtualbox", "--no-provision", check=False)
        assert "Timed out while waiting for the machine to boot" in result.stderr, (
            result.stdout + result.stderr
        )

    def states(self) -> dict[str, str]:
        """Name -> state, as ``vagrant status`` tells."""
        rows = [line.split(",") for line in self.run("status", "--machine-readable").stdout.split()]
        return {row[1]: row[3] for row in rows if row[2:3] == ["state"]}


@pytest.fixture(scope="module")
def vagrant(
    virtualbox: VirtualBoxHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vagrant]:
    """Vagrant that finds VirtualBox, with a box that holds no operating system."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "cluster.yml").write_text(CLUSTER_YML)
    vagrant = Vagrant(folder, vagrant_environment(virtualbox, HOME_VAGRANTFILE))
    yield vagrant
    vagrant.run("destroy", "--force", check=False)


def described(vagrant: Vagrant, manage: VBoxManage) -> dict[str, Server]:
    """The machines of the cluster, as the driver sees them."""
    cluster = Cluster.of(load_config(vagrant.folder / "cluster.yml"))
    driver = VirtualBoxDriver(cluster, connect=lambda: manage)
    return {server.name: server for server in driver.list()}


def machine(vagrant: Vagrant, manage: VBoxManage, name: str) -> Vm:
    return manage.vm(manage.find(f"vagrant-test-{name}").uuid)


@pytest.fixture(scope="module")
def made(vagrant: Vagrant) -> Vagrant:
    """The control node and the second agent are up."""
    vagrant.up("control-1")
    vagrant.up("agent-2")
    return vagrant


def test_the_vagrantfile_is_valid(vagrant: Vagrant) -> None:
    assert "validated successfully" in vagrant.run("validate").stdout
    assert "validated successfully" in vagrant.run("validate", "--ignore-provider").stdout


def test_the_machines_are_those_that_cluster_yml_describes(vagrant: Vagrant) -> None:
    assert list(vagrant.states()) == ["template", "control-1", "agent-1", "agent-2"]


def test_an_edited_cluster_yml_is_followed(vagrant: Vagrant, tmp_path: Path) -> None:
    settings = {**yaml.safe_load(CLUSTER_YML), "agents_min": 0}
    (tmp_path / "cluster.yml").write_text(yaml.safe_dump(settings))
    assert list(replace(vagrant, folder=tmp_path).states()) == ["template", "control-1"]


def test_a_wrong_value_is_named(vagrant: Vagrant, tmp_path: Path) -> None:
    (tmp_path / "cluster.yml").write_text("agents_min: two\n")
    result = replace(vagrant, folder=tmp_path).run("status", check=False)
    assert result.returncode != 0
    assert f'{tmp_path}/cluster.yml: agents_min: found "two"' in result.stderr


def test_two_clusters_do_not_share_vagrants_memory(vagrant: Vagrant, tmp_path: Path) -> None:
    shutil.copy(vagrant.folder / "cluster.yml", tmp_path)
    environment = {
        **os.environ,
        **vagrant.environment,
        "PLAYGROUND_CLUSTER_FILE": str(tmp_path / "cluster.yml"),
    }
    environment.pop("VAGRANT_DOTFILE_PATH", None)
    result = subprocess.run(
        ["vagrant", "status"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode != 0
    assert f"VAGRANT_DOTFILE_PATH, too, to {tmp_path}/.vagrant" in result.stderr


@pytest.mark.parametrize("name", ["control-1", "agent-2"])
def test_a_machine_is_what_the_driver_would_have_made(
    made: Vagrant, manage: VBoxManage, name: str
) -> None:
    config = load_config(made.folder / "cluster.yml")
    spec = server_spec(config, name, lambda *_: {})
    server = described(made, manage)[name]
    assert server.state is ServerState.RUNNING
    assert server.role is spec.role
    assert dict(server.ports) == dict(spec.ports)
    assert (server.cpus, server.memory_mb) == (spec.cpus, spec.memory_mb)
    assert server.address == recipe.planned_address(Cluster.of(config), name)
    vm = machine(made, manage, name)
    assert set(vm.forwards) == set(recipe.forwards(Cluster.of(config), spec))
    assert vm.groups == ("/clusterops/vagrant-test",)
    assert vm.description.startswith(f"Machine {name} of the cluster vagrant-test, made 20")
    assert server.created_at in vm.description
    first, second = vm.nics[:2]
    assert (first.number, first.attachment) == (1, "nat")
    assert (second.number, second.attachment, second.network) == (2, "intnet", "vagrant-test-net")


def test_a_machine_may_reach_the_hosts_loopback(made: Vagrant, manage: VBoxManage) -> None:
    settings = Path(machine(made, manage, "agent-2").config_file).read_text()
    assert 'localhost-reachable="true"' in settings


def test_a_second_up_makes_nothing_new(made: Vagrant, manage: VBoxManage) -> None:
    before = described(made, manage)
    result = made.run("up", "control-1", "agent-2", "--no-provision", check=False)
    assert "Importing" not in result.stdout
    assert described(made, manage) == before


def test_halted_machines_keep_their_birthday(made: Vagrant, manage: VBoxManage) -> None:
    before = described(made, manage)["agent-2"]
    made.run("halt", "--force", "agent-2")
    stopped = described(made, manage)["agent-2"]
    assert stopped == replace(before, state=ServerState.STOPPED)
    assert made.states()["agent-2"] == "poweroff"
    made.up("agent-2")
    assert described(made, manage)["agent-2"] == before


def test_the_template_is_made_when_asked_for(made: Vagrant, manage: VBoxManage) -> None:
    assert made.states()["template"] == "not_created"
    made.up("template")
    vm = machine(made, manage, "template")
    assert vm.groups == ("/clusterops/vagrant-test",)
    assert [rule.name for rule in vm.forwards] == ["ssh"]
    assert [nic.attachment for nic in vm.nics] == ["nat"]
    assert (vm.cpus, vm.cpu_cap_percent, vm.memory_mb) == (1, 30, 384)
    assert "template" not in described(made, manage)


def test_destroy_leaves_nothing_of_the_cluster(made: Vagrant, manage: VBoxManage) -> None:
    made.run("destroy", "--force")
    assert set(made.states().values()) == {"not_created"}
    left = [vm.name for vm in manage.vms() if vm.name.startswith("vagrant-test")]
    assert left == []
    assert not (made.folder / ".playground").exists()
