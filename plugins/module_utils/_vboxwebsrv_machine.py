# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine through VirtualBox's web service, in as few calls as its details need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ._vboxmanage_errors import Inaccessible, InvalidArgument, MalformedOutput
from ._vboxmanage_model import (
    AT_REST,
    GuestProperty,
    NatForward,
    Nic,
    Snapshot,
    Vm,
    VmRef,
    forward_from,
    inaccessible,
    is_uuid,
    state_from,
)
from ._vboxsettings import SettingsFiles
from ._vboxwebsrv_soap import Connection, Value, flag_of, number_of, text_of, texts_of

# Where VirtualBox's own name of a state differs from VBoxManage's in more than case.
_STATES = {
    "AbortedSaved": "aborted-saved",
    "Stuck": "gurumeditation",
    "DeletingSnapshotOnline": "deletingsnapshotlive",
    "DeletingSnapshotPaused": "deletingsnapshotlivepaused",
}
# VBoxManage's word for an attachment, and what tells the network's name.
_ATTACHMENTS = {
    "Null": ("null", ""),
    "NAT": ("nat", ""),
    "Bridged": ("bridged", "getBridgedInterface"),
    "Internal": ("intnet", "getInternalNetwork"),
    "HostOnly": ("hostonly", "getHostOnlyInterface"),
    "HostOnlyNetwork": ("hostonlynetwork", "getHostOnlyNetwork"),
    "NATNetwork": ("natnetwork", "getNATNetwork"),
    "Generic": ("generic", "getGenericDriver"),
    "Cloud": ("cloud", "getCloudNetwork"),
}
_ADAPTERS = {
    "I82540EM": "82540EM",
    "I82543GC": "82543GC",
    "I82545EM": "82545EM",
    "Virtio": "virtio",
}
_PROTOCOLS = {"0": "udp", "1": "tcp"}


@dataclass(frozen=True)
class Wanted:
    """Which details are worth their calls; all of them by default.

    ``enough`` ends the look at the adapters at the first with a NAT forward that it accepts;
    a machine without such a forward has all its adapters described.
    """

    nics: bool = True
    snapshots: bool = True
    settings: bool = True
    enough: Callable[[NatForward], bool] | None = None


EVERYTHING = Wanted()


