# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin, with VirtualBox replaced by clients that answer from memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import is_trusted_as_template
from ansible.utils.display import Display
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_errors import (
    ProgramMissing,
    ServiceUnavailable,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_model import (
    GuestProperty,
    NatForward,
    Nic,
    Snapshot,
    Vm,
    inaccessible,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxwebsrv import AccessDenied
from ansible_collections.clusterops.playground.plugins.plugin_utils._inventory import as_data

UUID = "aaaaaaaa-0000-4000-8000-{:012d}"
SSH = NatForward("ssh", "tcp", "", 2201, "", 22)
NAT = Nic(1, "nat", "", "0800270000AA", "82540EM", True)


def vm(number: int, name: str, **fields: Any) -> Vm:
    given = {"state": "poweroff", "groups": ("/",), "cpus": 1, "memory_mb": 64, **fields}
    return Vm(uuid=UUID.format(number), name=name, **given)


def guest(*addresses: tuple[int, str, str]) -> tuple[GuestProperty, ...]:
    base = "/VirtualBox/GuestInfo/Net"
    return tuple(
        GuestProperty(f"{base}/{number}/{what}", value, "")
        for number, address, mac in addresses
        for what, value in (("V4/IP", address), ("MAC", mac))
    )


class Fake:
    """VBoxManage or the web service, with these machines."""

    def __init__(self, *vms: Vm, error: Exception | None = None, properties: Any = ()) -> None:
        self.vms = vms
        self.error = error
        self.properties = properties
        self.asked = 0
        self.asked_about: list[str] = []

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def inventory(self, wanted: object = None) -> tuple[Vm, ...]:
        self.asked += 1
        if self.error:
            raise self.error
        return self.vms

    def guest_properties(self, uuid: str, *patterns: str) -> Any:
        self.asked_about.append(uuid)
        return self.properties


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda self, text, *_, **__: found.append(text))
    return found


def parse(
    tmp_path: Path, program: Fake, service: Fake | None = None, **options: Any
) -> InventoryData:
    source = tmp_path / "lab.virtualbox.yml"
    source.write_text(json.dumps({"plugin": "clusterops.playground.virtualbox", **options}))
    inventory = InventoryData()
    module = inventory_loader.get("clusterops.playground.virtualbox")
    assert module.verify_file(str(source))
    module._create_client = lambda: (program, program.inventory)
    if service:
        module._create_service = lambda path: service
    module.parse(inventory, DataLoader(), str(source))
    inventory.reconcile_inventory()
    return inventory


def members(inventory: InventoryData, group: str) -> list[str]:
    return [host.name for host in inventory.groups[group].get_hosts()]


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("virtualbox.yml", True),
        ("lab.virtualbox.yaml", True),
        ("notvirtualbox.yml", False),
        ("lab.vbox.yml", False),
    ],
)
def test_its_own_files(tmp_path: Path, name: str, ours: bool) -> None:
    (tmp_path / name).write_text("{}")
    module = inventory_loader.get("clusterops.playground.virtualbox")
    assert module.verify_file(str(tmp_path / name)) is ours


def test_every_machine_is_a_host_in_its_groups(tmp_path: Path) -> None:
    found = parse(
        tmp_path,
        Fake(
            vm(1, "frodo", state="running", groups=("/lab/shire", "/lab")),
            vm(2, "sam", state="aborted-saved"),
            inaccessible(UUID.format(3)),
        ),
    )
    assert members(found, "state_running") == ["frodo"]
    assert members(found, "state_aborted_saved") == ["sam"]
    assert members(found, "state_inaccessible") == ["inaccessible-aaaaaaaa"]
    assert members(found, "state_poweroff") == []
    assert members(found, "vbox_group_lab_shire") == ["frodo"]
    assert [group.name for group in found.groups["vbox_group_lab"].child_groups] == [
        "vbox_group_lab_shire"
    ]
    lost = found.hosts["inaccessible-aaaaaaaa"].vars
    assert "ansible_host" not in lost
    assert lost["vbox_name"] == "<inaccessible>"


def test_variables(tmp_path: Path) -> None:
    machine = vm(
        1,
        "frodo",
        cpus=2,
        memory_mb=512,
        os_type="Debian (64-bit)",
        description="ring",
        forwards=(SSH,),
        nics=(NAT,),
        snapshots=(Snapshot(UUID.format(9), "clean", current=True),),
    )
    plain = parse(tmp_path, Fake(machine)).hosts["frodo"].vars
    assert {key: plain[key] for key in plain if key.startswith("vbox_")} == {
        "vbox_uuid": UUID.format(1),
        "vbox_name": "frodo",
        "vbox_state": "poweroff",
        "vbox_groups": ["/"],
        "vbox_cpus": 2,
        "vbox_memory_mb": 512,
        "vbox_os_type": "Debian (64-bit)",
        "vbox_description": "ring",
    }
    every = parse(tmp_path, Fake(machine), details=["forwards", "nics", "snapshots"])
    variables = every.hosts["frodo"].vars
    assert variables["vbox_forwards"][0]["host_port"] == 2201
    assert variables["vbox_nics"][0]["mac"] == "0800270000AA"
    assert variables["vbox_snapshots"][0]["name"] == "clean"


