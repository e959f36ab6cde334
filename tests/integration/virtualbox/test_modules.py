# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules against real VirtualBox: machines that are made, run, are killed and go again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.virtualbox.host import VirtualBoxHost
from tests.virtualbox.modules import ROOT, Modules

pytestmark = pytest.mark.integration

SSH = {"name": "ssh", "host_port": 42201, "guest_port": 22}
WEB = {"name": "web x", "host_port": 42280, "guest_port": 80, "host_ip": ""}
FORM: dict[str, Any] = {
    "cpus": 2,
    "cpu_cap_percent": 50,
    "memory_mb": 48,
    "groups": ["/lab/one", "/two words"],
    "description": '--description with "quotes"\nand a second line',
    "os_type": "Debian_64",
    "nat_forwards": [SSH, WEB],
    "nics": [
        {"number": 1, "attachment": "nat"},
        {"number": 2, "attachment": "intnet", "network": "-net x", "mac": "0a:00:27:00:00:01"},
    ],
}


@pytest.fixture
def modules(virtualbox: VirtualBoxHost) -> Modules:
    return Modules(executable=str(virtualbox.program), timeout_s=60)


def remove(modules: Modules, *names: str) -> None:
    for name in names:
        modules.vm(name, state="absent", force=True)


def test_create_change_rename_remove(modules: Modules) -> None:
    foretold = modules.vm("--web", check=True, **FORM)
    assert foretold["changed"] and modules.vms() == []
    made = modules.vm("--web", **FORM)
    assert made["steps"] == ["create"]
    # Check mode said the same, as far as anyone could know.
    for key in ("name", "state", "groups", "cpus", "memory_mb", "os_type", "forwards"):
        assert foretold["diff"]["after"][key] == made["diff"]["after"][key], key
    assert not modules.vm("--web", **FORM)["changed"]
    assert modules.vms() == [made["vm"]]
    assert made["vm"]["description"] == FORM["description"]
    assert made["vm"]["nics"][1]["network"] == "-net x"

    changed = {"memory_mb": 64, "groups": [], "nat_forwards": [WEB], "description": ""}
    check = modules.vm("--web", check=True, **changed)
    assert modules.vms() == [made["vm"]]
    after = modules.vm("--web", **changed)
    assert after["diff"] == check["diff"]
    assert after["diff"]["before"]["memory_mb"] == 48
    assert not modules.vm("--web", **changed)["changed"]

    renamed = modules.vm("--web", rename_to='say "hi"\n--now')
    assert renamed["vm"]["uuid"] == made["vm"]["uuid"]
    assert not modules.vm("--web", rename_to='say "hi"\n--now')["changed"]
    assert modules.vm('say "hi"\n--now', state="absent", check=True)["changed"]
    assert modules.vm('say "hi"\n--now', state="absent")["changed"]
    assert not modules.vm('say "hi"\n--now', state="absent")["changed"]
    assert modules.vms() == []


def test_power(modules: Modules, virtualbox: VirtualBoxHost) -> None:
    def go(state: str, **more: Any) -> tuple[bool, str]:
        foretold = modules.vm("power", state=state, check=True, **more)
        done = modules.vm("power", state=state, **more)
        assert (foretold["steps"], foretold["vm"]["state"]) == (done["steps"], done["vm"]["state"])
        return done["changed"], done["vm"]["state"]

    assert go("started", memory_mb=32, nat_forwards=[SSH]) == (True, "running")
    assert go("started") == (False, "running")
    assert go("paused") == (True, "paused")
    assert go("paused") == (False, "paused")
    assert go("started") == (True, "running")
    assert go("reset") == (True, "running")
    assert go("saved") == (True, "saved")
    assert go("saved") == (False, "saved")
    assert go("stopped") == (False, "saved")
    assert go("started") == (True, "running")

    # While it runs: what VirtualBox can do, and a clear word about what it cannot.
    uuid = modules.vms()[0]["uuid"]
    live = modules.vm("power", cpu_cap_percent=40, nat_forwards=[WEB, {**SSH, "guest_port": 23}])
    assert (live["steps"], live["vm"]["state"]) == (["control"], "running")
    assert {rule["name"]: rule["guest_port"] for rule in live["vm"]["forwards"]} == {
        "ssh": 23,
        "web x": 80,
    }
    refused = modules("virtualbox_vm", name="power", memory_mb=40, description="x")
    assert refused["error"] == "InvalidState"
    assert "description, memory_mb" in refused["msg"] and "restart: true" in refused["msg"]
    again = modules.vm("power", memory_mb=40, restart=True, stop_grace_s=0)
    assert (again["vm"]["state"], again["vm"]["memory_mb"]) == ("running", 40)

    # A guest without a system does not obey its power button.
    assert go("stopped", stop_grace_s=0.5) == (True, "poweroff")
    assert go("stopped") == (False, "poweroff")
    assert go("started") == (True, "running")
    virtualbox.kill(uuid)
    assert modules.vms()[0]["state"] == "aborted"
    assert go("started") == (True, "running")
    held = modules("virtualbox_vm", name="power", state="absent")
    assert held["error"] == "InvalidState" and "force: true" in held["msg"]
    assert modules.vm("power", state="absent", force=True)["steps"] == ["poweroff", "remove"]
    assert modules.vms() == []


