# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver ``virtualbox`` on real VirtualBox: machines that are made, started and stopped."""

from __future__ import annotations

import socket
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clusterops.config import ClusterConfig
from clusterops.server_manager.driver import (
    Cluster,
    DriverFailure,
    ImageMissing,
    PortInUse,
    ProviderUnavailable,
    Role,
    ServerState,
)
from clusterops.server_manager.drivers.virtualbox import VirtualBoxDriver
from clusterops.virtualbox._vboxmanage_client import SubprocessRunner, VBoxManage
from clusterops.virtualbox._vboxmanage_errors import NotFound
from tests.driver_conformance import DriverConformance, FaultConformance, MakeDriver, agent
from tests.virtualbox.host import VirtualBoxHost

pytestmark = pytest.mark.integration

NAME = "conformance"
GROUP = f"/clusterops/{NAME}"
BASE = 23600
CLUSTER = Cluster.of(ClusterConfig(cluster_name=NAME))


def make_template(manage: VBoxManage, folder: Path, name: str, group: str) -> str:
    """A machine without an operating system, with a disk, a forward and a snapshot; its UUID."""
    manage.call("createvm", "--name", name, "--groups", group, "--register")
    uuid = manage.find(name).uuid
    disk = str(folder / f"{name}.vdi")
    manage.call("createmedium", "disk", "--filename", disk, "--size", "16")
    manage.on(uuid, "storagectl", "--name", "SATA", "--add", "sata", "--portcount", "1")
    place = ["--storagectl", "SATA", "--port", "0", "--device", "0", "--type", "hdd"]
    manage.on(uuid, "storageattach", *place, "--medium", disk)
    manage.on(uuid, "modifyvm", "--natpf1", "ssh,tcp,127.0.0.1,2222,,22", "--memory", "64")
    manage.on(uuid, ("snapshot",), "take", "ready")
    return uuid


@pytest.fixture
def clean(manage: VBoxManage, virtualbox: VirtualBoxHost) -> Iterator[None]:
    """A template, and nothing else of the cluster; afterwards nothing at all."""
    make_template(manage, virtualbox.folder, f"{NAME}-template", GROUP)
    yield
    VirtualBoxDriver(CLUSTER, connect=lambda: manage).teardown()
    assert [vm.name for vm in manage.inventory() if GROUP in vm.groups] == []


class TestVirtualBoxDriver(DriverConformance, FaultConformance):
    base_port = BASE

    @pytest.fixture
    def make_driver(self, manage: VBoxManage, clean: None) -> MakeDriver:
        return lambda: VirtualBoxDriver(CLUSTER, connect=lambda: manage)

    def test_teardown_leaves_nothing(self, driver: VirtualBoxDriver) -> None:  # type: ignore[override]
        super().test_teardown_leaves_nothing(driver)


@pytest.fixture
def driver(manage: VBoxManage, clean: None) -> VirtualBoxDriver:
    driver = VirtualBoxDriver(CLUSTER, connect=lambda: manage)
    driver.prepare()
    return driver


@pytest.fixture
def foreign(manage: VBoxManage) -> Iterator[Callable[..., str]]:
    """Makes machines that are not the cluster's."""
    made: list[str] = []

    def make(name: str, group: str = "/", *more: str) -> str:
        manage.call("createvm", "--name", name, "--groups", group, *more, "--register")
        made.append(max(manage.vms(), key=lambda vm: vm.uuid not in made and vm.name == name).uuid)
        return made[-1]

    yield make
    for uuid in made:
        manage.on(uuid, "unregistervm", "--delete")


def test_machines_of_others_are_never_touched(
    driver: VirtualBoxDriver, foreign: Callable[..., str], manage: VBoxManage
) -> None:
    outside = foreign(f"{NAME}-agent-1", "/elsewhere")
    unfinished = foreign(f"{NAME}-agent-2.unfinished", "/clusterops/other")
    assert driver.list() == []
    assert driver.get("agent-1") is None
    assert driver.delete("agent-1") is False
    driver.prepare()
    assert driver.create(agent(1, BASE)) is True
    assert driver.start("agent-1") is True
    assert manage.vm(outside).state == "poweroff"
    driver.teardown()
    assert manage.vm(outside).groups == ("/elsewhere",)
    assert manage.vm(unfinished).accessible