class MachineReader:
    """Reads machines over one connection. ``known`` is what machines have in common.

    A machine is named here by the service's reference, not by its UUID.
    """

    def __init__(self, connection: Connection, box: str, known: dict[str, Any]) -> None:
        self._connection = connection
        self._box = box
        self._known = known

    def machines(self) -> list[str]:
        """All machines that are registered now."""
        return texts_of(self._call("IVirtualBox_getMachines", self._box))

    def ref(self, machine: str) -> VmRef:
        """A machine's name and UUID."""
        uuid = self._uuid(machine)
        if not flag_of(self._call("IMachine_getAccessible", machine)):
            return VmRef("<inaccessible>", uuid)
        return VmRef(text_of(self._call("IMachine_getName", machine)), uuid)

    def vm(self, machine: str, wanted: Wanted = EVERYTHING, state: str = "") -> Vm:
        """A machine with the details that are wanted; ``state`` if it is known already."""
        uuid = self._uuid(machine)
        try:
            return self._vm(machine, uuid, wanted, state)
        except Inaccessible:
            return inaccessible(uuid)

    def at_rest(self, machine: str, state: str, files: SettingsFiles) -> Vm | None:
        """A machine in such a state, from its settings file if that is here."""
        if not state or _state(state) not in AT_REST:
            return None
        vm = files.vm(self._uuid(machine))
        return vm and replace(vm, state=_state(state), os_type=self._os_type(vm.os_type))

    def guest_properties(
        self, machine: str, patterns: Sequence[str] = ()
    ) -> tuple[GuestProperty, ...]:
        """A machine's properties in the order of their names."""
        if any(pattern.startswith("-") for pattern in patterns):
            raise InvalidArgument(f"A property's name does not start with '-': {patterns}")
        found = self._call(
            "IMachine_enumerateGuestProperties", machine, patterns="|".join(patterns)
        )
        columns = [texts_of(found, tag) for tag in ("names", "values", "timestamps", "flags")]
        if len({len(column) for column in columns}) != 1:
            raise MalformedOutput("The web service's guest properties are incomplete")
        return tuple(
            GuestProperty(
                name=name,
                value=value,
                timestamp=_moment(stamp, 1_000_000_000, 3),
                flags=tuple(flag.strip() for flag in flags.split(",") if flag.strip()),
            )
            for name, value, stamp, flags in sorted(zip(*columns, strict=True))
        )

    def _vm(self, machine: str, uuid: str, wanted: Wanted, state: str) -> Vm:
        def text(what: str) -> str:
            return text_of(self._call(f"IMachine_get{what}", machine))

        def number(what: str) -> int:
            return number_of(self._call(f"IMachine_get{what}", machine))

        # The first that an inaccessible machine refuses.
        memory_mb = number("MemorySize")
        nics, forwards = self._network(machine, wanted)
        return Vm(
            uuid=uuid,
            name=text("Name"),
            state=_state(state or text("State")),
            groups=tuple(texts_of(self._call("IMachine_getGroups", machine))),
            cpus=number("CPUCount"),
            memory_mb=memory_mb,
            os_type=self._os_type(text("OSTypeId")),
            description=text("Description"),
            cpu_cap_percent=number("CPUExecutionCap") if wanted.settings else 100,
            config_file=text("SettingsFilePath") if wanted.settings else "",
            state_since=_moment(text("LastStateChange"), 1000) if wanted.settings else "",
            nics=nics,
            forwards=forwards,
            snapshots=tuple(self._snapshots(machine)) if wanted.snapshots else (),
        )

    def _network(
        self, machine: str, wanted: Wanted
    ) -> tuple[tuple[Nic, ...], tuple[NatForward, ...]]:
        adapters: list[tuple[int, str, str, str]] = []
        forwards: list[NatForward] = []
        for number, adapter in self._adapters(machine):
            kind, engine = self._attachment(adapter)
            adapters.append((number, adapter, kind, engine))
            rules = texts_of(self._call("INATEngine_getRedirects", engine)) if engine else []
            here = [_forward(rule, number) for rule in rules]
            forwards.extend(here)
            found = wanted.enough and any(wanted.enough(forward) for forward in here)
            if found and not wanted.nics:
                return (), tuple(forwards)
        if not wanted.nics and not wanted.enough:
            return (), tuple(forwards)
        return tuple(self._nic(*adapter) for adapter in adapters), tuple(forwards)

    def _adapters(self, machine: str) -> Iterator[tuple[int, str]]:
        """Numbers from 1 and references of the adapters that are switched on."""
        slot, slots = 0, 1
        while slot < slots:
            adapter = text_of(self._call("IMachine_getNetworkAdapter", machine, slot=slot))
            if flag_of(self._call("INetworkAdapter_getEnabled", adapter)):
                yield slot + 1, adapter
            if slot == 0:
                # Late: the first adapter is often all that is wanted.
                slots = self._slots(machine)
            slot += 1

    def _slots(self, machine: str) -> int:
        platform = text_of(self._call("IMachine_getPlatform", machine))
        chipset = text_of(self._call("IPlatform_getChipsetType", platform))
        if f"slots of {chipset}" not in self._known:
            architecture = text_of(self._call("IPlatform_getArchitecture", platform))
            properties = text_of(
                self._call(
                    "IVirtualBox_getPlatformProperties", self._box, architecture=architecture
                )
            )
            self._known[f"slots of {chipset}"] = number_of(
                self._call("IPlatformProperties_getMaxNetworkAdapters", properties, chipset=chipset)
            )
        slots: int = self._known[f"slots of {chipset}"]
        if slots > 256:
            raise MalformedOutput(f"The web service reports {slots} network adapters")
        return slots

    def _attachment(self, adapter: str) -> tuple[str, str]:
        """VirtualBox's name of an adapter's attachment, and its NAT engine if it is NAT."""
        kind = text_of(self._call("INetworkAdapter_getAttachmentType", adapter))
        if kind not in _ATTACHMENTS:
            raise MalformedOutput(f"The web service reports the network attachment {kind[:60]!r}")
        if kind != "NAT":
            return kind, ""
        return kind, text_of(self._call("INetworkAdapter_getNATEngine", adapter))

    def _nic(self, number: int, adapter: str, kind: str, engine: str) -> Nic:
        def text(what: str) -> str:
            return text_of(self._call(f"INetworkAdapter_{what}", adapter))

        attachment, getter = _ATTACHMENTS[kind]
        network = text(getter) if getter else ""
        if engine:
            network = text_of(self._call("INATEngine_getNetwork", engine))
        adapter_type = text("getAdapterType")
        return Nic(
            number=number,
            attachment=attachment,
            network=network,
            mac=text("getMACAddress"),
            adapter_type=_ADAPTERS.get(adapter_type, adapter_type),
            cable_connected=flag_of(self._call("INetworkAdapter_getCableConnected", adapter)),
        )

    def _os_type(self, identifier: str) -> str:
        """The description that VBoxManage prints in place of the identifier."""
        if f"type {identifier}" not in self._known:
            answer = self._call("IVirtualBox_getGuestOSType", self._box, id=identifier)
            self._known[f"type {identifier}"] = answer.findtext("returnval/description") or ""
        description: str = self._known[f"type {identifier}"]
        return description

    def _snapshots(self, machine: str) -> Iterator[Snapshot]:
        """Each after its parent, depth first."""
        count = number_of(self._call("IMachine_getSnapshotCount", machine))
        if not count:
            return

        def text(what: str, snapshot: str) -> str:
            return text_of(self._call(f"ISnapshot_get{what}", snapshot))

        current = text_of(self._call("IMachine_getCurrentSnapshot", machine))
        current_uuid = text("Id", current) if current else ""
        root = text_of(self._call("IMachine_findSnapshot", machine, nameOrId=""))
        todo: list[tuple[str, str | None]] = [(root, None)]
        while todo:
            snapshot, parent = todo.pop()
            count -= 1
            if count < 0:
                raise MalformedOutput("The web service reports more snapshots than there are")
            uuid = text("Id", snapshot)
            yield Snapshot(
                uuid=_checked(uuid),
                name=text("Name", snapshot),
                description=text("Description", snapshot),
                parent=parent,
                current=uuid == current_uuid,
            )
            children = texts_of(self._call("ISnapshot_getChildren", snapshot))
            todo.extend((child, uuid.lower()) for child in reversed(children))

    def _uuid(self, machine: str) -> str:
        return _checked(text_of(self._call("IMachine_getId", machine)))

    def _call(self, operation: str, this: str, **arguments: Value) -> Any:
        return self._connection.call(operation, this, **arguments)


