# SPDX-License-Identifier: GPL-3.0-or-later
"""Outputs that no recorded VirtualBox gave: read as far as they are clear, else refused."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import _vboxmanage as parser
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_client as client,
)
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_errors as errors,
)
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_model as model,
)
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_pairs as pairs,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_long import (
    parse_long,
)

from tests.unit.plugins.module_utils.test_vboxmanage_client import Program, details
from tests.unit.plugins.module_utils.vboxmanage_samples import ALL

GANDALF = "51c24859-f7cf-4af1-8c90-ddb20c4f23fc"
FRODO = "9c12976b-23ee-4191-9d61-798d7fee6f1c"
REFS = (model.VmRef("gandalf", GANDALF), model.VmRef("frodo", FRODO))
MACHINE, LONG = ALL[19].stdout, ALL[16].stdout
UUIDS = [f"aaaaaaaa-0000-4000-8000-00000000000{number}" for number in range(4)]


def test_a_machine_that_cannot_be_read_has_its_uuid_and_nothing_else() -> None:
    vm = parser.parse_vm(f'name="<inaccessible>"\nUUID:     {GANDALF.upper()}\n')
    assert (vm.uuid, vm.accessible) == (GANDALF, False)
    with pytest.raises(errors.MalformedOutput, match="without UUID, VMState, memory, cpus"):
        parser.parse_vm('name="<inaccessible>"\n')


def test_a_machine_called_inaccessible_is_one_like_others() -> None:
    vm = parser.parse_vm(MACHINE.replace('name="gandalf"', 'name="<inaccessible>"', 1))
    assert (vm.name, vm.accessible) == ("<inaccessible>", True)


def test_a_uuid_that_is_none() -> None:
    with pytest.raises(errors.MalformedOutput, match="the UUID 'gandalf'"):
        parser.parse_vm(MACHINE.replace(GANDALF, "gandalf"))


def test_the_network_of_nat() -> None:
    assert '\nnatnet1="nat"\n' in MACHINE
    vm = parser.parse_vm(MACHINE.replace('\nnatnet1="nat"\n', '\nnatnet1="10.9.0.0/16"\n'))
    assert vm.nics[0].network == "10.9.0.0/16"


def test_siblings_in_the_tree_of_snapshots_have_the_same_parent() -> None:
    root, one, leaf, two = UUIDS
    found = parser.parse_snapshots(
        f"   Name: root (UUID: {root})\n"
        f"      Name: one (UUID: {one})\n"
        f"         Name: leaf (UUID: {leaf})\n"
        f"      Name: two (UUID: {two}) *\n"
    )
    assert [(each.name, each.parent, each.current) for each in found] == [
        ("root", None, False),
        ("one", root, False),
        ("leaf", one, False),
        ("two", root, True),
    ]


def test_a_snapshot_without_a_uuid() -> None:
    with pytest.raises(errors.MalformedOutput, match="a snapshot with the UUID 'x'"):
        parser.parse_snapshots('SnapshotName="a"\nSnapshotUUID="x"\n')


def test_a_description_may_look_like_the_next_machine() -> None:
    start, marker, rest = LONG.partition("\nDescription:\n")
    text = f"{start}{marker}Name:          nobody\n{rest}"
    found = parse_long(text, REFS)
    assert [vm.name for vm in found.vms] == ["gandalf", "frodo"]
    assert found.vms[0].description.startswith("Name:          nobody\n")


def test_a_record_without_a_uuid_is_passed_over() -> None:
    found = parse_long("Name:          nobody\nGroups:        /\n", REFS[:1])
    assert (found.vms, found.doubtful) == ((), (GANDALF,))


def test_machines_that_cannot_be_read_stay_in_the_list() -> None:
    padded = "Name:                        "
    start = LONG.index(f"{padded}frodo")
    broken = (
        f"{padded}<inaccessible!>\nUUID:                        {FRODO}\n"
        "Config file:                 /x.vbox\nAccess error details:\nFile not found\n"
    )
    found = parse_long(LONG[:start] + broken, REFS)
    assert [(vm.uuid, vm.accessible) for vm in found.vms] == [(GANDALF, True), (FRODO, False)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Encryption:                  disabled\nGroups: ", "Names: "),
        ("\n* Guest:\n", "\n"),
        ("\nMemory size:                 512MB\n", "\n"),
        ("\nPage Fusion:", "\nState:                       running\nPage Fusion:"),
        ("\nPage Fusion:", "\nNIC 1 Rule(0):   name = a, protocol = TCP\nPage Fusion:"),
        ("Attachment: NAT,", "Attachment: Tin can,"),
    ],
)
def test_what_allows_another_reading_is_asked_for_again(old: str, new: str) -> None:
    assert old in LONG
    found = parse_long(LONG.replace(old, new, 1), REFS)
    assert GANDALF in found.doubtful
    assert GANDALF not in [vm.uuid for vm in found.vms]


@pytest.mark.parametrize(
    ("said", "kind", "network"),
    [
        ("NAT (10.9.0.0/16)", "nat", "10.9.0.0/16"),
        ("Bridged Interface 'eth0'", "bridged", "eth0"),
        ("Internal Network 'a 'b''", "intnet", "a 'b'"),
        ("NAT Network 'n'", "natnetwork", "n"),
        ("Cloud Network 'c'", "cloud", "c"),
        ("none", "null", ""),
    ],
)
def test_what_an_adapter_is_attached_to(said: str, kind: str, network: str) -> None:
    text = LONG.replace("Attachment: NAT,", f"Attachment: {said},", 1)
    nic = parse_long(text, REFS).vms[0].nics[0]
    assert (nic.attachment, nic.network) == (kind, network)


def test_a_quote_that_never_ends_takes_one_line() -> None:
    assert list(pairs.pairs('one="abc\nrest\n')) == [("one", '"abc')]
    assert list(pairs.pairs('VideoMode="640,480"@0,0 1\nrest')) == [
        ("VideoMode", '"640,480"@0,0 1')
    ]
    assert list(pairs.pairs('VideoMode="640,480"@0,0 1\ncpus=1\n')) == [
        ("VideoMode", '"640,480"@0,0 1'),
        ("cpus", "1"),
    ]


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda: model.NatForward("a", "tcp", "", 1, "", 1, 37).check(), "adapter 37; it is 1"),
        (lambda: model.state_from("#!"), "the state '#!'"),
        (lambda: model.forward_from("ssh,tcp", 1), "the NAT forward 'ssh,tcp'"),
    ],
)
def test_values_that_are_none(read: object, text: str) -> None:
    with pytest.raises(errors.VBoxManageError, match=text):
        read()  # type: ignore[operator]


def test_the_details_of_a_machine_that_cannot_be_read() -> None:
    text = f'name="<inaccessible>"\nUUID:     {GANDALF}\n'
    program = Program({details(GANDALF): [(0, text, "")]})
    with pytest.raises(errors.Inaccessible, match=GANDALF):
        program.client().vm(GANDALF)
    assert not program.client().details(GANDALF).accessible


def test_a_start_that_fails_for_whatever_reason_is_a_failed_start() -> None:
    failure = (1, "", "VBoxManage: error: The device is on fire\n")
    program = Program({("startvm", GANDALF, "--type", "headless"): [failure]})
    with pytest.raises(errors.StartFailed, match="on fire"):
        program.client().start(GANDALF)


def test_no_call_begins_when_the_time_is_over() -> None:
    program = Program({})
    with pytest.raises(errors.TimedOut, match="'VBoxManage list vms' had no time left"):
        program.client(timeout_s=0).vms()
    assert program.calls == []


def test_waiting_for_another_call_on_the_machine_costs_the_time_limit() -> None:
    program = Program({details(UUIDS[0]): [(0, MACHINE, "")]})
    lock = client._locks.setdefault(UUIDS[0], client.threading.Lock())
    with lock, pytest.raises(errors.TimedOut, match=f"Another call on the machine {UUIDS[0]}"):
        program.client(timeout_s=0.01).details(UUIDS[0])
    assert program.client().details(UUIDS[0]).name == "gandalf"


@pytest.mark.allow_subprocess
def test_an_interrupted_call_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[client.subprocess.Popen[bytes]] = []

    def interrupted(process: client.subprocess.Popen[bytes], timeout: float) -> None:
        processes.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(client.subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.SubprocessRunner()([sys.executable, "-c", "import time; time.sleep(60)"], 20)
    assert processes[0].returncode == -9
