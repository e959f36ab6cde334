# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a machine as they are wanted, and the arguments that bring them about. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ._vboxmanage_errors import Duplicate, InvalidArgument, InvalidRule
from ._vboxmanage_model import NatForward, Nic, Vm, is_uuid

# VirtualBox writes these into its XML, which cannot hold them, or ends (U+FFFE).
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
_NAME_BYTES = 200
# VirtualBox's option for what an adapter of each kind is attached to.
_NETWORK_OPTIONS = {
    "bridged": "--bridgeadapter",
    "intnet": "--intnet",
    "hostonly": "--hostonlyadapter",
    "hostonlynetwork": "--host-only-net",
    "natnetwork": "--nat-network",
    "generic": "--nicgenericdrv",
}
ATTACHMENTS = ("nat", "null", "none", *_NETWORK_OPTIONS)
# What VBoxManage calls differently when it sets it.
_KINDS = {"hostonlynetwork": "hostonlynet"}


@dataclass(frozen=True)
class WantedNic:
    """An adapter as it is to be; ``network`` and ``mac`` may be left to VirtualBox (None)."""

    number: int
    attachment: str
    network: str | None = None
    mac: str | None = None

    def check(self) -> WantedNic:
        """This, with the MAC address in VirtualBox's form. Raises InvalidArgument."""
        where = f"The adapter {self.number}"
        if not 1 <= self.number <= 36:
            raise InvalidArgument(f"{where} does not exist", "Adapters are numbered from 1 to 36.")
        if self.attachment not in ATTACHMENTS:
            raise InvalidArgument(
                f"{where} has the attachment {self.attachment!r}",
                f"It is {', '.join(ATTACHMENTS)}.",
            )
        needs = self.attachment in _NETWORK_OPTIONS
        if needs != bool(self.network):
            raise InvalidArgument(
                f"{where} has the attachment {self.attachment!r} "
                f"{'without' if needs else 'and also'} a network",
                f"A network is named for {', '.join(_NETWORK_OPTIONS)} only.",
            )
        checked_text(self.network or "", f"The network of the adapter {self.number}", lines=False)
        if self.mac is None:
            return self
        mac = re.sub(r"[:.-]", "", self.mac).upper()
        if not re.fullmatch(r"[0-9A-F][02468ACE][0-9A-F]{10}", mac):
            raise InvalidArgument(
                f"{where} has the MAC address {self.mac!r}",
                "It is 12 hexadecimal digits, of which the second is even.",
            )
        return replace(self, mac=mac)


@dataclass(frozen=True)
class Wanted:
    """Settings of a machine; None leaves a setting as it is. Memory in MB.

    ``forwards`` is the whole set; adapters that ``nics`` does not list stay as they are.
    """

    name: str = ""
    groups: tuple[str, ...] | None = None
    cpus: int | None = None
    cpu_cap_percent: int | None = None
    memory_mb: int | None = None
    os_type: str | None = None
    description: str | None = None
    nics: tuple[WantedNic, ...] | None = None
    forwards: tuple[NatForward, ...] | None = None

    def check(self) -> Wanted:
        """This, in VirtualBox's forms. Raises InvalidArgument, InvalidRule or Duplicate."""
        if self.name:
            checked_name(self.name)
        for what, number, least, most in (
            ("CPUs", self.cpus, 1, 64),
            ("percent of a CPU", self.cpu_cap_percent, 1, 100),
            ("MB of memory", self.memory_mb, 4, 2097152),
        ):
            if number is not None and not least <= number <= most:
                raise InvalidArgument(
                    f"A machine cannot have {number} {what}", f"It is {least} to {most}."
                )
        if self.groups is not None and not self.groups:
            return replace(self, groups=("/",)).check()
        for group in self.groups or ():
            checked_group(group)
        description = self.description
        if description is not None:
            description = checked_text(description.replace("\r\n", "\n"), "The description")
        nics = self.nics
        if nics is not None:
            nics = tuple(nic.check() for nic in nics)
            if len({nic.number for nic in nics}) != len(nics):
                raise InvalidArgument("An adapter is listed twice", "List each number once.")
        _check_together([forward.check() for forward in self.forwards or ()])
        return replace(self, description=description, nics=nics)

    def for_clone(self) -> Wanted:
        """With defaults for what a clone otherwise shares with its original by accident.

        Two machines with the same forwards cannot run together, and one in its original's
        groups is taken for a member of them.
        """
        return replace(
            self,
            groups=("/",) if self.groups is None else self.groups,
            forwards=() if self.forwards is None else self.forwards,
        )