@pytest.mark.parametrize(
    ("forwards", "options", "reached"),
    [
        ((SSH,), {}, ("127.0.0.1", 2201)),
        ((NatForward("x", "tcp", "0.0.0.0", 2201, "", 22),), {}, ("127.0.0.1", 2201)),
        ((NatForward("x", "tcp", "10.1.1.1", 2201, "", 22),), {}, ("10.1.1.1", 2201)),
        ((SSH,), {"forward_host": "10.9.9.9"}, ("10.9.9.9", 2201)),
        ((NatForward("x", "udp", "", 2201, "", 22), SSH), {}, ("127.0.0.1", 2201)),
        ((NatForward("x", "tcp", "", 0, "", 22), SSH), {}, ("127.0.0.1", 2201)),
        ((NatForward("x", "tcp", "", 80, "", 80),), {}, None),
        (
            (SSH, NatForward("other", "tcp", "", 2299, "", 22)),
            {"ssh_forward_name": "other"},
            ("127.0.0.1", 2299),
        ),
        (
            (SSH, NatForward("x", "tcp", "", 2299, "", 2222)),
            {"ssh_guest_port": 2222},
            ("127.0.0.1", 2299),
        ),
    ],
)
def test_the_forward_that_leads_to_ssh(
    tmp_path: Path, forwards: Any, options: dict[str, Any], reached: tuple[str, int] | None
) -> None:
    variables = parse(tmp_path, Fake(vm(1, "a", forwards=forwards)), **options).hosts["a"].vars
    assert (variables.get("ansible_host"), variables.get("ansible_port")) == (
        reached or (None, None)
    )


def test_only_running_machines_without_a_forward_are_asked_for_their_address(
    tmp_path: Path,
) -> None:
    program = Fake(
        vm(1, "forwarded", state="running", forwards=(SSH,)),
        vm(2, "off"),
        vm(3, "bare", state="running", nics=(NAT,)),
        properties=guest((0, "10.0.2.15", "0800270000AA"), (1, "192.168.56.7", "0800270000BB")),
    )
    found = parse(tmp_path, program)
    assert program.asked_about == [UUID.format(3)]
    variables = found.hosts["bare"].vars
    # The first is behind NAT.
    assert (variables["ansible_host"], variables["ansible_port"]) == ("192.168.56.7", 22)
    assert variables["vbox_guest_address"] == "192.168.56.7"
    assert "ansible_host" not in found.hosts["off"].vars


@pytest.mark.parametrize(
    ("addresses", "options", "host"),
    [
        ([(0, "10.1.0.1", ""), (1, "10.2.0.1", "")], {}, "10.1.0.1"),
        (
            [(0, "10.1.0.1", ""), (1, "10.2.0.1", "")],
            {"guest_networks": ["10.2.0.0/16", "10.1.0.0/16"]},
            "10.2.0.1",
        ),
        ([(0, "10.1.0.1", "")], {"guest_networks": ["10.2.0.0/16"]}, None),
        ([(10, "10.1.0.1", ""), (9, "10.2.0.1", "")], {}, "10.2.0.1"),
        ([(0, "{{ evil }}", ""), (1, "127.0.0.1", ""), (2, "-oProxyCommand=x", "")], {}, None),
        ([(0, "10.1.0.1", "")], {"connect_through": ["forward"]}, None),
        ([], {}, None),
    ],
)
def test_the_guests_address(
    tmp_path: Path, addresses: Any, options: dict[str, Any], host: str | None
) -> None:
    program = Fake(vm(1, "a", state="running"), properties=guest(*addresses))
    assert parse(tmp_path, program, **options).hosts["a"].vars.get("ansible_host") == host


def test_the_guests_address_may_be_preferred(tmp_path: Path) -> None:
    program = Fake(
        vm(1, "a", state="running", forwards=(SSH,)), properties=guest((0, "10.1.0.1", ""))
    )
    found = parse(tmp_path, program, connect_through=["guest", "forward"])
    assert found.hosts["a"].vars["ansible_host"] == "10.1.0.1"


