# SPDX-License-Identifier: GPL-3.0-or-later
"""Any text that the modules take is what the parser reads back, from the real program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clusterops.virtualbox._vboxmanage_errors import VBoxManageError
from clusterops.virtualbox._vboxmanage_model import NatForward, Vm, is_uuid
from clusterops.virtualbox._vboxsettings import SettingsFiles
from clusterops.virtualbox._virtualbox_actions import Machines
from clusterops.virtualbox._virtualbox_settings import Wanted, checked_name
from tests.virtualbox.host import VirtualBoxHost

pytestmark = pytest.mark.integration

# What XML can hold; the modules refuse the rest.
CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
IMITATION = 'x"\nVMState="running'
HOSTILE = [
    *("-", "--", "--memory", "-h", '"', "\\", '\\"', "'", "$(id)", "%s", "a,b", "=", "{}"),
    *(IMITATION, 'x" {00000000-0000-4000-8000-000000000000}', "two\nlines", " x "),
    *("<&>", "]]>", "名前", "😀", "é" * 90, "Name:   x", "delete", "<inaccessible> x", "\n"),
]
TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(CHARACTERS, max_size=30))
LINE = TEXT.filter(lambda text: bool(text.strip()) and "\n" not in text and not is_uuid(text))


def allowed(name: str) -> bool:
    try:
        return bool(name) and bool(checked_name(name))
    except VBoxManageError:
        return False


def allowed_rule(name: str) -> bool:
    try:
        return bool(NatForward(name, "tcp", "", 1, "", 1).check())
    except VBoxManageError:
        return False


# Bounded: an example takes half a second.
BOUNDED = settings(
    max_examples=12,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def from_file(virtualbox: VirtualBoxHost, uuid: str) -> Vm:
    """What the settings file says, without asking VirtualBox."""
    vm = SettingsFiles(virtualbox.settings).vm(uuid)
    assert vm is not None
    return vm


@pytest.fixture(scope="module")
def machines(virtualbox: VirtualBoxHost) -> Iterator[Machines]:
    client = virtualbox.client(timeout_s=30)
    yield Machines(client, timeout_s=30)


@pytest.fixture(scope="module")
def uuid(machines: Machines) -> str:
    machines.create(Wanted(name="neighbour", memory_mb=16))
    return machines.create(Wanted(name="subject", memory_mb=16)).uuid


@pytest.fixture(scope="module")
def snapshotted(machines: Machines) -> Iterator[str]:
    """A machine of its own: the others are called whatever an earlier example left."""
    vm = machines.create(Wanted(name="snapshotted", memory_mb=16))
    yield vm.uuid
    machines.remove(vm.uuid)


@BOUNDED
@example(name=IMITATION, description=IMITATION)
@given(name=TEXT.filter(allowed), description=TEXT)
def test_names_and_descriptions(
    machines: Machines, virtualbox: VirtualBoxHost, uuid: str, name: str, description: str
) -> None:
    vm = machines.change(uuid, Wanted(name=name, description=description))
    assert (vm.name, vm.description) == (name, description)
    # The way of the inventory, and the way from a name to its machine.
    listed = {one.uuid: one for one in machines.client.inventory()}
    assert listed[uuid] == vm and {uuid} < listed.keys()
    assert replace(from_file(virtualbox, uuid), os_type=vm.os_type) == vm
    found = machines.find(name)
    assert found is not None and (found.uuid, found.name) == (uuid, name)


@BOUNDED
@given(name=TEXT.filter(allowed))
def test_names_of_new_machines(machines: Machines, uuid: str, name: str) -> None:
    if machines.find(name):
        return
    vm = machines.create(Wanted(name=name, groups=("/new x",)))
    try:
        assert (vm.name, vm.groups) == (name, ("/new x",))
        found = machines.find(name)
        assert found is not None and (found.uuid, found.name) == (vm.uuid, name)
    finally:
        machines.remove(vm.uuid)


@BOUNDED
@example(name="x", description=IMITATION)
@given(name=LINE, description=TEXT)
def test_snapshots(
    machines: Machines, virtualbox: VirtualBoxHost, snapshotted: str, name: str, description: str
) -> None:
    taken = machines.take(snapshotted, name, description)
    try:
        found = machines.client.snapshots(snapshotted)
        one = next(one for one in found if one.uuid == taken)
        assert (one.name, one.description) == (name, description)
        assert machines.client.vm(snapshotted).snapshots == found
        listed = {one.uuid: one for one in machines.client.inventory()}
        assert listed[snapshotted].snapshots == found
        assert from_file(virtualbox, snapshotted).snapshots == found
    finally:
        machines.on_snapshot(snapshotted, "delete", taken)


@BOUNDED
@given(names=st.lists(LINE.filter(allowed_rule), max_size=4, unique=True))
def test_forwards(
    machines: Machines, virtualbox: VirtualBoxHost, uuid: str, names: list[str]
) -> None:
    rules = [
        NatForward(name, "udp" if port % 2 else "tcp", "127.0.0.1", port, "10.0.2.15", port)
        for port, name in enumerate(names, start=65532)
    ]
    vm = machines.set_forwards(uuid, rules)
    assert set(vm.forwards) == set(rules)
    listed = {one.uuid: one for one in machines.client.inventory()}
    assert set(listed[uuid].forwards) == set(rules)
    assert from_file(virtualbox, uuid).forwards == vm.forwards
