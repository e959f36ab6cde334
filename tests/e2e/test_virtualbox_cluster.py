# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole cluster on the provider virtualbox: real VBoxManage, real machines, real Vagrant.

Only what would run inside the machines runs elsewhere: see ``tests.virtualbox.guest_stand_in``.
The tests of this file run in order on one cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clusterops.engine import connect
from clusterops.virtualbox._vboxmanage_client import VBoxManage
from clusterops.virtualbox._vboxmanage_model import Vm
from tests.e2e.cluster import Cluster, request, wait_for
from tests.e2e.steady_client import SteadyClient
from tests.virtualbox.guest_stand_in import GuestStandIn
from tests.virtualbox.host import VirtualBoxHost
from tests.virtualbox.image import ensure_image
from tests.virtualbox.vagrant import BOX, vagrant_environment

pytestmark = pytest.mark.e2e

NAME = "playground-vbox"
OFFSET = 5000
NETWORK = "10.213.77.0/24"


@dataclass
class World:
    cluster: Cluster
    host: VirtualBoxHost
    manage: VBoxManage
    guests: GuestStandIn

    def machines(self) -> dict[str, Vm]:
        """VirtualBox's machines in the cluster's group."""
        group = f"/clusterops/{NAME}"
        return {vm.name: vm for vm in self.manage.inventory() if group in vm.groups}

    def state(self, node: str) -> str:
        return self.machines()[f"{NAME}-{node}"].state


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    client = connect(900)
    folder: Path = tmp_path_factory.mktemp("vbox")
    image = ensure_image(client)
    host = VirtualBoxHost(client, image, folder / "host")
    try:
        cluster = Cluster(NAME, folder, vagrant_environment(host), OFFSET)
        cluster.configure(
            cluster_provider="auto",
            vagrant_box=BOX,
            node_os="debian-13",
            virtualbox_network=NETWORK,
            agents_max=2,
        )
        guests = GuestStandIn(client, host, NAME, NETWORK)
        manage = host.client()
        with guests.running():
            try:
                print(cluster.run("up", "--provider", "virtualbox", timeout=1500).stdout)
                yield World(cluster, host, manage, guests)
            finally:
                cluster.run("down", check=False)
                print("\n".join(guests.problems[-20:]))
    finally:
        host.close()


def test_the_cluster_runs_on_real_machines(world: World) -> None:
    machines = world.machines()
    assert sorted(machines) == [f"{NAME}-{node}" for node in ("agent-1", "control-1", "template")]
    assert {name: vm.state for name, vm in machines.items()} == {
        f"{NAME}-agent-1": "running",
        f"{NAME}-control-1": "running",
        f"{NAME}-template": "poweroff",
    }
    status = world.cluster.status()
    assert status["provider"] == "virtualbox"
    nodes = {node["name"]: node for node in status["nodes"]}
    assert nodes["agent-1"]["address"] == "10.213.77.101"
    assert nodes["agent-1"]["ports"] == {
        what: world.cluster.port(what) + 1 for what in ("ssh", "app", "metrics")
    }
    wait_for("agent-1 in service", lambda: world.cluster.in_service() == ["agent-1"], 60)


def test_the_application_answers(world: World) -> None:
    url = world.cluster.url
    assert request("GET", f"{url}/ready")[:2] == (200, {"ready": True})
    api = f"{url}/api/v1/fibonacci"
    assert request("POST", f"{api}/calculate/11")[:2] == (200, {"working": True})
    wait_for(
        "the worker computes",
        lambda: request("GET", f"{api}/calculated/11")[1] == {"calculated_value": "89"},
        15,
        every=0.2,
    )


def test_nodes_know_who_they_are(world: World) -> None:
    assert world.cluster.on("agent-1", "hostname").strip() == "agent-1"


def test_second_up_changes_nothing_and_keeps_the_provider(world: World) -> None:
    before = world.machines()
    assert "Everything was up to date" in world.cluster.run("up").stdout
    after = world.machines()
    # The scaler may have added an agent meanwhile.
    assert {name: after[name].uuid for name in before} == {
        name: vm.uuid for name, vm in before.items()
    }
    other = world.cluster.run("up", "--provider", "docker", check=False)
    assert other.returncode == 2
    assert "is on virtualbox" in other.stderr


def test_the_scaler_clones_starts_and_stops_machines(world: World) -> None:
    with SteadyClient(world.cluster.url) as steady:
        world.cluster.run("scale", "2")
        assert world.state("agent-2") == "running"
        assert world.cluster.in_service() == ["agent-1", "agent-2"]
        world.cluster.run("scale", "1")
        wait_for("agent-2 is off", lambda: world.state("agent-2") == "poweroff", 60)
        # The same machine, not another clone, comes back.
        first = world.machines()[f"{NAME}-agent-2"].uuid
        world.cluster.run("scale", "2")
        assert world.machines()[f"{NAME}-agent-2"].uuid == first
    assert steady.failures == {}, steady.failures
    served = world.cluster.requests_per_agent()
    assert served["agent-2"] > 0


def test_down_leaves_nothing(world: World) -> None:
    outside = ["--name", f"{NAME}-agent-1", "--groups", "/mine"]
    world.manage.call("createvm", *outside, "--register")
    output = world.cluster.run("down").stdout
    assert f"virtual machine {NAME}-template" in output
    assert world.machines() == {}
    assert [vm.groups for vm in world.manage.inventory()] == [("/mine",)]
    assert not (world.cluster.folder / ".playground").exists()
    folder = world.host.folder / "machines/clusterops" / NAME
    assert not folder.exists() or list(folder.iterdir()) == []
