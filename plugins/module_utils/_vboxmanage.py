# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What VBoxManage prints, as values. Pure: text in, values or typed errors out.

Names, descriptions and values may hold anything, line breaks included, and most outputs do not
escape them. So nothing here splits at lines first: each form is matched from its start to its
end, and what does not fit raises MalformedOutput instead of becoming a machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ._vboxmanage_errors import AmbiguousName, MalformedOutput, NotFound
from ._vboxmanage_model import (
    UUID,
    GuestProperty,
    Medium,
    NatForward,
    Nic,
    Snapshot,
    Version,
    Vm,
    VmRef,
    forward_from,
    inaccessible,
    is_uuid,
    moment_from,
    number_from,
    state_from,
)
from ._vboxmanage_pairs import pairs

_WARNING = re.compile(r"WARNING: .*?until this problem is fixed\.[ \t]*\n", re.DOTALL)
_VERSION = re.compile(r"^(\d{1,4})\.(\d{1,4})\.(\d{1,6})(?![\d.])\S*$", re.MULTILINE | re.ASCII)
_VM_LINE = re.compile(rf'"(.*?)" \{{({UUID})\}}\n(?="|\s*\Z)', re.DOTALL)
_GROUP_LINE = re.compile(r'"(/.*?)"\n(?="/|\Z)', re.DOTALL)
_PROPERTY = re.compile(
    r"(\S[^\n]*?) *= '(.*?)' +@ (\d{4}-\d\d-\d\dT[0-9:.]+Z)(?: ([A-Z]+(?:, ?[A-Z]+)*))?\n",
    re.DOTALL,
)
_CREATED = re.compile(rf"^(?:UUID:|Snapshot taken\. UUID:) ({UUID})$", re.MULTILINE)
_SNAPSHOT_KEY = re.compile(r"Snapshot(Name|UUID|Description)((?:-[0-9]{1,9})*)")
_SNAPSHOT_LINE = re.compile(rf"^( +)Name: (.*?) \(UUID: ({UUID})\)( \*)?$", re.DOTALL | re.M)
# On the same line, or on lines of its own.
_SNAPSHOT_TEXT = re.compile(r"\n *Description:[ \n](.*?)\n?\Z", re.DOTALL)
_FORWARD_KEY = re.compile(r"Forwarding\([0-9]+\)")
_NIC_KEY = re.compile(r"nic([0-9]{1,3})")
# Where each kind of adapter says what it is attached to.
_NETWORK_KEYS = {
    "nat": "natnet",
    "bridged": "bridgeadapter",
    "intnet": "intnet",
    "hostonly": "hostonlyadapter",
    "hostonlynetwork": "hostonly-network",
    "natnetwork": "nat-network",
    "generic": "generic",
    "cloud": "cloud-network",
}
_OS_TYPE = re.compile(
    r"^(?:ID / Description: (\S+) -- (.+)|ID: +(\S+)\nDescription: +(.+))$", re.MULTILINE
)
_MEDIUM = re.compile(rf"^UUID: +({UUID})\nParent UUID: +(?:({UUID})|base)$", re.MULTILINE)
_USERS = re.compile(r"^In use by VMs: .*?(?=\n(?:Child UUIDs:|UUID:)|\n\n|\Z)", re.M | re.DOTALL)
_USER = re.compile(rf"\(UUID: ({UUID})\)")
NO_SNAPSHOTS = "This machine does not have any snapshots"


def without_warning(stdout: str) -> str:
    """The output with Unix line ends, and without the warning that Debian's wrapper puts first."""
    text = stdout.replace("\r\n", "\n")
    while match := _WARNING.match(text):
        text = text[match.end() :]
    return text if not text or text.endswith("\n") else text + "\n"


def parse_version(stdout: str) -> Version:
    """``--version``. Raises MalformedOutput."""
    match = _VERSION.search(without_warning(stdout))
    if match is None:
        raise MalformedOutput(f"VBoxManage reports the version {stdout[-60:]!r}")
    major, minor, patch = (int(number) for number in match.groups())
    return Version((major, minor, patch), match.group())


def parse_vms(stdout: str) -> tuple[VmRef, ...]:
    """``list vms``, ``list runningvms``. Raises MalformedOutput, as for a list that breaks off.

    A name with a line break can imitate further entries: ask for the details of each.
    """
    return tuple(
        VmRef(match.group(1), match.group(2).lower())
        for match in _all_of(_VM_LINE, without_warning(stdout), "the list of machines")
    )


def parse_groups(stdout: str) -> tuple[str, ...]:
    """``list groups``. Raises MalformedOutput."""
    text = without_warning(stdout)
    return tuple(match.group(1) for match in _all_of(_GROUP_LINE, text, "the list of groups"))


