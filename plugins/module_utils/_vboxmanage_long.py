# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All machines' details from one call: ``VBoxManage list --long vms``.

That output escapes nothing, so a name or description can imitate a machine. It is read
together with ``list vms``; wherever the two differ, or a machine's text allows two readings,
the UUID is reported as doubtful, and ``showvminfo --machinereadable`` has to decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from ._vboxmanage import parse_snapshot_tree, without_warning
from ._vboxmanage_errors import MalformedOutput
from ._vboxmanage_model import (
    UUID,
    NatForward,
    Nic,
    Vm,
    VmRef,
    inaccessible,
    moment_from,
    number_from,
    state_from,
)

_START = re.compile(r"^Name: {5,}", re.MULTILINE)
_OWN_UUID = re.compile(rf"^UUID: {{5,}}({UUID})$", re.MULTILINE)
_NAME = re.compile(r"Name: {24}(.*?)\n(?=(?:Encryption|Groups): {5,})", re.DOTALL)
_FIELD = re.compile(r"^([A-Z0-9][^:\n]{1,40}): *(.*)$", re.MULTILINE)
_STATE = re.compile(r"(.+?) \(since ([0-9T:.Z-]+)\)")
# What a line before the description looks like; others come from a name with a line break.
_KNOWN_LINE = re.compile(r"[A-Za-z0-9][^:]{1,40}:|[ \t]|#\d+: '|$")
_NIC = re.compile(
    r"^NIC ([0-9]{1,3}): +MAC: ([0-9A-F]{12}), Attachment: (.*), Cable connected: (on|off), "
    r"Trace: .*?, Type: ([^,\n]+), ",
    re.MULTILINE,
)
_RULE = re.compile(
    r"^NIC ([0-9]{1,3}) Rule\([0-9]+\): +name = (.*?), protocol = (\w+), host ip = ([^\n]*?), "
    r"host port = ([0-9]+), guest ip = ([^\n]*?), guest port = ([0-9]+)$",
    re.MULTILINE | re.DOTALL,
)
_ATTACHMENTS = (
    (re.compile(r"NAT(?: \((.*)\))?"), "nat"),
    (re.compile(r"Bridged Interface '(.*)'"), "bridged"),
    (re.compile(r"Internal Network '(.*)'"), "intnet"),
    (re.compile(r"Host-only Interface '(.*)'"), "hostonly"),
    (re.compile(r"Host Only Network '(.*)'"), "hostonlynetwork"),
    (re.compile(r"NAT Network '(.*)'"), "natnetwork"),
    (re.compile(r"Generic '(.*?)'.*"), "generic"),
    (re.compile(r"Cloud Network '(.*)'"), "cloud"),
    (re.compile(r"none()"), "null"),
)
# Each appears once in a machine's text; a second one was put there by a name.
_ONCE = ("Name", "Groups", "UUID", "Config file", "Memory size", "Number of CPUs", "State")
# An entry of `list vms` inside a name or description could stand in both outputs.
_LISTED = re.compile(rf'" \{{{UUID}\}}\n')


@dataclass(frozen=True)
class LongList:
    """Machines in the order of ``list vms``, and the UUIDs to ask for one by one."""

    vms: tuple[Vm, ...]
    doubtful: tuple[str, ...]


def parse_long(stdout: str, refs: tuple[VmRef, ...]) -> LongList:
    """Read ``list --long vms`` against what ``list vms`` gave at the same time.

    Every UUID of ``refs`` is either among the machines or doubtful; a machine that only the
    long list knows is new or imitated, so it is doubtful too.
    """
    text = without_warning(stdout)
    found: dict[str, Vm] = {}
    doubtful: dict[str, None] = {}
    names = {ref.uuid: ref.name for ref in refs}
    before = None
    for record in _records(text):
        match = _OWN_UUID.search(record)
        if match is None:
            continue
        uuid = match.group(1).lower()
        try:
            vm, clear = _vm(record, uuid)
        except MalformedOutput:
            vm, clear = inaccessible(uuid), False
        same = not vm.accessible or names.get(uuid) == vm.name
        if uuid in found or uuid not in names or not (clear and same):
            # If it is imitated, then by a text of the machine before it, which it cut short.
            doubtful.update(dict.fromkeys([uuid, before or uuid]))
        found[uuid] = vm
        before = uuid
    if len(names) != len(refs) or _LISTED.search(text):
        doubtful.update(dict.fromkeys([*names, *found]))
    doubtful.update(dict.fromkeys(uuid for uuid in names if uuid not in found))
    vms = tuple(found[uuid] for uuid in names if uuid in found and uuid not in doubtful)
    return LongList(vms, tuple(doubtful))