def test_machines_of_the_same_name_are_all_there(tmp_path: Path, warnings: list[str]) -> None:
    found = parse(
        tmp_path,
        Fake(
            Vm("aaaaaaaa-1111-4000-8000-000000000000", "twin", "poweroff"),
            Vm("bbbbbbbb-1111-4000-8000-000000000000", "twin", "poweroff"),
            Vm("bbbbbbbb-2222-4000-8000-000000000000", "twin", "poweroff"),
            Vm("cccccccc-2222-4000-8000-000000000000", "twin-aaaaaaaa", "poweroff"),
        ),
    )
    uuids = {host.vars["vbox_uuid"]: name for name, host in found.hosts.items()}
    assert len(uuids) == 4
    assert uuids["bbbbbbbb-2222-4000-8000-000000000000"].endswith("-8000-000000000000")
    assert any("'twin'" in text and "3 machines" in text for text in warnings)


@pytest.mark.parametrize(
    "name",
    [
        *("a,b", "a b", "a\nb", "web[1:3]", "!x", "&x", "-x", "../../etc/passwd", "a:b", "{{ x }}"),
        *("", "*", "all", "localhost", "ungrouped", "state_running", "vbox_group_lab", "~x", "@f"),
    ],
)
def test_names_that_ansible_takes_for_something_else(tmp_path: Path, name: str) -> None:
    found = parse(tmp_path, Fake(vm(1, name, groups=("/lab",)), vm(2, "plain")))
    (host,) = [host for host in found.hosts.values() if host.vars["vbox_name"] == name]
    assert host.name != name
    assert host.name.endswith("-aaaaaaaa")
    assert set(host.name) <= set("abcdefghijklmnopqrstuvwxyzETP0123456789_.-")
    assert "plain" in found.hosts
    assert not host.name.startswith(("-", "."))


def test_groups_with_the_same_name_stay_apart(tmp_path: Path, warnings: list[str]) -> None:
    found = parse(tmp_path, Fake(vm(1, "a", groups=("/x/y_z",)), vm(2, "b", groups=("/x/y z",))))
    names = [name for name in found.groups if name.startswith("vbox_group_x_")]
    assert [members(found, name) for name in names] == [["a"], ["b"]]
    assert len(warnings) == 2


@pytest.mark.parametrize(
    ("options", "hosts"),
    [
        ({"only_groups": ["/lab"]}, ["web-1", "web-2"]),
        ({"only_groups": ["/lab/a"]}, ["web-2"]),
        ({"only_names": ["web-*"]}, ["web-1", "web-2", "web-3"]),
        ({"only_names": ["web-[12]", "db"]}, ["web-1", "web-2", "db"]),
        ({"only_states": ["running", "saved"]}, ["web-1", "db"]),
        ({"only_groups": ["/lab"], "only_states": ["poweroff"]}, ["web-2"]),
    ],
)
def test_filters(tmp_path: Path, options: dict[str, Any], hosts: list[str]) -> None:
    program = Fake(
        vm(1, "web-1", groups=("/lab",), state="running"),
        vm(2, "web-2", groups=("/lab/a",)),
        vm(3, "web-3", groups=("/laboratory",)),
        vm(4, "db", state="saved"),
    )
    assert list(parse(tmp_path, program, **options).hosts) == hosts


def test_texts_are_never_templates(tmp_path: Path) -> None:
    override = "#jinja2:variable_start_string:'[%', variable_end_string:'%]'\n[% 1 %]"
    machine = vm(1, "a", description="{{ lookup('pipe', 'id') }}", os_type=override)
    found = parse(tmp_path, Fake(machine), keyed_groups=[{"key": "vbox_description"}])
    variables = found.hosts["a"].vars
    for key in ("vbox_description", "vbox_os_type"):
        assert not is_trusted_as_template(variables[key])
    assert any(name.startswith("____lookup") for name in found.groups)
    assert is_trusted_as_template(as_data("plain"))


def test_constructed(tmp_path: Path) -> None:
    found = parse(
        tmp_path,
        Fake(vm(1, "a", memory_mb=8192, os_type="Debian (64-bit)"), vm(2, "b")),
        compose={"ansible_user": "'vagrant'", "gb": "vbox_memory_mb // 1024"},
        groups={"large": "vbox_memory_mb > 4096"},
        keyed_groups=[{"key": "vbox_os_type", "prefix": "os"}],
    )
    assert found.hosts["a"].vars["ansible_user"] == "vagrant"
    assert found.hosts["a"].vars["gb"] == 8
    assert members(found, "large") == ["a"]
    assert members(found, "os_Debian__64_bit_") == ["a"]


def test_a_failure_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AnsibleParserError, match="Install VirtualBox"):
        parse(tmp_path, Fake(error=ProgramMissing("There is no VBoxManage")))