def parse_guest_properties(stdout: str) -> tuple[GuestProperty, ...]:
    """``guestproperty enumerate``. Raises MalformedOutput."""
    text = without_warning(stdout)
    if text.strip() == "No properties found.":
        return ()
    return tuple(
        GuestProperty(
            name=match.group(1),
            value=match.group(2),
            timestamp=match.group(3),
            flags=tuple(flag.strip() for flag in (match.group(4) or "").split(",") if flag),
        )
        for match in _all_of(_PROPERTY, text, "the guest properties")
    )


def parse_guest_property(stdout: str) -> str | None:
    """``guestproperty get``: the value, or None if it is not set. Raises MalformedOutput."""
    text = without_warning(stdout)
    if text.startswith("Value: "):
        return text.removeprefix("Value: ").removesuffix("\n")
    if text.strip() == "No value set!":
        return None
    raise MalformedOutput(f"VBoxManage reports the guest property {text[:60]!r}")


def parse_created(stdout: str) -> str:
    """The UUID that ``createvm`` or ``snapshot take`` gave. Raises MalformedOutput."""
    # The last one: a name with a line break stands before it.
    found: list[str] = _CREATED.findall(without_warning(stdout))
    if not found:
        raise MalformedOutput(f"VBoxManage reports no UUID: {stdout[-120:]!r}")
    return found[-1].lower()


def parse_os_types(stdout: str) -> tuple[tuple[str, str], ...]:
    """``list ostypes``: ids and descriptions. Raises MalformedOutput."""
    found = _OS_TYPE.findall(without_warning(stdout))
    if not found:
        raise MalformedOutput(f"VBoxManage reports the guest types {stdout[:60]!r}")
    return tuple((new or old, text or old_text) for new, text, old, old_text in found)


def parse_media(stdout: str) -> tuple[Medium, ...]:
    """``list --long hdds``. Raises MalformedOutput.

    A machine's name may add users that are none; it never hides one.
    """
    text = without_warning(stdout)
    matches = list(_MEDIUM.finditer(text))
    if text.strip() and not (matches and not text[: matches[0].start()].strip()):
        raise MalformedOutput(f"VBoxManage reports the disks {text[:60]!r}")
    media = []
    for match, end in _with_ends(matches, text):
        # Snapshots that use it are listed in the same form: of them no machine has the UUID.
        users = _USERS.search(text, match.end(), end)
        uuids = _USER.findall(users.group()) if users else []
        media.append(
            Medium(
                uuid=match.group(1).lower(),
                parent=match.group(2).lower() if match.group(2) else None,
                users=tuple(dict.fromkeys(uuid.lower() for uuid in uuids)),
            )
        )
    return tuple(media)


def parse_snapshots(stdout: str) -> tuple[Snapshot, ...]:
    """``snapshot UUID list``, with or without --machinereadable. Raises MalformedOutput."""
    text = without_warning(stdout)
    if not text.strip() or text.strip() == NO_SNAPSHOTS:
        return ()
    if text.startswith("SnapshotName="):
        return _snapshots_of(list(pairs(text)))
    return parse_snapshot_tree(text)


def parse_snapshot_tree(text: str) -> tuple[Snapshot, ...]:
    """The indented tree that ``snapshot list`` and ``list --long`` print. Raises MalformedOutput"""
    if text.strip() and not _SNAPSHOT_LINE.match(text):
        raise MalformedOutput(f"VBoxManage reports the snapshots {text[:120]!r}")
    matches = list(_SNAPSHOT_LINE.finditer(text))
    parents: list[tuple[int, str]] = []
    snapshots = []
    for match, end in _with_ends(matches, text):
        depth = len(match.group(1))
        while parents and parents[-1][0] >= depth:
            parents.pop()
        described = _SNAPSHOT_TEXT.match(text, match.end(), end)
        uuid = match.group(3).lower()
        snapshots.append(
            Snapshot(
                uuid=uuid,
                name=match.group(2),
                description=described.group(1) if described else "",
                parent=parents[-1][1] if parents else None,
                current=match.group(4) is not None,
            )
        )
        parents.append((depth, uuid))
    return tuple(snapshots)