@dataclass(frozen=True)
class Change:
    """A setting that differs.

    Args:
        field: of :class:`Vm`, with its new ``value``.
        arguments: for ``modifyvm``.
        live: calls of ``controlvm`` that do it to a running machine; None if nothing does.
        saved: whether ``modifyvm`` does it to a machine with a saved state.
    """

    what: str
    field: str
    value: Any
    arguments: tuple[str, ...]
    live: tuple[tuple[str, ...], ...] | None = None
    saved: bool = False


def changes(wanted: Wanted, vm: Vm) -> tuple[Change, ...]:
    """What differs, in the order in which it has to be changed. Raises InvalidRule."""
    found = []
    if wanted.name and wanted.name != vm.name:
        found.append(Change("name", "name", wanted.name, ("--name", wanted.name), saved=True))
    if wanted.groups is not None and set(wanted.groups) != set(vm.groups):
        arguments = ("--groups", ",".join(wanted.groups))
        found.append(Change("groups", "groups", wanted.groups, arguments, saved=True))
    if wanted.description is not None and wanted.description != vm.description:
        text = wanted.description
        found.append(
            Change("description", "description", text, ("--description", text), saved=True)
        )
    if wanted.os_type is not None and wanted.os_type != vm.os_type:
        found.append(Change("os_type", "os_type", wanted.os_type, ("--ostype", wanted.os_type)))
    if wanted.memory_mb is not None and wanted.memory_mb != vm.memory_mb:
        number = str(wanted.memory_mb)
        found.append(Change("memory_mb", "memory_mb", wanted.memory_mb, ("--memory", number)))
    if wanted.cpus is not None and wanted.cpus != vm.cpus:
        found.append(Change("cpus", "cpus", wanted.cpus, ("--cpus", str(wanted.cpus))))
    cap = wanted.cpu_cap_percent
    if cap is not None and cap != vm.cpu_cap_percent:
        live = (("cpuexecutioncap", str(cap)),)
        arguments = ("--cpuexecutioncap", str(cap))
        found.append(Change("cpu_cap_percent", "cpu_cap_percent", cap, arguments, live))
    nics = _nics(wanted, vm)
    found += nics
    if wanted.forwards is not None:
        after = changed(vm, tuple(nics))
        found += _forwards(wanted.forwards, vm, after)
    return tuple(found)


def changed(vm: Vm, differences: tuple[Change, ...]) -> Vm:
    """The machine after these changes."""
    for change in differences:
        vm = replace(vm, **{change.field: change.value})
    return vm


def checked_name(name: str) -> str:
    """A name that VirtualBox can give a machine, later too. Raises InvalidArgument."""
    checked_text(name, "The machine's name")
    if "\t" in name or not name.strip() or is_uuid(name.strip("{}")):
        raise InvalidArgument(
            f"A machine cannot be called {name!r}", "A name has letters and is no UUID."
        )
    if "/" in name or name in (".", "..") or name == "<inaccessible>":
        # createvm replaces them in the folder's name, a later renaming fails on them.
        raise InvalidArgument(
            f"A machine cannot be called {name!r}", "A name has no '/' and names no folder."
        )
    if len(name.encode()) > _NAME_BYTES:
        raise InvalidArgument(
            f"The name {name[:40]!r}... has more than {_NAME_BYTES} bytes", "Choose a shorter name."
        )
    return name


def checked_group(group: str) -> str:
    """A group as VirtualBox takes it. Raises InvalidArgument."""
    checked_text(group, "The group", lines=False)
    parts = group.split("/")[1:] if group != "/" else ["root"]
    wrong = any(part in ("", ".", "..") or part != part.strip() for part in parts)
    if not group.startswith("/") or "," in group or wrong:
        raise InvalidArgument(
            f"A group cannot be called {group!r}",
            "A group is a path such as /playground/agents, without commas.",
        )
    return group