def test_a_failure_may_be_a_warning(tmp_path: Path, warnings: list[str]) -> None:
    found = parse(tmp_path, Fake(error=ProgramMissing("There is none")), on_error="warn")
    assert not found.hosts
    assert any("There is none" in text for text in warnings)


@pytest.mark.parametrize(
    "options", [{"guest_networks": ["10.0.0.1/8"]}, {"only_groups": ["lab"]}, {"details": ["all"]}]
)
def test_options_that_cannot_be_meant(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=next(iter(options))):
        parse(tmp_path, Fake(), **options)


def test_the_web_service_is_asked_first(tmp_path: Path) -> None:
    program, service = Fake(vm(1, "slow")), Fake(vm(1, "fast"))
    found = parse(tmp_path, program, service, web_service_url="http://localhost:18083")
    assert list(found.hosts) == ["fast"]
    assert program.asked == 0


def test_vboxmanage_when_the_web_service_does_not_answer(
    tmp_path: Path, warnings: list[str]
) -> None:
    service = Fake(error=ServiceUnavailable("Nobody listens"))
    found = parse(tmp_path, Fake(vm(1, "a")), service, web_service_url="http://localhost:1")
    assert list(found.hosts) == ["a"]
    assert any("Nobody listens" in text and "VBoxManage" in text for text in warnings)


def test_a_wrong_password_is_an_error(tmp_path: Path) -> None:
    service = Fake(error=AccessDenied("The web service refuses the user"))
    with pytest.raises(AnsibleParserError, match="refuses the user"):
        parse(tmp_path, Fake(vm(1, "a")), service, web_service_url="http://localhost:1")


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("mellon\nsecond line\n")
    parse(tmp_path, Fake(), web_service_password_file="password")
    module = inventory_loader.get("clusterops.playground.virtualbox")
    source = str(tmp_path / "lab.virtualbox.yml")
    module._options = {"web_service_password": None, "web_service_password_file": "password"}
    assert module._password(source) == "mellon"
    module._options["web_service_password_file"] = "nothing"
    with pytest.raises(AnsibleParserError, match="nothing: No such file"):
        module._password(source)


def test_the_cache_spares_virtualbox(tmp_path: Path) -> None:
    program = Fake(vm(1, "a", forwards=(SSH,)))
    cache = {
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "cache"),
    }
    first = parse(tmp_path, program, **cache)
    second = parse(tmp_path, program, **cache)
    assert first.hosts["a"].vars == second.hosts["a"].vars
    # Another question needs another answer.
    third = parse(tmp_path, program, **cache, details=["forwards"])
    assert third.hosts["a"].vars["vbox_forwards"][0]["name"] == "ssh"


def test_a_kept_answer_is_used_as_long_as_the_question_is_the_same(tmp_path: Path) -> None:
    program = Fake(vm(1, "a", forwards=(SSH,)))
    plugin = inventory_loader.get("clusterops.playground.virtualbox")
    plugin._create_client = lambda: (program, program.inventory)
    options = {name: None for name in type(plugin)._cached.__globals__["ASKED"]}
    given = {**options, "cache": True, "connect_through": ["forward"], "guest_networks": []}
    given |= {"ssh_guest_port": 22, "details": [], "web_service_url": None, "forward_host": None}
    given["ssh_forward_name"] = None
    plugin.get_option = given.__getitem__
    plugin.get_cache_key = lambda path: path
    plugin._cache = {}
    first = plugin._cached("x", True)
    assert plugin._cached("x", True) is first
    assert program.asked == 1
    plugin._cached("x", False)
    assert program.asked == 2
    given["details"] = ["nics"]
    plugin._cached("x", True)
    plugin._cache["x"] = "not ours"
    plugin._cached("x", True)
    assert program.asked == 4


@pytest.mark.parametrize(("files", "way"), [(False, "VBoxManage.inventory"), (True, "fast")])
def test_vboxmanage_is_asked_alone_or_beside_the_settings_files(files: bool, way: str) -> None:
    plugin = inventory_loader.get("clusterops.playground.virtualbox")
    options = {"timeout_s": 7, "executable": "/opt/VBoxManage", "settings_files": files}
    plugin.get_option = options.__getitem__
    client, inventory = plugin._create_client()
    assert client._timeout_s == 7
    assert (inventory == client.inventory) is (way == "VBoxManage.inventory")


def test_a_password_may_stand_in_the_options(tmp_path: Path) -> None:
    plugin = inventory_loader.get("clusterops.playground.virtualbox")
    plugin._options = {"web_service_password": "mellon", "web_service_password_file": "nothing"}
    assert plugin._password(str(tmp_path / "x.yml")) == "mellon"
    plugin._options = {"web_service_password": None, "web_service_password_file": None}
    assert plugin._password(str(tmp_path / "x.yml")) == ""
