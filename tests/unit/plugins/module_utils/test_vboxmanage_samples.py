# SPDX-License-Identifier: GPL-3.0-or-later
"""Every recorded output of the real VirtualBox gives the right value or the right error."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import _vboxmanage as parser
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_errors as errors,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_long import (
    parse_long,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_model import VmRef

from tests.unit.plugins.module_utils.vboxmanage_samples import ALL, FOLDER, Sample

GANDALF = "51c24859-f7cf-4af1-8c90-ddb20c4f23fc"
FRODO = "9c12976b-23ee-4191-9d61-798d7fee6f1c"
RUN1 = "a9be25a9-f650-4be7-9fb8-c13c017db855"
BOROMIR = ("boromir", "9f1952fa-a485-4ff7-a958-ad50572099d6")
BOROMIR_2 = ("boromir", "25009b06-2c85-4647-b962-c93f4267936a")
PF = ("pf", "fd158298-e518-43cc-9665-b555ef653747")
PF3 = ("pf3", "24009b96-846d-4263-ab75-a516d0560e73")
DESCRIPTION = (
    'line one "quoted" \\back\\slash\nzweite Zeile: äöü \u2013 日本語 🧙\n\n'
    "Name: not-a-vm\nState: running\n"
)

ERRORS = {
    33: errors.NotFound,
    34: errors.NotFound,
    35: errors.NotFound,
    36: errors.DriverMissing,
    38: errors.NotRunning,
    39: errors.NotRunning,
    40: errors.NotRunning,
    41: errors.NotRunning,
    43: errors.InvalidRule,
    44: errors.InvalidRule,
    46: errors.Duplicate,
    47: errors.Duplicate,
    48: errors.Duplicate,
    50: errors.Duplicate,
    51: errors.Duplicate,
    52: errors.Duplicate,
    53: errors.RuleNotFound,
    55: errors.SnapshotNotFound,
    56: errors.NotFound,
    58: errors.InvalidArgument,
    59: errors.SnapshotNotFound,
    61: errors.SnapshotNotFound,
    62: errors.InUse,
    63: errors.InUse,
    65: errors.NotFound,
    66: errors.UsageError,
    67: errors.UsageError,
    68: errors.UsageError,
    69: errors.InvalidArgument,
    70: errors.InvalidArgument,
    71: errors.InvalidArgument,
    72: errors.PartNotFound,
    73: errors.NotRunning,
    76: errors.Duplicate,
    86: errors.Duplicate,
    97: errors.InvalidState,
    98: errors.DriverMissing,
    101: errors.Locked,
    102: errors.Locked,
    103: errors.NotRunning,
    111: errors.DriverMissing,
    116: errors.NotFound,
    117: errors.Inaccessible,
    118: errors.Inaccessible,
    132: errors.UsageError,
    133: errors.Duplicate,
    136: errors.InvalidArgument,
    137: errors.InvalidArgument,
    143: errors.LocaleError,
    144: errors.UsageError,
    146: errors.UsageError,
    149: errors.NotFound,
    151: errors.ServiceUnavailable,
    152: errors.ServiceUnavailable,
    # The same words as 101: only the machine's state, which the client asks for, tells them
    # apart (AlreadyRunning and InvalidState, in test_vboxmanage_client.py).
    154: errors.Locked,
    162: errors.Locked,
    163: errors.Locked,
    167: errors.InvalidState,
    172: errors.InvalidState,
    173: errors.Locked,
    181: errors.UsageError,
}

# Calls that print nothing to be read (or progress only): they succeed, and that is all.
SILENT = {
    *(5, 6, 11, 27, 28, 29, 30, 32, 45, 54, 57, 60, 80, 81, 82, 83, 84, 85, 87, 88, 90, 91, 95),
    *(99, 106, 108, 112, 113, 119, 153, 159, 161, 164, 168, 169, 174, 177, 178, 182),
}

CREATED = {
    4: GANDALF,
    7: "1b3652d9-1422-485f-b7dc-b41b1d7d19e5",
    8: "16b63431-06d8-4b36-868a-c6952e0dd411",
    42: "34ea1fe3-2eb9-4fbf-86ea-3b39307aa822",
    75: BOROMIR[1],
    77: BOROMIR_2[1],
    92: "77fdb1bb-eefd-4248-a867-4ce3e8500368",
    93: "f0eb30f6-2e2b-4809-b666-9aeb4a3ef894",
    104: "4983b32e-a6e6-4ad1-93f6-a2c747e890c0",
    121: "f5539627-0537-4b0b-b4a2-f93236682660",
    122: "0a90eab4-1f45-4794-ae1e-7199b7e6fe22",
    123: "44caaf9c-0f89-48a6-ae6c-0c6b85dbb4c9",
    124: "f23f6eea-cb00-4f81-9026-e360fe0fc4b8",
    126: "dc15cb5a-bffa-4c33-a77a-b51d60f86baa",
    127: "53781ea8-5d45-4810-b6b3-abf0f5f31c71",
    128: "6282a61e-5a48-4634-a5d5-94ee7e3e857d",
    129: "4c38d5b7-5a67-4e40-af72-ce223b9ab356",
    131: "a7cf7a1b-3841-4fa1-b59a-eb54d32bd4db",
    134: "f769d479-2858-419c-a3f1-60134d7cbed2",
    138: "e5a9a294-cb93-4fec-82df-f3e012659354",
    139: "e0cafc53-c1e9-4370-9082-719105e68024",
    171: "0739fa4b-ed7d-42eb-be91-bcb285669b98",
}

LISTS = {
    3: [],
    13: [("gandalf", GANDALF), ("frodo", FRODO)],
    14: [("frodo", FRODO), ("gandalf", GANDALF)],
    15: [],
    64: [
        ("frodo", FRODO),
        ("gandalf", "34ea1fe3-2eb9-4fbf-86ea-3b39307aa822"),
        ("frodo", "62063a13-f1eb-4cea-8097-6c1debac10dd"),
    ],
    79: [BOROMIR, BOROMIR_2],
    114: [
        *(BOROMIR, BOROMIR_2, PF, PF3),
        ("<inaccessible>", "7a5456c5-b631-4ccd-94e0-afe297e5ba41"),
    ],
    141: [
        *(BOROMIR, BOROMIR_2, PF, PF3),
        ("sp ace", "befebe46-e544-442d-8899-4121353bbe10"),
        ("ünïcödé-日本語-🧙", "f5539627-0537-4b0b-b4a2-f93236682660"),
        ('say "hi"', "0a90eab4-1f45-4794-ae1e-7199b7e6fe22"),
        ("it's", "44caaf9c-0f89-48a6-ae6c-0c6b85dbb4c9"),
        ("back\\slash", "f23f6eea-cb00-4f81-9026-e360fe0fc4b8"),
        ("-dash", "d9f206ec-d09c-4400-9ccc-786589f1916b"),
        ("--version", "dc15cb5a-bffa-4c33-a77a-b51d60f86baa"),
        ("a/b", "53781ea8-5d45-4810-b6b3-abf0f5f31c71"),
        ("two\nlines", "6282a61e-5a48-4634-a5d5-94ee7e3e857d"),
        ("{brace}", "4c38d5b7-5a67-4e40-af72-ce223b9ab356"),
        ("trail ", "971c1ee7-3ff5-481d-92a2-f5d8f5e34e52"),
        (" lead", "a7cf7a1b-3841-4fa1-b59a-eb54d32bd4db"),
        ("..", "f769d479-2858-419c-a3f1-60134d7cbed2"),
        ("12345678-1234-1234-1234-123456789abc", "52d13da2-54cb-4021-ad42-3cd596aedd5f"),
        ("<inaccessible>", "e5a9a294-cb93-4fec-82df-f3e012659354"),
        ("100%s", "e0cafc53-c1e9-4370-9082-719105e68024"),
    ],
    # In the C locale the list breaks off at the first name that is not ASCII, with exit code 0.
    142: errors.MalformedOutput,
    166: [("h", "8992714f-2851-40ed-8156-79e8c7c6d5c1"), ("run1", RUN1)],
    179: [("h", "8992714f-2851-40ed-8156-79e8c7c6d5c1")],
}

# name, state, groups, memory, forwards, number of snapshots
FOUR = ["app:5000>5000", "dns:5353>53", "metrics:5100>5100", "ssh:2223>22"]
GROUPS = ("/playground/agent", "/ring bearers")
AGENT = ("/playground/agent",)
DETAILS: dict[int, tuple[Any, ...]] = {
    19: ("gandalf", "poweroff", GROUPS, 512, FOUR, 2),
    21: ("frodo", "poweroff", GROUPS, 512, FOUR, 0),
    37: ("gandalf", "poweroff", GROUPS, 512, FOUR, 2),
    # 70000 became 4464: what VirtualBox made of it is what it reports.
    49: ("gandalf", "poweroff", GROUPS, 512, [FOUR[0], "bad:4464>80", *FOUR[1:]], 2),
    78: ("boromir", "poweroff", ("/",), 1024, [], 0),
    89: (
        "pf",
        "poweroff",
        ("/",),
        1024,
        [
            'a b"c:8090>80',
            "r1:0>80",
            "r2:8081>80",
            "r3:8082>0",
            "r4:65535>80",
            "tcp_8091_80:8091>80",
            "up:8093>80",
            "v6:8092>80",
        ],
        0,
    ),
    96: ("st", "saved", ("/",), 1024, [], 0),
    109: ("pf2", "poweroff", ("/",), 1024, ["same:7777>22"], 1),
    147: ('say "hi"', "poweroff", ("/",), 1024, [], 0),
    148: ("two\nlines", "poweroff", ("/",), 1024, [], 0),
    157: ("run1", "running", AGENT, 64, ["ssh:2300>22"], 0),
    176: ("run1", "saved", AGENT, 64, ["ssh:2300>22"], 1),
    183: ("run2", "aborted", AGENT, 64, ["ssh:2310>22"], 0),
}
LONG: dict[int, list[tuple[Any, ...]]] = {
    16: [DETAILS[19], DETAILS[21]],
    17: [],
    20: [DETAILS[19]],
    156: [
        ("h", "running", ("/",), 64, ["ssh:2222>22"], 0),
        DETAILS[157],
    ],
    184: [
        ("h", "running", ("/",), 64, ["ssh:2222>22"], 0),
        ("run1", "running", AGENT, 64, ["ssh:2300>22"], 1),
        DETAILS[183],
        ("run1c", "poweroff", AGENT, 64, ["ssh:2300>22"], 0),
    ],
}
SNAPSHOTS: dict[int, list[tuple[str, str, bool]]] = {
    9: [("base", 'first "snap"', False), ('after install, "v2"', "", True)],
    10: [("base", 'first "snap"', False), ('after install, "v2"', "", True)],
    12: [],
    94: [("dup", "", False), ("dup", "", True)],
}
ADDRESS = ("/VirtualBox/GuestInfo/Net/0/V4/IP", "10.0.2.15", ())
HOST_FLAGS = ("TRANSIENT", "RDONLYGUEST")
PROPERTIES = {
    22: [
        ("/VirtualBox/GuestInfo/Net/0/Status", "Up", ()),
        ADDRESS,
        ("/playground/role", "agent", ("RDONLYGUEST",)),
        ("/playground/weird", "it's = 'quoted' @ \"x\", ümlaut\nsecond line", ()),
    ],
    23: [("/VirtualBox/GuestInfo/Net/0/Status", "Up", ()), ADDRESS],
    24: [],
    107: [],
    158: [
        ADDRESS,
        ("/VirtualBox/HostGuest/SysprepArgs", "", HOST_FLAGS),
        ("/VirtualBox/HostGuest/SysprepExec", "", HOST_FLAGS),
        ("/VirtualBox/HostInfo/VBoxRev", "175245", HOST_FLAGS),
        ("/VirtualBox/HostInfo/VBoxVer", "7.2.22", HOST_FLAGS),
        ("/VirtualBox/HostInfo/VBoxVerExt", "7.2.22_Debian", HOST_FLAGS),
        ("/VirtualBox/VMInfo/ResetCounter", "0", HOST_FLAGS),
        ("/VirtualBox/VMInfo/ResumeCounter", "0", HOST_FLAGS),
    ],
}
OTHERS = {1, 2, 18, 25, 26}
TABLES = (ERRORS, SILENT, CREATED, LISTS, DETAILS, LONG, SNAPSHOTS, PROPERTIES, OTHERS)


def names(numbers: Any) -> list[Any]:
    return [pytest.param(ALL[number], id=ALL[number].name) for number in sorted(numbers)]


def number_of(sample: Sample) -> int:
    return int(sample.name.partition("-")[0])


def summary(vm: parser.Vm) -> tuple[Any, ...]:
    forwards = [f"{rule.name}:{rule.host_port}>{rule.guest_port}" for rule in vm.forwards]
    return (vm.name, vm.state, vm.groups, vm.memory_mb, forwards, len(vm.snapshots))


def test_every_sample_is_in_exactly_one_table() -> None:
    listed = sorted(number for table in TABLES for number in table)
    assert listed == sorted(ALL)
    assert len(ALL) == len(list(FOLDER.glob("*.txt")))


@pytest.mark.parametrize("sample", names(ERRORS))
def test_a_refusal_is_a_typed_error_with_a_remedy(sample: Sample) -> None:
    error = errors.classify(sample.code, sample.stdout, sample.stderr)
    assert type(error) is ERRORS[number_of(sample)]
    assert error.remedy and str(error).endswith(error.remedy)
    assert "\n" not in str(error)


@pytest.mark.parametrize("sample", names(set(ALL) - set(ERRORS) - {12}))
def test_success_is_no_error(sample: Sample) -> None:
    assert errors.classify(sample.code, sample.stdout, sample.stderr) is None


@pytest.mark.parametrize("sample", names(CREATED))
def test_the_uuid_of_what_was_created(sample: Sample) -> None:
    assert parser.parse_created(sample.stdout) == CREATED[number_of(sample)]


@pytest.mark.parametrize("sample", names(LISTS))
def test_a_list_of_machines(sample: Sample) -> None:
    expected = LISTS[number_of(sample)]
    if isinstance(expected, list):
        assert [(vm.name, vm.uuid) for vm in parser.parse_vms(sample.stdout)] == expected
    else:
        with pytest.raises(expected):
            parser.parse_vms(sample.stdout)


@pytest.mark.parametrize("sample", names(DETAILS))
def test_the_details_of_a_machine(sample: Sample) -> None:
    vm = parser.parse_vm(sample.stdout)
    assert summary(vm) == DETAILS[number_of(sample)]
    assert vm.cpus == 1
    assert vm.os_type == ("Other/Unknown" if vm.memory_mb == 1024 else "Debian (64-bit)")
    assert vm.description == (DESCRIPTION if vm.memory_mb == 512 else "")
    assert [nic.attachment for nic in vm.nics] == (["nat"] if vm.forwards else [])


@pytest.mark.parametrize("sample", names(LONG))
def test_the_details_of_all_machines(sample: Sample) -> None:
    unknown = parse_long(sample.stdout, ())
    assert unknown.vms == ()
    refs = tuple(VmRef(_name_of(sample, uuid), uuid) for uuid in unknown.doubtful)
    found = parse_long(sample.stdout, refs)
    assert found.doubtful == ()
    assert [summary(vm) for vm in found.vms] == LONG[number_of(sample)]


def _name_of(sample: Sample, uuid: str) -> str:
    before = sample.stdout.partition(f"\nUUID:                        {uuid}\n")[0]
    return before.rpartition("Name:                        ")[2].partition("\n")[0]


def test_both_forms_of_the_same_machines_are_equal() -> None:
    refs = parser.parse_vms(ALL[13].stdout)
    listed = parse_long(ALL[16].stdout, refs)
    assert listed.vms == (parser.parse_vm(ALL[19].stdout), parser.parse_vm(ALL[21].stdout))


@pytest.mark.parametrize("sample", names(SNAPSHOTS))
def test_snapshots(sample: Sample) -> None:
    found = parser.parse_snapshots(sample.stdout)
    expected = SNAPSHOTS[number_of(sample)]
    assert [(shot.name, shot.description, shot.current) for shot in found] == expected
    assert [shot.parent for shot in found] == [None, *(shot.uuid for shot in found)][: len(found)]


def test_both_forms_of_the_same_snapshots_are_equal() -> None:
    assert parser.parse_snapshots(ALL[9].stdout) == parser.parse_snapshots(ALL[10].stdout)


@pytest.mark.parametrize("sample", names(PROPERTIES))
def test_guest_properties(sample: Sample) -> None:
    found = parser.parse_guest_properties(sample.stdout)
    assert [(item.name, item.value, item.flags) for item in found] == PROPERTIES[number_of(sample)]


@pytest.mark.parametrize("number", [1, 2])
def test_the_version_with_and_without_debians_warning(number: int) -> None:
    version = parser.parse_version(ALL[number].stdout)
    assert (version.number, version.text) == ((7, 2, 22), "7.2.22_Debianr175245")


def test_groups_and_single_properties() -> None:
    assert parser.parse_groups(ALL[18].stdout) == GROUPS
    assert parser.parse_guest_property(ALL[25].stdout) == "10.0.2.15"
    assert parser.parse_guest_property(ALL[26].stdout) is None


def test_debians_warning_before_any_output_does_no_harm() -> None:
    warning = ALL[2].stdout.partition("7.2")[0]
    assert parser.parse_vms(warning + ALL[13].stdout) == parser.parse_vms(ALL[13].stdout)
    assert parser.parse_vm(warning + ALL[19].stdout) == parser.parse_vm(ALL[19].stdout)
    assert parser.parse_snapshots(warning + ALL[12].stdout) == ()
    refs = parser.parse_vms(ALL[13].stdout)
    assert parse_long(warning + ALL[16].stdout, refs) == parse_long(ALL[16].stdout, refs)


def test_a_driver_that_is_there_is_not_called_missing() -> None:
    sample = ALL[36]
    error = errors.classify(sample.code, sample.stdout, sample.stderr, driver_present=True)
    assert type(error) is errors.StartFailed


def test_a_name_of_several_machines_is_ambiguous() -> None:
    refs = parser.parse_vms(ALL[79].stdout)
    with pytest.raises(errors.AmbiguousName, match=BOROMIR[1]):
        parser.select(refs, "boromir")
    assert parser.select(refs, BOROMIR_2[1].upper()).uuid == BOROMIR_2[1]
    with pytest.raises(errors.NotFound):
        parser.select(refs, "gandalf")