def test_clones_and_snapshots(modules: Modules, virtualbox: VirtualBoxHost) -> None:
    uuid = modules.vm("template", **{**FORM, "nics": [FORM["nics"][0]]})["vm"]["uuid"]
    disk = str(virtualbox.folder / "template.vdi")
    virtualbox.manage("createmedium", "disk", "--filename", disk, "--size", "4")
    virtualbox.manage("storagectl", uuid, "--name", "sata", "--add", "sata")
    virtualbox.manage(
        *("storageattach", uuid, "--storagectl", "sata", "--port", "0"),
        *("--type", "hdd", "--medium", disk),
    )
    assert modules.snapshot("template", "--base", check=True)["changed"]
    taken = modules.snapshot("template", "--base", description='-d "x"\ny')
    assert modules.vm("template")["vm"]["snapshots"] == [taken["snapshot"]]
    assert not modules.snapshot("template", "--base", description='-d "x"\ny')["changed"]
    assert modules.snapshot("template", "--base", description="z")["steps"] == ["edit"]

    linked = modules.vm("linked", clone_from="template", cpus=1)["vm"]
    assert (linked["groups"], linked["forwards"]) == (["/"], [])
    assert (linked["cpus"], linked["memory_mb"], linked["state"]) == (1, 48, "poweroff")
    assert "cloning" not in linked["config_file"]
    assert not modules.vm("linked", clone_from="template", cpus=1)["changed"]
    full = modules.vm("full", clone_from=uuid, clone_mode="full", groups=["/copies"])["vm"]
    assert (full["groups"], full["snapshots"]) == (["/copies"], [])

    for result in (
        modules("virtualbox_snapshot", vm="template", name="--base", state="absent"),
        modules("virtualbox_vm", name="template", state="absent"),
        modules("virtualbox_vm", name="template", state="absent", check=True, force=True),
    ):
        assert result["error"] == "InUse" and "linked clones" in result["msg"]
    # VirtualBox would have forgotten it here, and only then have failed.
    assert modules.vm("template")["vm"]["uuid"] == uuid

    modules.vm("linked", state="started")
    live = modules.snapshot("linked", "live", live=True)
    assert live["vm"]["state"] == "running"
    held = modules("virtualbox_snapshot", vm="linked", name="live", state="restored")
    assert held["error"] == "InvalidState" and "force: true" in held["msg"]
    back = modules.snapshot("linked", "live", state="restored", force=True)
    assert (back["steps"], back["vm"]["state"]) == (["poweroff", "restore"], "saved")
    # A clone of a running machine's snapshot does not go on as a second one of it.
    assert modules.vm("second", clone_from="linked", memory_mb=32)["vm"]["state"] == "poweroff"
    assert modules.vm("second", state="absent")["changed"]
    assert modules.snapshot("linked", "live", state="absent")["changed"]
    assert not modules.snapshot("linked", "live", state="absent")["changed"]
    remove(modules, "linked", "full", "template")
    assert modules.vms() == []
    assert "UUID" not in virtualbox.manage("list", "hdds")


