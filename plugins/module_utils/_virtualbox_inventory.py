# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VirtualBox's machines as hosts, groups and variables. Pure: values in, values out."""

from __future__ import annotations

import fnmatch
import hashlib
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._vboxmanage_model import GuestProperty, NatForward, Vm

Machine = dict[str, Any]

GROUP_PREFIX = "vbox_group_"
# A name that is no host pattern, no path and no option; letters of any script.
_SAFE_NAME = re.compile(r"\w[\w.-]{0,199}")
_UNSAFE = re.compile(r"[^\w.-]+")
# Ansible means something else by these.
_RESERVED = frozenset(["all", "ungrouped", "localhost", "127.0.0.1", "::1"])
_GUEST_ADDRESS = re.compile(r"/VirtualBox/GuestInfo/Net/([0-9]{1,4})/(V4/IP|MAC)")
# What a forward listens on when it listens everywhere.
_ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound
GUEST_ADDRESSES = "/VirtualBox/GuestInfo/Net/*"


@dataclass(frozen=True)
class Ssh:
    """Which NAT forward is the one for ssh, and how hosts are reached otherwise.

    Args:
        rule: the forward's name; None for any name.
        networks: where a guest's address is to be, best first; none means anywhere.
        forward_host: where a forward that listens everywhere is reached.
        order: "forward" and "guest", the better one first.
    """

    guest_port: int = 22
    rule: str | None = None
    networks: tuple[str, ...] = ()
    forward_host: str = "127.0.0.1"
    order: tuple[str, ...] = ("forward", "guest")

    def is_way(self, forward: NatForward) -> bool:
        """Whether this forward leads to the guest's ssh server."""
        return (
            forward.protocol == "tcp"
            and forward.guest_port == self.guest_port
            and 1 <= forward.host_port <= 65535
            and self.rule in (None, forward.name)
        )

    def needs_address(self, vm: Vm) -> bool:
        """Whether only the machine itself can tell how it is reached."""
        if vm.state != "running" or "guest" not in self.order:
            return False
        return self.order[0] == "guest" or not any(map(self.is_way, vm.forwards))

    def connection(self, vm: Vm, address: str) -> dict[str, Any]:
        """ansible_host and ansible_port, or nothing."""
        for way in self.order:
            if way == "guest" and address:
                return {"ansible_host": address, "ansible_port": self.guest_port}
            if way == "forward":
                forward = next(filter(self.is_way, vm.forwards), None)
                if forward:
                    somewhere = forward.host_ip not in _ANYWHERE
                    host = forward.host_ip if somewhere else self.forward_host
                    return {"ansible_host": host, "ansible_port": forward.host_port}
        return {}

    def address(self, vm: Vm, properties: Iterable[GuestProperty]) -> str:
        """The best of the addresses that the guest reports; empty if none can be reached."""
        behind_nat = {nic.mac.lower() for nic in vm.nics if nic.attachment == "nat"}
        found: dict[int, dict[str, str]] = {}
        for item in properties:
            if match := _GUEST_ADDRESS.fullmatch(item.name):
                found.setdefault(int(match.group(1)), {})[match.group(2)] = item.value
        addresses = [
            entry["V4/IP"]
            for entry in (found[number] for number in sorted(found))
            if _is_address(entry.get("V4/IP", ""))
            and entry.get("MAC", "").lower() not in behind_nat
        ]
        if not self.networks:
            return addresses[0] if addresses else ""
        for network in map(ipaddress.ip_network, self.networks):
            for address in addresses:
                if ipaddress.ip_address(address) in network:
                    return address
        return ""


@dataclass(frozen=True)
class Filters:
    """Which machines become hosts; what is empty lets all pass."""

    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    states: tuple[str, ...] = ()

    def accept(self, machine: Machine) -> bool:
        """Whether a machine passes all of them."""
        if self.states and machine["vbox_state"] not in self.states:
            return False
        name = machine["vbox_name"]
        if self.names and not any(fnmatch.fnmatchcase(name, it) for it in self.names):
            return False
        return not self.groups or any(
            group == wanted or group.startswith(wanted.rstrip("/") + "/")
            for group in machine["vbox_groups"]
            for wanted in self.groups
        )


