# SPDX-License-Identifier: GPL-3.0-or-later
"""Only what the settings files cannot tell is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clusterops.virtualbox._vboxmanage_errors import NotFound, ServiceUnavailable
from clusterops.virtualbox._vboxmanage_inventory import inventory
from clusterops.virtualbox._vboxmanage_model import Vm, VmRef

DEBIAN = ("Debian_64", "Debian (64-bit)")
OTHER = ("Other", "Other/Unknown")


def vm(number: int, state: str = "poweroff", os_type: str = DEBIAN[1]) -> Vm:
    uuid = f"aaaaaaaa-0000-4000-8000-{number:012d}"
    return Vm(uuid=uuid, name=f"vm-{number}", state=state, cpus=1, memory_mb=64, os_type=os_type)


class Client:
    """VirtualBox with these machines; notes what it is asked. ``gone`` vanish when asked for."""

    def __init__(self, *vms: Vm, gone: tuple[str, ...] = ()) -> None:
        self.machines = {one.uuid: one for one in vms}
        self.gone = gone
        self.asked: list[str] = []

    def vms(self) -> tuple[VmRef, ...]:
        return tuple(VmRef(one.name, one.uuid) for one in self.machines.values())

    def inventory(self, *, running: bool = False) -> tuple[Vm, ...]:
        self.asked.append("running" if running else "all")
        left = (one for one in self.machines.values() if one.uuid not in self.gone)
        return tuple(one for one in left if one.online or not running)

    def details(self, uuid: str) -> Vm:
        self.asked.append(uuid)
        if uuid in self.gone:
            raise NotFound(uuid)
        return self.machines[uuid]


class Files:
    """The settings files of machines; a running one looks as if it were off."""

    def __init__(self, *vms: Vm) -> None:
        identifiers = {DEBIAN[1]: DEBIAN[0], OTHER[1]: OTHER[0]}
        self._vms = {
            one.uuid: replace(
                one,
                os_type=identifiers[one.os_type],
                state="poweroff" if one.online else one.state,
            )
            for one in vms
        }

    def vm(self, uuid: str) -> Vm | None:
        return self._vms.get(uuid)


def read(client: Any, files: Any) -> tuple[Vm, ...]:
    return inventory(client, files)


def test_machines_that_run_tell_of_their_type_too() -> None:
    vms = [vm(0), vm(1, "running"), vm(2, "saved"), vm(3, "paused")]
    client = Client(*vms)
    assert read(client, Files(*vms)) == tuple(vms)
    assert client.asked == ["running"]


def test_one_machine_of_each_other_type_is_asked() -> None:
    vms = [vm(0), vm(1, os_type=OTHER[1]), vm(2), vm(3, os_type=OTHER[1])]
    client = Client(*vms)
    assert read(client, Files(*vms)) == tuple(vms)
    assert client.asked == ["running", vms[0].uuid, vms[1].uuid]


def test_what_has_no_file_or_another_name_is_asked() -> None:
    vms = [vm(0, "running"), vm(1), vm(2), vm(3)]
    client = Client(*vms)
    assert read(client, Files(vms[0], replace(vms[1], name="old"), vms[2])) == tuple(vms)
    assert client.asked == ["running", vms[1].uuid, vms[3].uuid]


def test_without_files_all_are_asked_at_once() -> None:
    vms = [vm(number) for number in range(20)]
    client = Client(*vms)
    assert read(client, Files()) == tuple(vms)
    assert client.asked == ["running", "all"]


def test_a_machine_that_is_imitated_or_removed_is_not_there() -> None:
    vms = [vm(0, "running"), vm(1)]
    client = Client(*vms, gone=(vms[1].uuid,))
    assert read(client, Files(vms[0])) == (vms[0],)


def test_a_machine_that_goes_before_it_tells_its_type() -> None:
    vms = [vm(0), vm(1)]
    client = Client(*vms, gone=(vms[0].uuid,))
    assert read(client, Files(*vms)) == (vms[1],)


def test_an_error_of_the_other_call_is_raised() -> None:
    client = Client(vm(0))

    def fail(*, running: bool = False) -> tuple[Vm, ...]:
        raise ServiceUnavailable("no")

    client.inventory = fail  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailable):
        read(client, Files(vm(0)))
