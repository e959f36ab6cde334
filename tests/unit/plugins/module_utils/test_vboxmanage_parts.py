# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of what VBoxManage prints: each where it belongs, and what is missing is empty."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clusterops.virtualbox import _vboxmanage as parser
from clusterops.virtualbox._vboxmanage_errors import AmbiguousName, MalformedOutput, NotFound
from clusterops.virtualbox._vboxmanage_model import Vm, VmRef

from .vboxmanage_samples import ALL

GANDALF = "51c24859-f7cf-4af1-8c90-ddb20c4f23fc"
FRODO = "9c12976b-23ee-4191-9d61-798d7fee6f1c"
MACHINE = ALL[19].stdout


def changed(*changes: tuple[str, str]) -> Vm:
    text = MACHINE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return parser.parse_vm(text)


@pytest.mark.parametrize(
    ("parse", "what"),
    [
        (parser.parse_vms, "the list of machines"),
        (parser.parse_groups, "the list of groups"),
        (parser.parse_guest_properties, "the guest properties"),
    ],
)
def test_a_list_that_breaks_off_says_where(parse: Callable[[str], object], what: str) -> None:
    with pytest.raises(MalformedOutput) as refused:
        parse("\n  half of\n")
    assert refused.value.message == f"VBoxManage's output for {what} breaks off at 'half of'"


@pytest.mark.parametrize("number", [13, 18, 22])
def test_line_ends_of_windows_and_a_last_line_without_one(number: int) -> None:
    parse = {13: parser.parse_vms, 18: parser.parse_groups, 22: parser.parse_guest_properties}
    text = ALL[number].stdout
    assert parse[number](text.replace("\n", "\r\n")) == parse[number](text)
    assert parse[number](text.removesuffix("\n")) == parse[number](text)


def test_when_a_guest_property_was_set() -> None:
    moments = [each.timestamp for each in parser.parse_guest_properties(ALL[22].stdout)]
    assert moments[::3] == ["2026-11-23T07:23:20.516Z", "2026-11-23T07:23:20.612Z"]


def test_uuids_in_capitals_are_the_same_uuids() -> None:
    text = (
        f"UUID:           {GANDALF.upper()}\nParent UUID:    {FRODO.upper()}\n"
        f"In use by VMs:  a (UUID: {FRODO.upper()})\n"
    )
    (disk,) = parser.parse_media(text)
    assert (disk.uuid, disk.parent, disk.users) == (GANDALF, FRODO, (FRODO,))
    tree = f"   Name: a (UUID: {GANDALF.upper()})\n      Name: b (UUID: {FRODO.upper()})\n"
    assert [(each.uuid, each.parent) for each in parser.parse_snapshots(tree)] == [
        (GANDALF, None),
        (FRODO, GANDALF),
    ]
    pairs = (
        f'SnapshotName="a"\nSnapshotUUID="{GANDALF.upper()}"\nCurrentSnapshotName="a"\n'
        f'CurrentSnapshotUUID="{GANDALF.upper()}"\n'
    )
    assert [(each.uuid, each.current) for each in parser.parse_snapshots(pairs)] == [
        (GANDALF, True)
    ]
    assert changed((f'UUID="{GANDALF}"', f'UUID="{GANDALF.upper()}"')).uuid == GANDALF
    assert parser.parse_vms(f'"a" {{{GANDALF.upper()}}}\n')[0].uuid == GANDALF
    assert parser.parse_created(f"UUID: {GANDALF.upper()}\n") == GANDALF


def test_a_disk_that_no_machine_uses() -> None:
    text = (
        f"UUID:           {GANDALF}\nParent UUID:    base\n\n"
        f"UUID:           {FRODO}\nParent UUID:    base\nIn use by VMs:  a (UUID: {FRODO})\n\n"
    )
    assert [disk.users for disk in parser.parse_media(text)] == [(), (FRODO,)]


@pytest.mark.parametrize("rest", ["", f"UUID:           {GANDALF}\nParent UUID:    base\n"])
def test_what_stands_before_the_disks_is_refused(rest: str) -> None:
    with pytest.raises(MalformedOutput, match="the disks 'Progress"):
        parser.parse_media(f"Progress: 10%\n{rest}")


@pytest.mark.parametrize(
    ("printed", "description"),
    [
        ("   Description: one line\n", "one line"),
        ("   Description:  indented\n", " indented"),
        ("   Description:\nfirst\n  second\n", "first\n  second"),
        ("   Description:\n indented\nsecond\n\n", " indented\nsecond\n"),
        ("", ""),
        ("\n", ""),
    ],
)
def test_the_description_of_a_snapshot(printed: str, description: str) -> None:
    text = (
        f"   Name: a (UUID: {GANDALF})\n{printed}"
        f"      Name: b (UUID: {FRODO}) *\n      Description: of b\n"
    )
    first, second = parser.parse_snapshots(text)
    assert (first.description, second.description) == (description, "of b")


def test_snapshots_of_snapshots_in_the_machine_readable_form() -> None:
    uuids = {place: f"{GANDALF[:-1]}{n}" for n, place in enumerate(["", "-1", "-1-1", "-1-2"])}
    text = "".join(
        f'SnapshotName{place}="s{place}"\nSnapshotUUID{place}="{uuid}"\n'
        for place, uuid in uuids.items()
    )
    found = parser.parse_snapshots(text)
    assert [(each.name, each.parent) for each in found] == [
        ("s", None),
        ("s-1", uuids[""]),
        ("s-1-1", uuids["-1"]),
        ("s-1-2", uuids["-1"]),
    ]
    assert not any(each.current for each in found)