def _records(text: str) -> list[str]:
    """Pieces from one machine's name to the next; a piece without UUID belongs to a text."""
    starts = [match.start() for match in _START.finditer(text)]
    records: list[str] = []
    for start, end in pairwise([*starts, len(text)]):
        piece = text[start:end]
        if records and not _OWN_UUID.search(piece):
            records[-1] += piece
        else:
            records.append(piece)
    return records


def _vm(record: str, uuid: str) -> tuple[Vm, bool]:
    """A machine, and whether its text allows this reading only. Raises MalformedOutput."""
    if "\nState: " not in record and "\nAccess error details:" in record:
        return inaccessible(uuid), True
    name = _NAME.match(record)
    if name is None:
        raise MalformedOutput(f"VBoxManage reports the machine {uuid} in an unknown form")
    body, guest = record.rpartition("\n* Guest:\n")[::2]
    if not guest:
        raise MalformedOutput(f"VBoxManage's details of the machine {uuid} break off")
    body, tree = _cut_last(body, "\n* Snapshots:\n")
    head, description = body.partition("\nDescription:\n")[::2]
    fields: dict[str, str] = {}
    for match in _FIELD.finditer(head, name.end()):
        fields.setdefault(match.group(1), match.group(2))
    missing = [key for key in _ONCE[1:] if key not in fields]
    if missing:
        raise MalformedOutput(f"VBoxManage reports no {', '.join(missing)} for the machine {uuid}")
    state = _STATE.fullmatch(fields["State"])
    vm = Vm(
        uuid=uuid,
        name=name.group(1),
        state=state_from(state.group(1) if state else fields["State"]),
        groups=tuple(group for group in fields["Groups"].split(",") if group),
        cpus=number_from(fields["Number of CPUs"]),
        cpu_cap_percent=number_from(fields.get("CPU exec cap", "100").removesuffix("%")),
        memory_mb=number_from(fields["Memory size"].removesuffix("MB").strip()),
        os_type=fields.get("Guest OS", ""),
        # One line break separates it from what follows.
        description=description,
        config_file=fields["Config file"],
        state_since=moment_from(state.group(2)) if state else "",
        nics=_nics(head),
        forwards=_forwards(head),
        snapshots=parse_snapshot_tree(tree + "\n"),
    )
    return vm, _is_clear(record, head, name.end(), len(vm.forwards))


def _cut_last(text: str, marker: str) -> tuple[str, str]:
    """The text before the last such line, and what follows; a line that ends it is text too."""
    before, found, after = text.rpartition(marker)
    return (before, after) if found and after else (text, "")


def _is_clear(record: str, head: str, after_name: int, rules: int) -> bool:
    for marker in ("\n* Guest:\n", "\n* Snapshots:\n", "\nDescription:\n"):
        # Neighbours share their line break, hence the second count.
        if record.count(marker) > 1 or record.count(marker + marker[1:]) > 0:
            return False
    rest = head[after_name:]
    if any(len(re.findall(rf"^{key}: ", rest, re.MULTILINE)) > 1 for key in _ONCE):
        return False
    if len(re.findall(r"^NIC [0-9]+ Rule\(", rest, re.MULTILINE)) != rules:
        return False
    return all(_KNOWN_LINE.match(line) for line in rest.split("\n"))


def _nics(head: str) -> tuple[Nic, ...]:
    nics = []
    for match in _NIC.finditer(head):
        number, mac, attachment, cable, adapter_type = match.groups()
        kind, network = _attachment(attachment)
        nics.append(Nic(int(number), kind, network, mac, adapter_type, cable == "on"))
    return tuple(nics)


def _attachment(text: str) -> tuple[str, str]:
    for pattern, kind in _ATTACHMENTS:
        if match := pattern.fullmatch(text):
            return kind, match.group(1) or ""
    raise MalformedOutput(f"VBoxManage reports the network attachment {text[:60]!r}")


def _forwards(head: str) -> tuple[NatForward, ...]:
    return tuple(
        NatForward(
            name=name,
            protocol=protocol.lower(),
            host_ip=host_ip,
            host_port=number_from(host_port),
            guest_ip=guest_ip,
            guest_port=number_from(guest_port),
            nic=int(nic),
        )
        for nic, name, protocol, host_ip, host_port, guest_ip, guest_port in _RULE.findall(head)
    )
