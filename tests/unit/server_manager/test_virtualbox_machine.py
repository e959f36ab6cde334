# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a virtual machine of a cluster, and a machine read back from VirtualBox."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.config import ClusterConfig
from clusterops.server_manager.driver import Cluster, Role, ServerSpec, ServerState
from clusterops.server_manager.drivers import _virtualbox_machine as recipe
from clusterops.virtualbox._vboxmanage_model import GuestProperty, NatForward, Nic, Vm

CLUSTER = Cluster.of(ClusterConfig(cluster_name="lab"))
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def vm(name: str = "lab-agent-1", **changes: Any) -> Vm:
    values: dict[str, Any] = {
        "uuid": "11111111-2222-3333-4444-555555555555",
        "name": name,
        "state": "running",
        "groups": ("/clusterops/lab",),
        "cpus": 2,
        "cpu_cap_percent": 25,
        "memory_mb": 768,
        "state_since": "2026-02-03T04:05:06.789000000",
        **changes,
    }
    return Vm(**values)


def spec(name: str = "agent-1", **changes: Any) -> ServerSpec:
    ports = {"ssh": 2224, "app": 5001}
    values: dict[str, Any] = {"cpus": 0.5, "memory_mb": 768, "ports": ports, "seed": lambda _: {}}
    return ServerSpec(name, Role.AGENT, **{**values, **changes})


@pytest.mark.parametrize(
    ("name", "groups", "node"),
    [
        ("lab-agent-1", ("/clusterops/lab",), "agent-1"),
        ("lab-control-1", ("/clusterops/lab", "/more"), "control-1"),
        ("lab-agent-1", ("/",), None),
        ("lab-agent-1", ("/clusterops/lab2",), None),
        ("lab-agent-x", ("/clusterops/lab",), None),
        ("lab-template", ("/clusterops/lab",), None),
        ("other-agent-1", ("/clusterops/lab",), None),
        ("agent-1", ("/clusterops/lab",), None),
    ],
)
def test_a_machine_is_the_clusters_by_group_and_name(
    name: str, groups: tuple[str, ...], node: str | None
) -> None:
    assert recipe.node_name(CLUSTER, vm(name, groups=groups)) == node


@pytest.mark.parametrize(
    ("folder", "ours"),
    [("/vms/clusterops/lab", True), ("/vms/clusterops/lab2", False), ("/lab", False)],
)
def test_an_unfinished_machine_is_known_by_its_folder(folder: str, ours: bool) -> None:
    unfinished = vm(
        "lab-agent-1.unfinished",
        groups=("/theirs",),
        config_file=f"{folder}/lab-agent-1.unfinished/lab-agent-1.unfinished.vbox",
    )
    assert recipe.is_ours(CLUSTER, unfinished) is ours


@given(st.floats(min_value=0.1, max_value=64))
def test_a_share_of_cpus_survives_virtualboxs_whole_numbers(cpus: float) -> None:
    count, cap = recipe.cpus_and_cap(cpus)
    assert count >= cpus and 1 <= cap <= 100
    assert abs(count * cap / 100 - cpus) <= count * 0.005 + 1e-9
    assert recipe.cpu_cap(cpus, count) == cap


def test_a_clone_loses_what_it_inherited_and_is_renamed_last() -> None:
    inherited = (
        NatForward("ssh", "tcp", "", 2222, "", 22, nic=1),
        NatForward("other", "tcp", "", 99, "", 99, nic=3),
    )
    arguments = recipe.birth_arguments(CLUSTER, spec(), vm(forwards=inherited), NOW)
    text = " ".join(arguments)
    assert text.index("--natpf1 delete ssh") < text.index("--natpf1 ssh,tcp,127.0.0.1,2224,,22")
    assert "--natpf3 delete other" in text
    assert "--groups /clusterops/lab" in text
    assert "--nic2 intnet --intnet2 lab-net" in text
    assert arguments[-2:] == ["--name", "lab-agent-1"]
    assert "Machine agent-1 of the cluster lab, made 2026-01-02T03:04:05Z by the playground." in (
        arguments
    )


def test_addresses_and_adapters_differ_between_machines() -> None:
    nodes = ["control-1", *(f"agent-{n}" for n in range(1, 51))]
    assert recipe.planned_address(CLUSTER, "control-1") == "10.213.56.10"
    assert recipe.planned_address(CLUSTER, "agent-50") == "10.213.56.150"
    macs = {recipe.mac_address(CLUSTER, node) for node in nodes}
    assert len(macs) == len(nodes)
    assert all(len(mac) == 12 and mac.startswith("080027") and mac.isupper() for mac in macs)


