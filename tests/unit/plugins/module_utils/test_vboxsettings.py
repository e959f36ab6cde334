# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings files that VirtualBox 7.2.22 wrote give what VBoxManage says of the same machines."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.virtualbox import _vboxsettings as settings
from clusterops.virtualbox._vboxmanage_errors import MalformedOutput
from clusterops.virtualbox._vboxmanage_model import NatForward, Nic

FOLDER = Path(__file__).parent / "vboxsettings"
RECORDED = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.vbox")}
ODD = 'q"\\\nk="v'


def test_networks() -> None:
    vm = settings.machine(RECORDED["networks"], "/vms/networks.vbox")
    assert (vm.name, vm.state, vm.groups) == (
        "networks",
        "poweroff",
        ("/lab/agents", "/other group"),
    )
    assert (vm.cpus, vm.cpu_cap_percent, vm.memory_mb, vm.os_type) == (2, 40, 32, "Debian_64")
    assert vm.config_file == "/vms/networks.vbox"
    assert vm.forwards == (
        NatForward("ssh", "tcp", "127.0.0.1", 2201, "", 22, 1),
        NatForward("web site", "udp", "", 8081, "10.0.2.15", 80, 1),
        NatForward("second", "tcp", "0.0.0.0", 2202, "", 2222, 2),
    )
    assert [(nic.number, nic.attachment, nic.network) for nic in vm.nics] == [
        (1, "nat", ""),
        (2, "nat", "10.9.0.0/16"),
        (3, "intnet", "inner 'net'"),
        (4, "hostonly", ""),
        (5, "null", ""),
        (6, "generic", "UDPTunnel"),
        (8, "natnetwork", "NatNetwork"),
    ]
    assert vm.nics[2].adapter_type == "virtio"
    assert [nic.number for nic in vm.nics if not nic.cable_connected] == [5]


def test_snapshots_come_after_their_parents() -> None:
    root, child, leaf, branch = settings.machine(RECORDED["snapshots"], "").snapshots
    assert (root.name, root.parent) == ("root", None)
    assert root.description == "two\n   lines, 'quoted'"
    assert (child.name, child.parent) == ("child (UUID: none)", root.uuid)
    assert (leaf.name, leaf.parent) == ("leaf", child.uuid)
    assert (branch.name, branch.parent, branch.current) == ("Zweig ä", root.uuid, True)


@pytest.mark.parametrize("state", ["saved", "aborted"])
def test_states(state: str) -> None:
    assert settings.machine(RECORDED[state], "").state == state


def test_odd_texts() -> None:
    vm = settings.machine(RECORDED["odd-texts"], "")
    assert (vm.name, vm.description) == (f"Z{ODD}", f"D{ODD}")
    # Its first adapter is bridged now: VirtualBox keeps the forward, and hides it.
    assert vm.forwards == ()
    assert [nic.network for nic in vm.nics] == ["zz", *(f"{it}{ODD}" for it in "IBNH")]
    assert [one.description for one in vm.snapshots] == [f"SD{ODD}"] * 2


def test_defaults_that_virtualbox_leaves_out() -> None:
    text = (
        '<VirtualBox xmlns="http://www.virtualbox.org/" version="1.19-linux">'
        '<Machine uuid="{11111111-0000-4000-8000-000000000000}" name="x" OSType="Other" '
        'lastStateChange="2026-01-02T03:04:05Z"><Hardware><Memory RAMSize="64"/><Network>'
        '<Adapter slot="29" enabled="true" MACAddress="080027000001"><NAT>'
        '<Forwarding name="f" proto="1"/></NAT></Adapter></Network></Hardware></Machine>'
        "</VirtualBox>"
    )
    vm = settings.machine(text, "")
    assert (vm.cpus, vm.cpu_cap_percent, vm.groups) == (1, 100, ("/",))
    assert vm.nics == (Nic(30, "nat", "", "080027000001", "Am79C973", True),)
    assert vm.forwards == (NatForward("f", "tcp", "", 0, "", 0, 30),)
    assert vm.state_since == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('version="1.19-linux"', 'version="1.99-linux"'),
        ('version="1.19-linux"', ""),
        ("<Machine ", "<MachineEncrypted "),
        ("?>", "?><!DOCTYPE x>"),
        ("</VirtualBox>", ""),
        ('RAMSize="32"', 'RAMSize="-1"'),
        ('name="networks"', 'name=""'),
        ('name="ssh" proto="1"', 'name="ssh" proto="7"'),
    ],
)
def test_another_format_is_no_machine(tmp_path: Path, old: str, new: str) -> None:
    text = RECORDED["networks"].replace(old, new, 1)
    with pytest.raises(MalformedOutput):
        settings.machine(text, "")
    assert place(tmp_path, text).vm(uuid_of("networks")) is None