def test_a_snapshot_without_its_name_or_its_uuid() -> None:
    nameless = f'SnapshotUUID="{FRODO}"\n'
    (snapshot,) = changed(("\nSnapshotName=", f"\n{nameless}Other=")).snapshots[:1]
    assert (snapshot.uuid, snapshot.name) == (FRODO, "")
    with pytest.raises(MalformedOutput, match="a snapshot with the UUID ''"):
        parser.parse_snapshots('SnapshotName="a"\n')


def test_what_a_machine_does_not_say() -> None:
    vm = changed(
        ('groups="/playground/agent,/ring bearers"\n', ""),
        ("cpuexecutioncap=100\n", ""),
        ('ostype="Debian (64-bit)"\n', ""),
        ("CfgFile=", "Other="),
        ("VMStateChangeTime=", "Other="),
        ("\ndescription=", "\nOther="),
        ('macaddress1="0800270D04A7"\n', ""),
        ('nictype1="82540EM"\n', ""),
        ('cableconnected1="on"\n', ""),
        ('natnet1="nat"\n', ""),
    )
    assert (vm.groups, vm.cpu_cap_percent, vm.os_type, vm.config_file) == ((), 100, "", "")
    assert (vm.state_since, vm.description) == ("", "")
    (nic,) = vm.nics
    assert (nic.mac, nic.adapter_type, nic.cable_connected, nic.network) == ("", "", False, "")


def test_what_a_machine_says() -> None:
    vm = changed(("cpuexecutioncap=100", "cpuexecutioncap=40"))
    assert (vm.cpu_cap_percent, vm.memory_mb, vm.state_since) == (40, 512, "2026-11-23T07:23:20Z")
    assert vm.config_file == "/home/lab/VirtualBox VMs/playground/agent/gandalf/gandalf.vbox"
    (nic,) = vm.nics
    assert (nic.mac, nic.adapter_type, nic.cable_connected) == ("0800270D04A7", "82540EM", True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\ncpus=1\n", "\ncpus=one\n", "the CPUs as 'one'"),
        ("cpuexecutioncap=100", "cpuexecutioncap=all", "the CPU cap as 'all'"),
        ("\nmemory=512\n", "\nmemory=much\n", "the memory as 'much'"),
    ],
)
def test_a_number_that_is_none(old: str, new: str, message: str) -> None:
    with pytest.raises(MalformedOutput, match=f"VBoxManage reports {message}"):
        changed((old, new))


@pytest.mark.parametrize(
    ("attachment", "key", "kind"),
    [
        ("bridged", "bridgeadapter", "bridged"),
        ("intnet", "intnet", "intnet"),
        ("hostonly", "hostonlyadapter", "hostonly"),
        ("hostonlynetwork", "hostonly-network", "hostonlynetwork"),
        ("natnetwork", "nat-network", "natnetwork"),
        ("Generic", "generic", "generic"),
        ("cloudnetwork", "cloud-network", "cloud"),
    ],
)
def test_what_an_adapter_is_attached_to(attachment: str, key: str, kind: str) -> None:
    (nic,) = changed(
        ('natnet1="nat"', f'{key}1="nat"'), ('nic1="nat"', f'nic1="{attachment}"')
    ).nics
    assert (nic.attachment, nic.network) == (kind, "nat")


def test_an_adapter_that_is_attached_to_nothing() -> None:
    (nic,) = changed(('nic1="nat"', 'nic1="null"')).nics
    assert (nic.attachment, nic.network) == ("null", "")


def test_adapters_are_in_the_order_of_their_numbers() -> None:
    vm = changed(('natnet1="nat"', 'nic10="null"'), ('nic8="none"', 'nic8="nat"'))
    assert [nic.number for nic in vm.nics] == [1, 8, 10]


def test_a_forward_before_any_adapter_belongs_to_the_first() -> None:
    vm = changed(('nic1="nat"\n', ""))
    assert {rule.nic for rule in vm.forwards} == {1}
    assert {rule.nic for rule in changed(('nic1="nat"', 'nic2="nat"')).forwards} == {2}


def test_a_text_does_not_make_a_machine_inaccessible() -> None:
    text = f'"seen\nUUID:     {FRODO}\n'
    vm = changed(
        ('name="gandalf"', 'name="<inaccessible>"'),
        ('\ndescription="', f"\ndescription={text}"),
    )
    assert (vm.uuid, vm.accessible) == (GANDALF, True)
    with pytest.raises(MalformedOutput, match="a machine without VMState"):
        changed(("\nVMState=", "\nOther="), ('\ndescription="', f"\ndescription={text}"))


REFS = (VmRef("gandalf", GANDALF), VmRef("frodo", FRODO), VmRef("frodo", GANDALF[::-1]))


def test_a_machine_by_its_name_or_its_uuid() -> None:
    assert parser.select(REFS, "gandalf").uuid == GANDALF
    assert parser.select(REFS, f"{{{FRODO.upper()}}}").uuid == FRODO


@pytest.mark.parametrize("name", ["sauron", "Gandalf", f"X{GANDALF}X", GANDALF[:-1]])
def test_a_machine_that_is_not_there(name: str) -> None:
    with pytest.raises(NotFound, match=f"There is no machine '{name}'"):
        parser.select(REFS, name)


def test_a_name_of_two_lists_both() -> None:
    with pytest.raises(AmbiguousName) as refused:
        parser.select(REFS, "frodo")
    both = ", ".join(sorted([FRODO, GANDALF[::-1]]))
    assert refused.value.message == f"2 machines are called 'frodo': {both}"