def test_a_machine_in_virtualbox(driver: VirtualBoxDriver, manage: VBoxManage) -> None:
    driver.create(agent(3, BASE, cpus=1.5, memory_mb=384))
    vm = manage.vm(manage.find(f"{NAME}-agent-3").uuid)
    assert vm.groups == (GROUP,)
    assert (vm.cpus, vm.cpu_cap_percent, vm.memory_mb) == (2, 75, 384)
    # Only its own forwards: the template's ssh at 2222 was inherited, and is gone.
    assert {(rule.name, rule.host_ip, rule.host_port, rule.guest_port) for rule in vm.forwards} == {
        ("ssh", "127.0.0.1", BASE + 3, 22),
        ("app", "127.0.0.1", BASE + 23, 5000),
        ("metrics", "127.0.0.1", BASE + 43, 5100),
    }
    assert [(nic.attachment, nic.network) for nic in vm.nics] == [
        ("nat", ""),
        ("intnet", f"{NAME}-net"),
    ]
    assert Path(vm.config_file).stem == f"{NAME}-agent-3"


def test_a_guest_finds_its_files_on_the_seed_disk(
    driver: VirtualBoxDriver, manage: VBoxManage, virtualbox: VirtualBoxHost, tmp_path: Path
) -> None:
    driver.create(agent(3, BASE))
    vm = manage.vm(manage.find(f"{NAME}-agent-3").uuid)
    raw = virtualbox.folder / "seed.raw"
    disk = Path(vm.config_file).parent / "seed.vdi"
    manage.call("clonemedium", "disk", str(disk), str(raw), "--format", "RAW")
    manage.call("closemedium", "disk", str(raw))
    subprocess.run(["tar", "-xf", raw, "-C", tmp_path], check=True)
    assert (tmp_path / "etc/conformance/seed").read_text() == "seeded\n"
    assert (tmp_path / "etc/hostname").read_text() == "agent-3\n"
    unit = (tmp_path / "etc/systemd/network/10-clusterops.network").read_text()
    assert "Address=10.213.56.103/24" in unit
    mac = next(nic.mac for nic in vm.nics if nic.number == 2)
    assert f"MACAddress={':'.join(mac[i : i + 2] for i in range(0, 12, 2))}" in unit
    with tarfile.open(raw) as tar:
        assert tar.next().name == "clusterops-seed"  # type: ignore[union-attr]
        assert tar.getmember("etc/conformance/seed").mode == 0o600
    assert list(disk.parent.glob("*.img")) == [], "no key lies about beside the disk"


def test_the_guests_own_word_on_its_address_counts(
    driver: VirtualBoxDriver, manage: VBoxManage
) -> None:
    driver.create(agent(1, BASE))
    driver.start("agent-1")
    vm = manage.vm(manage.find(f"{NAME}-agent-1").uuid)
    mac = next(nic.mac for nic in vm.nics if nic.number == 2)
    for number, (address, its) in enumerate([("10.0.2.15", "080027AAAAAA"), ("10.9.9.9", mac)]):
        prefix = f"/VirtualBox/GuestInfo/Net/{number}"
        manage.on(vm.uuid, ("guestproperty", "set"), f"{prefix}/V4/IP", address)
        manage.on(vm.uuid, ("guestproperty", "set"), f"{prefix}/MAC", its)
    running = driver.get("agent-1")
    assert running is not None
    assert running.address == "10.9.9.9"


def test_a_crash_in_the_middle_is_repaired(driver: VirtualBoxDriver, manage: VBoxManage) -> None:
    template = manage.find(f"{NAME}-template").uuid
    unfinished = f"{NAME}-agent-1.unfinished"
    clone = ["--name", unfinished, "--groups", GROUP, "--register"]
    manage.on(template, "clonevm", "--snapshot", "ready", "--options", "Link", *clone)
    assert driver.list() == []
    assert driver.create(agent(1, BASE)) is True
    with pytest.raises(NotFound):
        manage.find(unfinished)
    # Cut off before the machine was registered: only its folder is there.
    assert driver.delete("agent-1") is True
    manage.on(template, "clonevm", "--snapshot", "ready", "--options", "Link", *clone)
    manage.on(manage.find(unfinished).uuid, "unregistervm")
    assert driver.create(agent(1, BASE)) is True
    manage.on(template, "clonevm", "--snapshot", "ready", "--options", "Link", *clone)
    VirtualBoxDriver(CLUSTER, connect=lambda: manage).prepare()
    assert [server.name for server in driver.list()] == ["agent-1"]
    with pytest.raises(NotFound):
        manage.find(unfinished)


def test_a_busy_port_is_named_before_the_start(driver: VirtualBoxDriver) -> None:
    driver.create(agent(1, BASE))
    with socket.create_server(("127.0.0.1", BASE + 21)):
        with pytest.raises(PortInUse, match=rf"port {BASE + 21} on the host \(app of 'agent-1'\)"):
            driver.start("agent-1")
        assert driver.get("agent-1").state == ServerState.STOPPED  # type: ignore[union-attr]
    assert driver.start("agent-1") is True