def uuid_of(name: str) -> str:
    return settings.machine(RECORDED[name], "").uuid


def place(folder: Path, text: str) -> settings.SettingsFiles:
    """A registry in which the machine ``networks`` has a settings file with this text."""
    uuid = uuid_of("networks")
    (folder / "Machines").mkdir()
    (folder / "Machines" / "x.vbox").write_text(text, encoding="utf-8")
    (folder / settings.REGISTRY).write_text(
        '<VirtualBox xmlns="http://www.virtualbox.org/" version="1.12-linux"><Global>'
        f'<MachineRegistry><MachineEntry uuid="{{{uuid}}}" src="Machines/x.vbox"/>'
        "</MachineRegistry></Global></VirtualBox>",
        encoding="utf-8",
    )
    return settings.SettingsFiles(folder / "nothing here", folder)


def test_the_registry_leads_to_the_file(tmp_path: Path) -> None:
    files = place(tmp_path, RECORDED["networks"])
    vm = files.vm(uuid_of("networks"))
    assert vm is not None
    assert (vm.name, vm.config_file) == ("networks", str(tmp_path / "Machines" / "x.vbox"))
    assert files.vm(uuid_of("snapshots")) is None


def test_a_file_of_another_machine_is_not_used(tmp_path: Path) -> None:
    assert place(tmp_path, RECORDED["snapshots"]).vm(uuid_of("networks")) is None


def test_a_file_that_is_gone_is_no_machine(tmp_path: Path) -> None:
    files = place(tmp_path, RECORDED["networks"])
    (tmp_path / "Machines" / "x.vbox").unlink()
    assert files.vm(uuid_of("networks")) is None


def test_what_is_no_uuid_is_told() -> None:
    text = RECORDED["networks"].replace(uuid_of("networks"), "12-34")
    with pytest.raises(MalformedOutput, match="12-34"):
        settings.machine(text, "")


def test_no_registry(tmp_path: Path) -> None:
    assert settings.SettingsFiles(tmp_path).vm(uuid_of("networks")) is None
    (tmp_path / settings.REGISTRY).write_text("<VirtualBox")
    assert settings.SettingsFiles(tmp_path).vm(uuid_of("networks")) is None


def test_where_virtualbox_keeps_its_registry() -> None:
    assert settings.homes({"VBOX_USER_HOME": "/v", "HOME": "/h"}) == (Path("/v"),)
    assert settings.homes({"HOME": "/h"}, "linux") == (
        Path("/h/.VirtualBox"),
        Path("/h/.config/VirtualBox"),
    )
    assert settings.homes({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}, "linux")[1] == Path(
        "/c/VirtualBox"
    )
    assert settings.homes({"HOME": "/h"}, "darwin") == (Path("/h/Library/VirtualBox"),)


@given(data=st.data(), name=st.sampled_from(sorted(RECORDED)))
def test_a_damaged_file_is_never_more_than_malformed(data: st.DataObject, name: str) -> None:
    text = RECORDED[name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    damaged = text[:start] + data.draw(st.text(max_size=6)) + text[end:]
    with contextlib.suppress(MalformedOutput):
        settings.machine(damaged, "")
