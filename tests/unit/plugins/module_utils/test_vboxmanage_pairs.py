# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that imitate VBoxManage's own form stay the texts that they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterops.virtualbox import _vboxmanage as parser
from clusterops.virtualbox._vboxmanage_errors import MalformedOutput
from clusterops.virtualbox._vboxmanage_pairs import pairs

# What was put into every place of a real machine that takes a text.
RECORDED = Path(__file__).parent / "vboxsettings" / "odd-texts.txt"
ODD = 'q"\\\nk="v'
FIRST, SECOND = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "12")


@pytest.fixture(scope="module")
def recorded() -> dict[str, str]:
    """`showvminfo --machinereadable` of that machine, by VirtualBox 7.2.22."""
    return dict(pairs(RECORDED.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", f"Z{ODD}"),
        ("CfgFile", f"/vms/Z{ODD}/Z{ODD}.vbox"),
        ("SnapFldr", f"/vms/Z{ODD}/Snapshots"),
        ("NvramFile", f"/vms/Z{ODD}/Z{ODD}.nvram"),
        ("storagecontrollername0", f"S{ODD}"),
        (f"S{ODD}-29-0", "none"),
        ("Forwarding(0)", f"F{ODD},tcp,,42299,,22"),
        ("intnet2", f"I{ODD}"),
        ("generic3", f"G{ODD}"),
        ("bridgeadapter4", f"B{ODD}"),
        ("nat-network5", f"N{ODD}"),
        ("hostonlyadapter6", f"H{ODD}"),
        ("uartmode1", f"file,/tmp/U{ODD}"),
        ("USBFilterName1", f"USB{ODD}"),
        ("rec_screen_dest_filename", f"/tmp/R{ODD}-screen0.webm"),
        ("description", f"D{ODD}"),
        ("SnapshotName", 'sn"\\x'),
        ("SnapshotDescription", f"SD{ODD}"),
        ("SnapshotDescription-1", f"SD{ODD}"),
        ("CurrentSnapshotName", "sn2"),
    ],
)
def test_recorded(recorded: dict[str, str], key: str, value: str) -> None:
    assert recorded[key] == value


def test_no_text_becomes_a_key(recorded: dict[str, str]) -> None:
    assert "k" not in recorded


def test_a_path_does_not_change_the_state() -> None:
    text = (
        f'name="x\\"\nVMState=\\"running"\nUUID="{FIRST}"\n'
        'CfgFile="/vms/x\\"\nVMState=\\"running.vbox"\nSnapFldr="/vms/x\\"\n'
        'VMState=\\"running/Snapshots"\nmemory=32\ncpus=1\nVMState="poweroff"\n'
    )
    vm = parser.parse_vm(text)
    assert (vm.name, vm.state) == ('x"\nVMState="running', "poweroff")


@pytest.mark.parametrize(
    "description",
    ['x"\nVMState="running', '"', '"\n', 'a"\nSnapshotUUID="x"', "\\", 'SnapshotName-1="'],
)
def test_a_snapshots_description_ends_where_the_next_snapshot_begins(description: str) -> None:
    text = (
        f'SnapshotName="first"\nSnapshotUUID="{FIRST}"\nSnapshotDescription="{description}"\n'
        f'SnapshotName-1="{description}"\nSnapshotUUID-1="{SECOND}"\n'
        f'CurrentSnapshotName="{description}"\nCurrentSnapshotUUID="{SECOND}"\n'
    )
    first, second = parser.parse_snapshots(text)
    assert (first.name, first.description, first.current) == ("first", description, False)
    assert (second.name, second.parent, second.current) == (description, FIRST, True)


def test_an_imitated_end_in_the_list_of_machines() -> None:
    name = f'x" {{{SECOND}}}\nfoo'
    (only,) = parser.parse_vms(f'"{name}" {{{FIRST}}}\n')
    assert (only.name, only.uuid) == (name, FIRST)


def test_an_unfinished_name_is_an_error() -> None:
    with pytest.raises(MalformedOutput, match="unfinished name"):
        dict(pairs('name="x\nUUID="y\n'))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # A value in quotes, up to a line that starts a key, or the end.
        ('VideoMode="a"\ncpus=1\n', [("VideoMode", "a"), ("cpus", "1")]),
        ('VideoMode="a"', [("VideoMode", "a")]),
        ('VideoMode=""\ncpus=1\n', [("VideoMode", ""), ("cpus", "1")]),
        ('VideoMode="a"\n rec_screen0\ncpus=1\n', [("VideoMode", "a"), ("cpus", "1")]),
        ('VideoMode="a"\n\ncpus=1\n', [("VideoMode", "a"), ("cpus", "1")]),
        ('VideoMode="a"\nb"\ncpus=1\n', [("VideoMode", 'a"\nb'), ("cpus", "1")]),
        ('VideoMode="a\nname="x"\ncpus=1\n', [("VideoMode", 'a\nname="x'), ("cpus", "1")]),
        (
            'VideoMode="a\nb"c\nname="x"\ncpus=1\n',
            [("VideoMode", 'a\nb"c\nname="x'), ("cpus", "1")],
        ),
        # More after the closing quote: one line, quotes and all.
        (
            'VideoMode="640,480"@0,0 1\nname="x"\ncpus=1\n',
            [("VideoMode", '"640,480"@0,0 1'), ("name", "x"), ("cpus", "1")],
        ),
        (
            'VideoMode=""x\nname="y"\ncpus=1\n',
            [("VideoMode", '""x'), ("name", "y"), ("cpus", "1")],
        ),
        # Never closed: one line.
        ('VideoMode="\ncpus=1\n', [("VideoMode", '"'), ("cpus", "1")]),
        ('cpus=1\nVideoMode="a\nrest', [("cpus", "1"), ("VideoMode", '"a')]),
        # Lines without a key, and keys in quotes.
        ("\ncpus=1\n", [("cpus", "1")]),
        (" rec_screen0\ncpus=1\n", [("cpus", "1")]),
        ('"a\\"b"="none"\n', [('a"b', "none")]),
        ('name="x"', [("name", "x")]),
    ],
)
def test_where_a_value_ends(text: str, found: list[tuple[str, str]]) -> None:
    assert list(pairs(text)) == found