def checked_text(text: str, what: str, *, lines: bool = True) -> str:
    """Text that VirtualBox keeps as it is. Raises InvalidArgument."""
    match = _UNWRITABLE.search(text)
    if match or (not lines and re.search(r"[\t\n]", text)):
        bad = match.group() if match else "\n"
        raise InvalidArgument(
            f"{what} has the character {bad!r}, which VirtualBox cannot store", "Leave it out."
        )
    return text


def _check_together(forwards: list[NatForward]) -> None:
    names: set[tuple[int, str]] = set()
    ends: dict[tuple[str, str, int], str] = {}
    for forward in forwards:
        name = (forward.nic, forward.name)
        end = (forward.protocol, forward.host_ip, forward.host_port)
        if name in names or end in ends:
            what = f"name {forward.name!r}" if name in names else f"host port {forward.host_port}"
            raise Duplicate(f"Two of the NAT forwards have the {what}")
        names.add(name)
        ends[end] = forward.name


def _nics(wanted: Wanted, vm: Vm) -> list[Change]:
    found = []
    nics = {nic.number: nic for nic in vm.nics}
    for nic in wanted.nics or ():
        old = nics.get(nic.number)
        mac = nic.mac or (old.mac if old else "")
        # The address range of a NAT adapter is its network too; it stays.
        same = old is not None and old.attachment == nic.attachment
        new = Nic(
            nic.number,
            nic.attachment,
            nic.network or (old.network if old and same else ""),
            mac,
            old.adapter_type if old else "",
            old.cable_connected if old else True,
        )
        if new == old or (old is None and nic.attachment == "none"):
            continue
        if nic.attachment == "none":
            del nics[nic.number]
        else:
            nics[nic.number] = new
        arguments = [f"--nic{nic.number}", _KINDS.get(nic.attachment, nic.attachment)]
        if nic.network:
            arguments += [f"{_NETWORK_OPTIONS[nic.attachment]}{nic.number}", nic.network]
        if nic.mac:
            arguments += [f"--macaddress{nic.number}", nic.mac]
        live = None
        if old is not None and nic.attachment != "none" and mac == old.mac:
            # A running machine keeps its adapters; only what they are attached to changes.
            kind = _KINDS.get(nic.attachment, nic.attachment)
            live = ((f"nic{nic.number}", kind, *([nic.network] if nic.network else [])),)
        value = tuple(nics[number] for number in sorted(nics))
        found.append(Change(f"nics ({nic.number})", "nics", value, tuple(arguments), live))
    return found


def _forwards(wanted: tuple[NatForward, ...], vm: Vm, after: Vm) -> list[Change]:
    attachments = {nic.number: nic.attachment for nic in after.nics}
    for forward in wanted:
        # A machine that is about to be made has one adapter, with NAT.
        kind = attachments.get(
            forward.nic, "nat" if not after.uuid and forward.nic == 1 else "none"
        )
        if kind != "nat":
            raise InvalidRule(
                f"The NAT forward {forward.name!r} belongs to the adapter {forward.nic}, whose "
                f"attachment is {kind}",
                "Forwards need an adapter with the attachment 'nat'.",
            )
    gone = [forward for forward in vm.forwards if forward not in wanted]
    new = [forward for forward in wanted if forward not in vm.forwards]
    if not gone and not new:
        return []
    arguments: list[str] = []
    live: list[tuple[str, ...]] = []
    # Removed first: a new one may take the name or port of an old one.
    for forward in gone:
        arguments += [f"--natpf{forward.nic}", "delete", forward.name]
        live.append((f"natpf{forward.nic}", "delete", forward.name))
    for forward in new:
        arguments += [f"--natpf{forward.nic}", forward.to_argument()]
        live.append((f"natpf{forward.nic}", forward.to_argument()))
    value = tuple(sorted(wanted, key=lambda forward: (forward.nic, forward.name)))
    change = Change("nat_forwards", "forwards", value, tuple(arguments), tuple(live), saved=True)
    return [change]
