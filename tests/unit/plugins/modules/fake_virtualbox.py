# SPDX-License-Identifier: GPL-3.0-or-later
"""A VirtualBox made of values: what the client offers, with the effects of its commands."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage import select
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_errors import (
    NotFound,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_model import (
    NatForward,
    Nic,
    Snapshot,
    Vm,
    VmRef,
    forward_from,
)

NAT = Nic(1, "nat", "", "080027000001", "82540EM", True)
FRESH = Vm("", "", "poweroff", ("/",), cpus=1, memory_mb=128, os_type="Other/Unknown", nics=(NAT,))
OFF = {"poweroff": "poweroff", "pause": "paused", "resume": "running", "savestate": "saved"}
TYPES = "ID / Description: Debian_64 -- Debian (64-bit)\n"


class FakeVirtualBox:
    """``changes`` are the commands that changed anything; ``fail`` may raise for a command."""

    def __init__(self) -> None:
        self.machines: dict[str, Vm] = {}
        self.changes: list[str] = []
        self.now = 0.0
        self.obeys_button_after_s: float | None = None
        self.fail: Callable[[str], None] = lambda command: None
        self._off_at: dict[str, float] = {}

    def add(self, name: str, **fields: object) -> str:
        uuid = str(uuids.uuid4())
        self.machines[uuid] = replace(FRESH, uuid=uuid, name=name, **fields)  # type: ignore[arg-type]
        return uuid

    def names(self) -> list[str]:
        return sorted(vm.name for vm in self.machines.values())

    def named(self, name: str) -> Vm:
        return self.machines[select(self.vms(), name).uuid]

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for uuid, when in list(self._off_at.items()):
            if self.now >= when:
                self.machines[uuid] = replace(self.machines[uuid], state="poweroff")
                del self._off_at[uuid]

    # What the client has

    def vms(self) -> tuple[VmRef, ...]:
        return tuple(VmRef(vm.name, vm.uuid) for vm in self.machines.values())

    def inventory(self) -> tuple[Vm, ...]:
        return tuple(self.machines.values())

    def details(self, uuid: str) -> Vm:
        if uuid not in self.machines:
            raise NotFound(f"There is no machine {uuid}")
        return self.machines[uuid]

    vm = details

    def snapshots(self, uuid: str) -> tuple[Snapshot, ...]:
        return self.details(uuid).snapshots

    def start(self, uuid: str, *, timeout_s: float | None = None) -> None:
        self._changing("startvm")
        self.machines[uuid] = replace(self.details(uuid), state="running")

    def call(self, *arguments: str, timeout_s: float | None = None) -> str:
        if arguments[0] == "list":
            return TYPES if arguments[1] == "ostypes" else ""
        assert arguments[0] == "createvm"
        self._changing("createvm")
        given = dict(pairwise(arguments))
        groups = tuple(given["--groups"].split(","))
        uuid, name = given["--uuid"], given["--name"]
        self.machines[uuid] = replace(FRESH, uuid=uuid, name=name, groups=groups)
        return ""

    def on(self, uuid: str, command: str, *arguments: str, timeout_s: float | None = None) -> str:
        vm = self.details(uuid)
        self._changing(" ".join([command, *arguments[:1]] if command != "modifyvm" else [command]))
        if command == "modifyvm":
            assert not vm.online, "VirtualBox refuses this"
            self.machines[uuid] = modified(vm, list(arguments))
        elif command == "controlvm":
            self._control(vm, *arguments)
        elif command == "clonevm":
            given = dict(pairwise(arguments))
            copy = replace(vm, uuid=given["--uuid"], name=given["--name"], snapshots=())
            state = "saved" if vm.online and "--snapshot" in given else "poweroff"
            self.machines[copy.uuid] = replace(copy, state=state)
        elif command == "discardstate":
            self.machines[uuid] = replace(vm, state="poweroff")
        elif command == "unregistervm":
            del self.machines[uuid]
        elif command == "snapshot":
            return self._snapshot(vm, *arguments)
        return ""

    def _changing(self, command: str) -> None:
        self.fail(command)
        self.changes.append(command)

    def _control(self, vm: Vm, what: str, *rest: str) -> None:
        assert vm.online, "VirtualBox refuses this"
        if what == "acpipowerbutton":
            if self.obeys_button_after_s is not None:
                self._off_at[vm.uuid] = self.now + self.obeys_button_after_s
        elif what in OFF:
            self.machines[vm.uuid] = replace(vm, state=OFF[what])
        elif what == "cpuexecutioncap":
            self.machines[vm.uuid] = replace(vm, cpu_cap_percent=int(rest[0]))
        elif what.startswith("natpf"):
            self.machines[vm.uuid] = modified(vm, [f"--{what}", *rest])
        elif what.startswith("nic"):
            number = what.removeprefix("nic")
            extra = [f"--{rest[0]}{number}", rest[1]] if rest[1:] else []
            self.machines[vm.uuid] = modified(vm, [f"--{what}", rest[0], *extra])
        else:
            assert what == "reset"

    def _snapshot(self, vm: Vm, what: str, name: str, *rest: str) -> str:
        given = dict(pairwise(rest))
        if what == "take":
            known = tuple(replace(one, current=False) for one in vm.snapshots)
            parent = vm.current_snapshot.uuid if vm.current_snapshot else None
            new = Snapshot(str(uuids.uuid4()), name, given["--description"], parent, True)
            self.machines[vm.uuid] = replace(vm, snapshots=(*known, new))
            return f"Snapshot taken. UUID: {new.uuid}\n"
        if what == "delete":
            left = tuple(one for one in vm.snapshots if one.uuid != name)
        elif what == "edit":
            text = given["--description"]
            left = tuple(
                replace(one, description=text) if one.uuid == name else one for one in vm.snapshots
            )
        else:
            assert what == "restore" and not vm.online
            left = tuple(replace(one, current=one.uuid == name) for one in vm.snapshots)
        self.machines[vm.uuid] = replace(vm, snapshots=left)
        return ""


def modified(vm: Vm, words: list[str]) -> Vm:
    """A machine after ``modifyvm`` with these words."""
    simple = {"--name": "name", "--description": "description", "--ostype": "os_type"}
    numbers = {"--memory": "memory_mb", "--cpus": "cpus", "--cpuexecutioncap": "cpu_cap_percent"}
    while words:
        option = words.pop(0)
        if option.startswith("--natpf"):
            nic, value = int(option.removeprefix("--natpf")), words.pop(0)
            if value == "delete":
                name = words.pop(0)
                keep = tuple(f for f in vm.forwards if (f.nic, f.name) != (nic, name))
                assert len(keep) < len(vm.forwards), "VirtualBox refuses this"
                vm = replace(vm, forwards=keep)
            else:
                vm = replace(vm, forwards=_sorted((*vm.forwards, forward_from(value, nic))))
        elif option == "--groups":
            vm = replace(vm, groups=tuple(words.pop(0).split(",")))
        elif option in simple:
            vm = replace(vm, **{simple[option]: words.pop(0)})
        elif option in numbers:
            vm = replace(vm, **{numbers[option]: int(words.pop(0))})
        else:
            vm = _with_nic(vm, option, words.pop(0))
    return vm


def _sorted(forwards: tuple[NatForward, ...]) -> tuple[NatForward, ...]:
    return tuple(sorted(forwards, key=lambda one: (one.nic, one.name)))


def _with_nic(vm: Vm, option: str, value: str) -> Vm:
    kind, number = option.rstrip("0123456789"), int(option.lstrip("-abcdefghijklmnopqrstuvwxyz"))
    nics = {nic.number: nic for nic in vm.nics}
    old = nics.get(number, replace(NAT, number=number, mac=f"08002700000{number}"))
    if kind == "--nic":
        nics[number] = replace(old, attachment=value, network="")
        if value == "none":
            del nics[number]
    elif kind == "--macaddress":
        nics[number] = replace(old, mac=value)
    else:
        nics[number] = replace(old, network=value)
    return replace(vm, nics=tuple(nics[key] for key in sorted(nics)))