def machine_from(
    vm: Vm, connection: Mapping[str, Any], address: str, details: Sequence[str]
) -> Machine:
    """A machine's variables; plain values that a cache can keep."""
    machine: Machine = {
        "vbox_uuid": vm.uuid,
        "vbox_name": vm.name,
        "vbox_state": vm.state,
        "vbox_groups": list(vm.groups),
        **connection,
    }
    if not vm.accessible:
        return machine
    machine.update(
        vbox_cpus=vm.cpus,
        vbox_memory_mb=vm.memory_mb,
        vbox_os_type=vm.os_type,
        vbox_description=vm.description,
    )
    if address:
        machine["vbox_guest_address"] = address
    for detail in details:
        machine[f"vbox_{detail}"] = [dict(vars(item)) for item in getattr(vm, detail)]
    return machine


def host_names(machines: Sequence[Machine], groups: Iterable[str]) -> tuple[list[str], list[str]]:
    """A name for each host in the order of the machines, and what a person should know.

    A machine's own name, if it is the only one that has it and Ansible takes it for nothing
    else. Otherwise with the start of its UUID, which it keeps whatever other machines do.
    """
    taken = _RESERVED | set(groups)
    times = Counter(machine["vbox_name"] for machine in machines)
    level: dict[str, int] = {}
    for machine in machines:
        name = machine["vbox_name"]
        odd = not _SAFE_NAME.fullmatch(name) or name in taken
        level[machine["vbox_uuid"]] = int(odd or times[name] > 1)
    while True:
        names = [_host_name(machine, level[machine["vbox_uuid"]]) for machine in machines]
        again = {name for name, count in Counter(names).items() if count > 1}
        if not again:
            break
        for machine, name in zip(machines, names, strict=True):
            if name in again:
                level[machine["vbox_uuid"]] = min(2, level[machine["vbox_uuid"]] + 1)
    warnings = [
        f"{count} machines are called {name!r}: "
        + ", ".join(
            host
            for host, machine in zip(names, machines, strict=True)
            if machine["vbox_name"] == name
        )
        + " are their names in the inventory."
        for name, count in times.items()
        if count > 1 and name != "<inaccessible>"
    ]
    return names, warnings


def group_names(paths: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """An Ansible group for each VM group's path and those above it, and warnings.

    Paths whose names would be the same get a piece of their checksum: a play for one must not
    reach the machines of the other.
    """
    all_paths: dict[str, None] = {}
    for path in paths:
        parts = [part for part in path.split("/") if part]
        for end in range(1, len(parts) + 1):
            all_paths["/" + "/".join(parts[:end])] = None
    simple = {path: GROUP_PREFIX + re.sub(r"[^A-Za-z0-9_]", "_", path[1:]) for path in all_paths}
    times = Counter(simple.values())
    warnings = []
    for path, name in simple.items():
        if times[name] > 1:
            checksum = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()
            simple[path] = f"{name}_{checksum[:8]}"
            warnings.append(
                f"The group {path!r} is called {simple[path]} in the inventory, because another "
                f"one would be called {name}, too."
            )
    return simple, warnings


def parent_of(path: str) -> str:
    """The path of the group above, empty at the top."""
    return path.rpartition("/")[0]


def state_group(state: str) -> str:
    """The group of all machines in a state."""
    return "state_" + re.sub(r"[^a-z0-9_]", "_", state)


def _host_name(machine: Machine, level: int) -> str:
    name, uuid = machine["vbox_name"], machine["vbox_uuid"]
    if level == 0:
        return str(name)
    safe = _UNSAFE.sub("_", name).strip("_.-")[:60] or "vm"
    return f"{safe}-{uuid if level > 1 else uuid[:8]}"


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback or address.is_link_local)