def test_a_clone_that_was_cut_off_is_repaired(modules: Modules, virtualbox: VirtualBoxHost) -> None:
    uuid = modules.vm("template", memory_mb=32, nat_forwards=[SSH])["vm"]["uuid"]
    modules.snapshot("template", "base")
    # What remains of a run that ended between cloning and configuring.
    virtualbox.manage(
        *("clonevm", uuid, "--snapshot", "base", "--options", "Link", "--register"),
        *("--name", "web.cloning-0a1b2c3d"),
    )
    modules.vm("web", clone_from="template")
    assert sorted(vm["name"] for vm in modules.vms()) == ["template", "web"]
    remove(modules, "web", "template")


def test_a_busy_host_port_is_refused_before_the_start(modules: Modules) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        rule = {**SSH, "host_port": listener.getsockname()[1]}
        modules.vm("busy", memory_mb=32, nat_forwards=[rule])
        for check in (True, False):
            refused = modules("virtualbox_vm", name="busy", state="started", check=check)
            assert refused["error"] == "Duplicate" and str(rule["host_port"]) in refused["msg"]
        assert modules.vms()[0]["state"] == "poweroff"
    assert modules.vm("busy", state="started")["vm"]["state"] == "running"
    taken = modules("virtualbox_vm", name="other", nat_forwards=[rule])
    assert taken["error"] == "Duplicate" and "'busy'" in taken["msg"]
    remove(modules, "busy")
    assert modules.vms() == []


def test_fifty_machines(modules: Modules) -> None:
    numbers = range(1, 51)

    def options(number: int) -> dict[str, Any]:
        state = "started" if number <= 10 else "present"
        return {"state": state, "memory_mb": 16, "groups": [f"/fifty/{number % 5}"]}

    made = modules.many("virtualbox_vm", [{"name": f"agent {n}", **options(n)} for n in numbers])
    assert [result["msg"] for result in made if result.get("failed")] == []
    assert all(result["changed"] for result in made)
    found = modules.vms(group="/fifty")
    assert sorted(vm["uuid"] for vm in found) == sorted(result["vm"]["uuid"] for result in made)
    assert sum(vm["state"] == "running" for vm in found) == 10
    assert len(modules.vms(group="/fifty/3", states=["poweroff"])) == 8
    gone = modules.many(
        "virtualbox_vm",
        [{"name": f"agent {n}", "state": "absent", "force": True} for n in numbers],
    )
    assert [result["msg"] for result in gone if result.get("failed")] == []
    assert all(result["changed"] for result in gone)
    assert modules.vms() == []


PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    clusterops.playground.virtualbox_vm: {{executable: {program}, timeout_s: 60}}
    clusterops.playground.virtualbox_snapshot: {{executable: {program}}}
    clusterops.playground.virtualbox_vm_info: {{executable: {program}}}
  tasks:
    - clusterops.playground.virtualbox_vm:
        name: played
        memory_mb: 32
        state: started
        nat_forwards: [{{name: ssh, host_port: 42207, guest_port: 22}}]
    - clusterops.playground.virtualbox_snapshot: {{vm: played, name: base, live: true}}
    - clusterops.playground.virtualbox_vm_info: {{guest_properties: true}}
      register: found
    - ansible.builtin.assert:
        that:
          - found.vms | length == 1
          - found.vms[0].snapshots[0].name == 'base'
"""


def play(virtualbox: VirtualBoxHost, folder: Path, *arguments: str) -> dict[str, int]:
    path = folder / "play.yml"
    (folder / "ansible.cfg").touch()
    path.write_text(PLAY.format(program=virtualbox.program))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", path, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_LOCAL_TEMP": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    stats: dict[str, int] = json.loads(done.stdout[done.stdout.index("{") :])["stats"]["localhost"]
    return stats


def test_a_playbook_and_its_second_run(
    modules: Modules, virtualbox: VirtualBoxHost, tmp_path: Path
) -> None:
    assert play(virtualbox, tmp_path)["changed"] == 2
    assert play(virtualbox, tmp_path)["changed"] == 0
    remove(modules, "played")