def _checked(uuid: str) -> str:
    if not is_uuid(uuid):
        raise MalformedOutput(f"The web service reports the UUID {uuid[:60]!r}")
    return uuid.lower()


def _state(name: str) -> str:
    return _STATES.get(name) or state_from(name)


def _forward(rule: str, nic: int) -> NatForward:
    """A forward from VirtualBox's name,0|1,host ip,host port,guest ip,guest port."""
    found = forward_from(rule, nic)
    if found.protocol not in _PROTOCOLS:
        raise MalformedOutput(f"The web service reports the NAT forward {rule[:120]!r}")
    return NatForward(
        name=found.name,
        protocol=_PROTOCOLS[found.protocol],
        host_ip=found.host_ip,
        host_port=found.host_port,
        guest_ip=found.guest_ip,
        guest_port=found.guest_port,
        nic=nic,
    )


def _moment(stamp: str, unit: int, digits: int = 0) -> str:
    """A time since 1970, counted in 1/unit seconds, in UTC, with so many digits of a second."""
    try:
        seconds, rest = divmod(int(stamp[:40]), unit)
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise MalformedOutput(f"The web service reports the time {stamp[:60]!r}") from None
    fraction = f".{rest:0{len(str(unit)) - 1}d}"[: digits + 1] if digits else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