def parse_vm(stdout: str) -> Vm:
    """``showvminfo UUID --machinereadable``. Raises MalformedOutput."""
    text = without_warning(stdout)
    if text.startswith('name="<inaccessible>"\n') and "\nVMState=" not in text:
        match = re.search(rf"^UUID: +({UUID})$", text, re.MULTILINE)
        if match:
            return inaccessible(match.group(1).lower())
    found = list(pairs(text))
    first: dict[str, str] = {}
    for key, value in found:
        # The first one counts: what is not escaped (rules, snapshots) comes later.
        first.setdefault(key, value)
    missing = [key for key in ("name", "UUID", "VMState", "memory", "cpus") if key not in first]
    if missing:
        raise MalformedOutput(f"VBoxManage reports a machine without {', '.join(missing)}")
    if not is_uuid(first["UUID"]):
        raise MalformedOutput(f"VBoxManage reports the UUID {first['UUID'][:60]!r}")
    since = first.get("VMStateChangeTime")
    return Vm(
        uuid=first["UUID"].lower(),
        name=first["name"],
        state=state_from(first["VMState"]),
        groups=tuple(group for group in first.get("groups", "").split(",") if group),
        cpus=number_from(first["cpus"], "the CPUs"),
        cpu_cap_percent=number_from(first.get("cpuexecutioncap", "100"), "the CPU cap"),
        memory_mb=number_from(first["memory"], "the memory"),
        os_type=first.get("ostype", ""),
        description=first.get("description", ""),
        config_file=first.get("CfgFile", ""),
        state_since=moment_from(since) if since else "",
        nics=_nics_of(first),
        forwards=tuple(_forwards_of(found)),
        snapshots=_snapshots_of(found),
    )


def select(vms: tuple[VmRef, ...], name_or_uuid: str) -> VmRef:
    """The machine with this UUID, else the only one of this name.

    Raises:
        NotFound: there is none.
        AmbiguousName: several have this name.
    """
    wanted = name_or_uuid.strip("{}").lower()
    for vm in vms:
        if vm.uuid == wanted:
            return vm
    found = [vm for vm in vms if vm.name == name_or_uuid]
    if not found:
        raise NotFound(f"There is no machine {name_or_uuid!r}")
    if len(found) > 1:
        uuids = ", ".join(sorted(vm.uuid for vm in found))
        raise AmbiguousName(f"{len(found)} machines are called {name_or_uuid!r}: {uuids}")
    return found[0]


def _all_of(pattern: re.Pattern[str], text: str, what: str) -> Iterator[re.Match[str]]:
    """Matches that follow each other without a gap up to the end."""
    position = 0
    while match := pattern.match(text, position):
        yield match
        position = match.end()
    if rest := text[position:].strip():
        raise MalformedOutput(f"VBoxManage's output for {what} breaks off at {rest[:60]!r}")


def _with_ends(matches: list[re.Match[str]], text: str) -> Iterator[tuple[re.Match[str], int]]:
    """Each match, and where the next one begins or the text ends."""
    ends = iter([*(match.start() for match in matches[1:]), len(text)])
    return ((match, next(ends)) for match in matches)


def _nics_of(first: dict[str, str]) -> tuple[Nic, ...]:
    nics = []
    for key, attachment in first.items():
        match = _NIC_KEY.fullmatch(key)
        if match is None or attachment == "none":
            continue
        number = match.group(1)
        # "Generic" is the only one with a capital.
        attachment = attachment.lower().replace("cloudnetwork", "cloud")
        network = first.get(f"{_NETWORK_KEYS.get(attachment)}{number}", "")
        if attachment == "nat" and network == "nat":
            network = ""  # not a name: the network that VirtualBox gives to each adapter
        nics.append(
            Nic(
                number=int(number),
                attachment=attachment,
                network=network,
                mac=first.get(f"macaddress{number}", ""),
                adapter_type=first.get(f"nictype{number}", ""),
                cable_connected=first.get(f"cableconnected{number}") == "on",
            )
        )
    return tuple(sorted(nics, key=lambda nic: nic.number))


def _forwards_of(found: list[tuple[str, str]]) -> Iterator[NatForward]:
    nic = 1
    for key, value in found:
        # A rule does not say whose it is: it follows its adapter.
        if match := _NIC_KEY.fullmatch(key):
            nic = int(match.group(1))
        elif _FORWARD_KEY.fullmatch(key):
            yield forward_from(value, nic)


def _snapshots_of(read: list[tuple[str, str]]) -> tuple[Snapshot, ...]:
    found: dict[str, dict[str, str]] = {}
    current = ""
    for key, value in read:
        if match := _SNAPSHOT_KEY.fullmatch(key):
            found.setdefault(match.group(2), {}).setdefault(match.group(1), value)
        elif key == "CurrentSnapshotUUID":
            current = value.lower()
    uuids = {place: fields.get("UUID", "").lower() for place, fields in found.items()}
    wrong = [uuid for uuid in uuids.values() if not is_uuid(uuid)]
    if wrong:
        raise MalformedOutput(f"VBoxManage reports a snapshot with the UUID {wrong[0][:60]!r}")
    return tuple(
        Snapshot(
            uuid=uuids[place],
            name=fields.get("Name", ""),
            description=fields.get("Description", ""),
            # A child's place is its parent's, and one more number.
            parent=uuids.get(place.rpartition("-")[0]) if place else None,
            current=uuids[place] == current,
        )
        for place, fields in found.items()
    )
