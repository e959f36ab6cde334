# SPDX-License-Identifier: GPL-3.0-or-later
"""The template of the virtual machines is made once, and again when what goes in changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from clusterops.config import ClusterConfig
from clusterops.errors import ClusterOpsError
from clusterops.images.template import ensure_template
from clusterops.virtualbox._vboxmanage_errors import InUse, NotFound
from clusterops.virtualbox._vboxmanage_model import Snapshot, Vm, VmRef

CONFIG = ClusterConfig(cluster_name="lab")
UUID = "11111111-2222-3333-4444-555555555555"


class World:
    """VirtualBox and Vagrant, with at most one machine."""

    def __init__(self) -> None:
        self.machine: Vm | None = None
        self.did: list[str] = []
        self.taken = 0
        self.in_use = False
        self.fails = ""

    # VBoxManage
    def vms(self) -> tuple[VmRef, ...]:
        return (VmRef(self.machine.name, self.machine.uuid),) if self.machine else ()

    def details(self, uuid: str) -> Vm:
        assert self.machine
        return self.machine

    vm = details

    def find(self, name: str) -> VmRef:
        if not self.machine or self.machine.name != name:
            raise NotFound(f"There is no machine {name!r}")
        return VmRef(name, UUID)

    def on(self, uuid: str, *words: str, timeout_s: float | None = None) -> str:
        assert self.machine
        self.did.append(" ".join(words[:2]))
        if words[1] == "take":
            self.taken += 1
            new = Snapshot(
                f"{self.taken:08}-2222-3333-4444-555555555555", *words[2::2], current=True
            )
            old = tuple(replace(each, current=False) for each in self.machine.snapshots)
            self.machine = replace(self.machine, snapshots=(*old, new))
        elif self.in_use:
            raise InUse("Snapshot cannot be deleted")
        else:
            left = tuple(each for each in self.machine.snapshots if each.uuid != words[2])
            self.machine = replace(self.machine, snapshots=left)
        return ""

    # Vagrant
    def up(self) -> None:
        self._do("up")
        snapshots = self.machine.snapshots if self.machine else ()
        self.machine = Vm(
            UUID, "lab-template", "running", ("/clusterops/lab",), snapshots=snapshots
        )

    def ssh(self) -> Mapping[str, Any]:
        return {"host": "127.0.0.1", "port": 2200, "user": "vagrant", "key": "/k"}

    def halt(self) -> None:
        self._do("halt")
        assert self.machine
        self.machine = replace(self.machine, state="poweroff")

    def roles(self, where: Mapping[str, Any]) -> None:
        assert where["port"] == 2200
        self._do("roles")

    def _do(self, what: str) -> None:
        self.did.append(what)
        if self.fails == what:
            raise ClusterOpsError(f"{what} failed")

    def ensure(self, config: ClusterConfig = CONFIG, wheel: str = "w1") -> bool:
        self.did.clear()
        manage: Any = self
        return ensure_template(manage, lambda: self, config, wheel, self.roles, lambda _: None)


@pytest.fixture
def world() -> World:
    return World()


def test_it_is_made_once(world: World) -> None:
    assert world.ensure() is True
    assert world.did == ["up", "roles", "halt", "snapshot take"]
    assert world.ensure() is False
    assert world.did == []


@pytest.mark.parametrize(
    "change",
    [{"node_os": "debian-13"}, {"vagrant_box": "my/box"}, {"virtualbox_network": "10.1.1.0/24"}],
)
def test_it_is_made_again_when_its_origin_changes(world: World, change: dict[str, str]) -> None:
    world.ensure()
    assert world.ensure(ClusterConfig(cluster_name="lab", **change)) is True  # type: ignore[arg-type]


def test_a_new_snapshot_replaces_the_old_one_unless_machines_need_it(world: World) -> None:
    world.ensure()
    assert world.ensure(wheel="w2") is True
    assert world.did[-2:] == ["snapshot take", "snapshot delete"]
    assert world.machine and len(world.machine.snapshots) == 1
    world.in_use = True
    assert world.ensure(wheel="w3") is True
    assert world.machine and len(world.machine.snapshots) == 2
    assert world.ensure(wheel="w3") is False


@pytest.mark.parametrize("step", ["up", "roles", "halt"])
def test_what_failed_is_done_again_by_the_next_run(world: World, step: str) -> None:
    world.fails = step
    with pytest.raises(ClusterOpsError, match=f"{step} failed"):
        world.ensure()
    assert "snapshot take" not in world.did
    world.fails = ""
    assert world.ensure() is True


def test_a_machine_of_the_users_own_is_only_looked_at(world: World) -> None:
    config = ClusterConfig(virtualbox_template="golden")
    with pytest.raises(ClusterOpsError, match="'golden'"):
        world.ensure(config)
    world.machine = Vm(UUID, "golden", "poweroff")
    assert world.ensure(config) is False
    assert world.did == []