def test_the_seed_disk_is_a_marked_tar_in_whole_blocks() -> None:
    disk = recipe.seed_disk({"/root/key": (0o600, b"k" * 3000)}, 5)
    assert len(disk) == recipe.SEED_BLOCK
    assert disk.startswith(b"clusterops-seed\0")
    with tarfile.open(fileobj=io.BytesIO(disk)) as tar:
        assert tar.getnames() == ["clusterops-seed", "root/key"]
        key = tar.getmember("root/key")
        assert (key.mode, key.uid, key.mtime) == (0o600, 0, 5)
    assert len(recipe.seed_disk({"/a": (0o600, b"x" * recipe.SEED_BLOCK)}, 5)) == (
        2 * recipe.SEED_BLOCK
    )


def test_the_guests_network_file_names_the_adapter_and_the_address() -> None:
    files = recipe.own_seed_files(CLUSTER, "agent-1")
    text = files["/etc/systemd/network/10-clusterops.network"][1].decode()
    assert "Address=10.213.56.101/24" in text
    mac = text.split("MACAddress=")[1].split("\n")[0]
    assert mac.replace(":", "") == recipe.mac_address(CLUSTER, "agent-1")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("running", ServerState.RUNNING),
        ("poweroff", ServerState.STOPPED),
        ("saved", ServerState.STOPPED),
        ("aborted", ServerState.STOPPED),
        ("paused", ServerState.PAUSED),
        ("starting", ServerState.STARTING),
        ("stopping", ServerState.STOPPING),
        ("gurumeditation", ServerState.ERROR),
        ("something-new", ServerState.ERROR),
    ],
)
def test_states(state: str, expected: ServerState) -> None:
    server = recipe.describe(CLUSTER, vm(state=state), "agent-1", "virtualbox", None)
    assert server.state == expected


def test_a_machine_read_back() -> None:
    made = (
        "Mine now. Machine agent-1 of the cluster lab, made 2026-01-02T03:04:05Z by the playground."
    )
    rules = (
        NatForward("app", "tcp", "127.0.0.1", 5001, "", 5000),
        NatForward("mine", "tcp", "127.0.0.1", 7000, "", 7000),
        NatForward("ssh", "tcp", "127.0.0.1", 2224, "", 22),
    )
    found = vm(description=made, forwards=rules)
    server = recipe.describe(CLUSTER, found, "agent-1", "virtualbox", None)
    assert (server.name, server.role, server.provider) == ("agent-1", Role.AGENT, "virtualbox")
    assert (server.cpus, server.memory_mb) == (0.5, 768)
    assert server.created_at == "2026-01-02T03:04:05Z"
    assert list(server.ports.items()) == [("ssh", 2224), ("app", 5001)]
    assert server.address == "10.213.56.101"
    # Somebody wrote another description: the best that is left.
    assert recipe.describe(CLUSTER, vm(), "agent-1", "virtualbox", "10.1.1.1") == (
        recipe.describe(CLUSTER, vm(description="x"), "agent-1", "virtualbox", "10.1.1.1")
    )
    other = recipe.describe(CLUSTER, vm(), "control-1", "virtualbox", "10.1.1.1")
    assert (other.role, other.address) == (Role.CONTROL, "10.1.1.1")
    assert other.created_at == "2026-02-03T04:05:06Z"


def _reported(*pairs: tuple[str, str]) -> tuple[GuestProperty, ...]:
    prefix = "/VirtualBox/GuestInfo/Net/"
    return tuple(GuestProperty(prefix + name, value, "2026") for name, value in pairs)


def test_the_address_that_counts_is_that_of_the_clusters_adapter() -> None:
    machine = vm(
        nics=(
            Nic(1, "nat", "", "080027000001", "82540EM", True),
            Nic(2, "intnet", "lab-net", "080027000002", "82540EM", True),
        )
    )
    nat = [("0/MAC", "080027000001"), ("0/V4/IP", "10.0.2.15")]
    own = [("1/MAC", "080027000002"), ("1/V4/IP", "10.9.9.9")]
    assert recipe.reported_address(machine, _reported(*nat, *own)) == "10.9.9.9"
    assert recipe.reported_address(machine, _reported(*nat)) is None
    assert recipe.reported_address(machine, _reported(*nat, own[0])) is None
    assert recipe.reported_address(vm(), _reported(*nat, *own)) is None
