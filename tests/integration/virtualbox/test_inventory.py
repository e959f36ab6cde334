# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-inventory` on real machines, with all that programs get wrong about them.

Where it is easy to show, what community.general's plugin makes of the same machines is asserted
too: once it does better, this plugin may be less needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterops.virtualbox._vboxmanage_client import VBoxManage
from clusterops.virtualbox._vboxmanage_inventory import inventory as fast_inventory
from clusterops.virtualbox._vboxsettings import SettingsFiles
from tests.virtualbox.host import VirtualBoxHost
from tests.virtualbox.zoo import (
    HOSTILE_DESCRIPTION,
    ODD_NAMES,
    create,
    start_web_service,
)

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
PLUGIN = "clusterops.playground.virtualbox"
COMMUNITY = "community.general.virtualbox"
WARNING = """#!/bin/sh
cat <<'END'
WARNING: The character device /dev/vboxdrv does not exist.
    Please install the virtualbox-dkms package and the appropriate headers.
    You will not be able to start VMs until this problem is fixed.
END
exec {program} "$@"
"""


class Ansible:
    """Runs `ansible-inventory` beside a VirtualBox."""

    def __init__(self, host: VirtualBoxHost, folder: Path) -> None:
        self._host = host
        self._folder = folder

    def run(
        self, options: dict[str, Any], *, plugin: str = PLUGIN, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        source = self._folder / "lab.virtualbox.yml"
        ours = {"executable": str(self._host.program)} if plugin == PLUGIN else {}
        source.write_text(json.dumps({"plugin": plugin, **ours, **options}))
        command = [str(Path(sys.executable).parent / "ansible-inventory"), "--list"]
        return subprocess.run(
            [*command, "-i", str(source)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": self._host.path(),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_INVENTORY_ENABLED": plugin,
                **environment,
            },
        )

    def inventory(self, options: dict[str, Any] | None = None, **more: str) -> dict[str, Any]:
        done = self.run(options or {}, **more)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def ansible(virtualbox: VirtualBoxHost, uuids: dict[str, str], tmp_path: Path) -> Ansible:
    return Ansible(virtualbox, tmp_path)


def plain(value: Any) -> Any:
    """Without the marks for text that may not be a template."""
    if isinstance(value, dict) and set(value) == {"__ansible_unsafe"}:
        return value["__ansible_unsafe"]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def by_uuid(inventory: dict[str, Any]) -> dict[str, dict[str, Any]]:
    hosts = plain(inventory["_meta"]["hostvars"])
    return {v["vbox_uuid"]: {**v, "host": host} for host, v in hosts.items()}


def hosts_of(inventory: dict[str, Any], group: str) -> list[str]:
    return list(inventory.get(group, {}).get("hosts", []))


def test_every_machine_and_nothing_else(ansible: Ansible, uuids: dict[str, str]) -> None:
    inventory = ansible.inventory()
    hosts = by_uuid(inventory)
    assert set(hosts) == set(uuids.values())
    for name in ODD_NAMES:
        assert hosts[uuids[name]]["vbox_name"] == name
    assert hosts[uuids["described"]]["vbox_description"] == HOSTILE_DESCRIPTION
    assert not {"injected", "evil", "vbox_group_injected"} & {*inventory, *hosts_all(inventory)}
    for state in ("running", "paused", "saved", "aborted"):
        assert hosts_of(inventory, f"state_{state}") == [state]
    assert hosts_of(inventory, "state_inaccessible") == [hosts[uuids["gone"]]["host"]]
    assert "ansible_host" not in hosts[uuids["gone"]]


def hosts_all(inventory: dict[str, Any]) -> set[str]:
    return {host for group in inventory.values() for host in group.get("hosts", [])}


def test_what_the_other_plugin_makes_of_them(ansible: Ansible, uuids: dict[str, str]) -> None:
    lenient = {"plugin": COMMUNITY, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "0"}
    done = ansible.run({}, **lenient)
    assert done.returncode == 0
    hosts = json.loads(done.stdout)["_meta"]["hostvars"]
    assert "comma, separated" not in hosts
    assert len(hosts) < len(uuids)
    failing = ansible.run({}, **lenient, PATH=broken(ansible))
    assert failing.returncode == 0
    assert json.loads(failing.stdout)["_meta"]["hostvars"] == {}


def broken(ansible: Ansible) -> str:
    folder = ansible._folder / "broken"
    folder.mkdir(exist_ok=True)
    (folder / "VBoxManage").write_text("#!/bin/sh\necho 'VBoxManage: error: no' >&2; exit 1\n")
    (folder / "VBoxManage").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_failing_vboxmanage_is_an_error(ansible: Ansible) -> None:
    program = broken(ansible).split(os.pathsep)[0] + "/VBoxManage"
    for executable, text in (
        (program, "exit code 1"),
        ("/nowhere/VBoxManage", "cannot be started"),
    ):
        done = ansible.run({"executable": executable}, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="1")
        assert done.returncode != 0
        assert text in done.stderr
        assert "Traceback" not in done.stderr
        warned = ansible.run({"executable": executable, "on_error": "warn"})
        assert warned.returncode == 0
        assert "adds no hosts" in warned.stderr


def test_the_locale_and_the_wrappers_warning_do_not_matter(
    ansible: Ansible, virtualbox: VirtualBoxHost, uuids: dict[str, str], tmp_path: Path
) -> None:
    wrapper = tmp_path / "VBoxManage"
    wrapper.write_text(WARNING.format(program=virtualbox.program))
    wrapper.chmod(0o755)
    expected = by_uuid(ansible.inventory())
    assert by_uuid(ansible.inventory({"executable": str(wrapper)})) == expected
    # Ansible itself refuses a locale without UTF-8; only VBoxManage would see this one.
    assert by_uuid(ansible.inventory(LC_ALL="", LC_CTYPE="C.UTF-8", LANG="C")) == expected


def test_how_hosts_are_reached(ansible: Ansible, uuids: dict[str, str]) -> None:
    hosts = by_uuid(ansible.inventory({"guest_networks": ["192.168.56.0/24"]}))

    def way(name: str) -> tuple[Any, Any]:
        found = hosts[uuids[name]]
        return found.get("ansible_host"), found.get("ansible_port")

    assert way("networks") == ("127.0.0.1", 2201)
    assert way("late") == ("127.0.0.1", 2230)
    assert way("running") == ("192.168.56.7", 22)
    assert way("plain") == (None, None)


def test_vm_groups(ansible: Ansible) -> None:
    inventory = ansible.inventory({"only_groups": ["/lab"]})
    assert hosts_of(inventory, "vbox_group_lab_agents") == ["networks"]
    assert inventory["vbox_group_lab"]["children"] == ["vbox_group_lab_agents"]
    assert set(hosts_of(inventory, "vbox_group_lab")) == {"running", "paused", "saved", "aborted"}


def test_the_web_service_gives_the_same(ansible: Ansible, url: str) -> None:
    for options in ({}, {"details": ["forwards", "nics", "snapshots"]}):
        expected = ansible.inventory(options)
        assert ansible.inventory({**options, "web_service_url": url}) == expected
        # It was really asked: there is no other way here.
        alone = {"web_service_url": url, "executable": "/nowhere/VBoxManage"}
        assert ansible.inventory({**options, **alone}) == expected


def test_without_the_web_service_vboxmanage_is_asked(ansible: Ansible, url: str) -> None:
    nobody = {
        "web_service_url": url.replace("18083", "9"),
        "web_service_user": "gandalf",
        "web_service_password": "mellon",
    }
    done = ansible.run(nobody)
    assert done.returncode == 0
    assert "does not answer" in done.stderr
    assert "mellon" not in done.stderr + done.stdout
    assert json.loads(done.stdout) == ansible.inventory()


def test_a_wrong_password_is_an_error(
    ansible: Ansible, virtualbox: VirtualBoxHost, url: str
) -> None:
    guarded = start_web_service(virtualbox, "VBoxAuth", 18084)
    options = {"web_service_url": guarded, "web_service_user": "sam"}
    done = ansible.run(
        {**options, "web_service_password": "pot-ato"},
        ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="1",
    )
    assert done.returncode != 0
    assert "refuses the user" in done.stderr
    assert "pot-ato" not in done.stderr + done.stdout


def test_twins_are_both_there(
    ansible: Ansible, virtualbox: VirtualBoxHost, uuids: dict[str, str]
) -> None:
    other = create(virtualbox, "plain", "--groups=/other")
    try:
        done = ansible.run({"only_names": ["plain"]})
        hosts = by_uuid(json.loads(done.stdout))
        assert set(hosts) == {other, uuids["plain"]}
        assert {host["host"] for host in hosts.values()} == {
            f"plain-{uuid[:8]}" for uuid in (other, uuids["plain"])
        }
        assert "2 machines are called 'plain'" in done.stderr
    finally:
        virtualbox.manage("unregistervm", other, "--delete")


def test_settings_files_tell_what_vboxmanage_tells(
    manage: VBoxManage, virtualbox: VirtualBoxHost, uuids: dict[str, str]
) -> None:
    files = SettingsFiles(virtualbox.settings)
    for vm in manage.inventory():
        found = files.vm(vm.uuid)
        if vm.accessible and not vm.online:
            assert found is not None
            assert replace(found, os_type=vm.os_type) == vm
    assert fast_inventory(manage, files) == manage.inventory()
    assert fast_inventory(manage, SettingsFiles(Path("/nowhere"))) == manage.inventory()


def test_settings_files_save_questions(
    ansible: Ansible, virtualbox: VirtualBoxHost, uuids: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "asked"
    asking = tmp_path / "VBoxManage"
    asking.write_text(f'#!/bin/sh\necho "$*" >>{log}\nexec {virtualbox.program} "$@"\n')
    asking.chmod(0o755)
    options = {"executable": str(asking)}
    expected = ansible.inventory({**options, "settings_files": False})
    assert "list --long vms" in log.read_text()
    log.unlink()
    found = ansible.inventory(options, VBOX_USER_HOME=str(virtualbox.settings))
    assert found == expected
    assert "list --long vms" not in log.read_text()
    assert len(log.read_text().splitlines()) < len(uuids)