@pytest.mark.parametrize("how", ["pause", "savestate", "kill"])
def test_a_machine_that_somebody_else_handled(
    driver: VirtualBoxDriver, manage: VBoxManage, virtualbox: VirtualBoxHost, how: str
) -> None:
    driver.create(agent(1, BASE))
    driver.start("agent-1")
    uuid = manage.find(f"{NAME}-agent-1").uuid
    if how == "kill":
        virtualbox.kill(uuid)
    else:
        manage.on(uuid, "controlvm", how)
    expected = ServerState.PAUSED if how == "pause" else ServerState.STOPPED
    assert driver.get("agent-1").state == expected  # type: ignore[union-attr]
    assert driver.start("agent-1") is True
    assert driver.get("agent-1").state == ServerState.RUNNING  # type: ignore[union-attr]
    if how == "pause":
        manage.on(uuid, "controlvm", how)
    assert driver.stop("agent-1", grace_s=0) is True
    assert driver.get("agent-1").state == ServerState.STOPPED  # type: ignore[union-attr]


def test_the_share_of_cpus_follows_while_a_machine_runs(driver: VirtualBoxDriver) -> None:
    driver.create(agent(1, BASE, cpus=2.0))
    driver.start("agent-1")
    assert driver.create(agent(1, BASE, cpus=0.5)) is True
    assert driver.get("agent-1").cpus == 0.5  # type: ignore[union-attr]
    assert driver.create(agent(1, BASE, cpus=0.5)) is False


def test_without_a_template_the_remedy_is_named(manage: VBoxManage, foreign: object) -> None:
    driver = VirtualBoxDriver(CLUSTER, connect=lambda: manage)
    with pytest.raises(ImageMissing, match=r"no template 'conformance-template'.*playground up"):
        driver.create(agent(1, BASE))
    named = Cluster.of(ClusterConfig(cluster_name=NAME, virtualbox_template="none such"))
    with pytest.raises(ImageMissing, match=r"virtualbox_template: .*'none such'"):
        VirtualBoxDriver(named, connect=lambda: manage).create(agent(1, BASE))


def test_a_template_of_the_users_own(
    manage: VBoxManage, virtualbox: VirtualBoxHost, foreign: Callable[..., str]
) -> None:
    """Any machine serves; without a snapshot it is copied whole, and it stays as it was."""
    uuid = foreign("golden image", "/mine")
    before = manage.vm(uuid)
    named = Cluster.of(ClusterConfig(cluster_name=NAME, virtualbox_template="golden image"))
    driver = VirtualBoxDriver(named, connect=lambda: manage)
    assert driver.create(agent(1, BASE)) is True
    assert driver.start("agent-1") is True
    assert manage.vm(uuid) == before
    assert driver.teardown() == [f"virtual machine {NAME}-agent-1"]
    assert manage.vm(uuid) == before


def test_a_template_in_use_cannot_pull_the_rug(
    driver: VirtualBoxDriver, manage: VBoxManage
) -> None:
    """Twelve machines from one template, made and started at the same time."""
    numbers = range(1, 13)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda n: driver.create(agent(n, BASE)), numbers))
        assert all(pool.map(lambda n: driver.start(f"agent-{n}"), numbers))
    servers = driver.list()
    assert [server.name for server in servers] == [f"agent-{n}" for n in numbers]
    assert {server.state for server in servers} == {ServerState.RUNNING}
    assert {server.role for server in servers} == {Role.AGENT}
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda n: driver.stop(f"agent-{n}", grace_s=0), numbers))
        assert all(pool.map(lambda n: driver.delete(f"agent-{n}"), numbers))
    assert driver.list() == []


def test_virtualbox_that_is_not_there() -> None:
    missing = VBoxManage(SubprocessRunner(), "/nowhere/VBoxManage")
    driver = VirtualBoxDriver(CLUSTER, connect=lambda: missing)
    with pytest.raises(ProviderUnavailable, match="Install VirtualBox"):
        driver.check()
    with pytest.raises(ProviderUnavailable):
        driver.list()


def test_a_refusal_of_virtualbox_is_told_with_its_remedy(
    driver: VirtualBoxDriver, manage: VBoxManage
) -> None:
    with pytest.raises(DriverFailure, match=r"creating 'agent-1' failed: .*RAM size"):
        driver.create(agent(1, BASE, memory_mb=999_999_999))
    assert driver.list() == []
