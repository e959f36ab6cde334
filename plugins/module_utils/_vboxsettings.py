# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VirtualBox's own files about machines that do not run: nothing is as fast, or as unambiguous.

VirtualBox writes each change to them at once (under another name, then renamed). Of a machine
that runs they do not tell the state, so only the others are read here. Whatever this does not
know for sure (another format, a file that is not there) is None: VirtualBox then has to be asked.
"""

from __future__ import annotations

import os
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

from ._vboxmanage_errors import MalformedOutput
from ._vboxmanage_model import NatForward, Nic, Snapshot, Vm, is_uuid, moment_from, number_from

# The formats whose defaults are those below: VirtualBox 7.0 to 7.2 write them.
FORMATS = ("1.19", "1.20")
REGISTRY = "VirtualBox.xml"
_LARGEST = 16 * 1024 * 1024
_SPACE = "{http://www.virtualbox.org/}"
_FORMAT = re.compile(r"([0-9]+\.[0-9]+)-[a-z]+")
# An adapter's attachment, and which attribute names the network.
_ATTACHMENTS = {
    "NAT": ("nat", "network"),
    "BridgedInterface": ("bridged", "name"),
    "InternalNetwork": ("intnet", "name"),
    "HostOnlyInterface": ("hostonly", "name"),
    "HostOnlyNetwork": ("hostonlynetwork", "name"),
    "NATNetwork": ("natnetwork", "name"),
    "GenericInterface": ("generic", "driver"),
    "CloudNetwork": ("cloud", "name"),
}
_PROTOCOLS = {"0": "udp", "1": "tcp"}


def homes(
    environment: Mapping[str, str] | None = None, platform: str = sys.platform
) -> tuple[Path, ...]:
    """Where VirtualBox keeps its registry for this user, the place that it prefers first."""
    environment = os.environ if environment is None else environment
    if environment.get("VBOX_USER_HOME"):
        return (Path(environment["VBOX_USER_HOME"]),)
    home = Path(environment.get("HOME") or "/")
    if platform == "darwin":
        return (home / "Library" / "VirtualBox",)
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return (home / ".VirtualBox", config / "VirtualBox")


class SettingsFiles:
    """The files of the machines that one VirtualBox has registered."""

    def __init__(self, *folders: Path) -> None:
        """
        Args:
            folders: where the registry may be; ``homes()`` if there are none.
        """
        self._folders = folders or homes()
        self._registered: Mapping[str, Path] | None = None

    def vm(self, uuid: str) -> Vm | None:
        """A machine that does not run; ``os_type`` is VirtualBox's identifier of the type."""
        if self._registered is None:
            self._registered = self._registry()
        path = self._registered.get(uuid)
        vm = _read(path) if path else None
        return vm if vm and vm.uuid == uuid else None

    def _registry(self) -> Mapping[str, Path]:
        for folder in self._folders:
            text = _text(folder / REGISTRY)
            if text is not None:
                return registered(text, folder)
        return {}


def _read(path: Path) -> Vm | None:
    """The machine in a settings file, as long as it does not run."""
    text = _text(path)
    if text is None:
        return None
    try:
        return machine(text, str(path))
    except MalformedOutput:
        return None


def registered(text: str, folder: Path) -> dict[str, Path]:
    """UUIDs and settings files from the registry in a folder; empty for what it does not know."""
    try:
        root = _parsed(text)
    except MalformedOutput:
        return {}
    entries = root.iterfind(f"{_SPACE}Global/{_SPACE}MachineRegistry/{_SPACE}MachineEntry")
    return {
        entry.get("uuid", "").strip("{}").lower(): folder / entry.get("src", "")
        for entry in entries
    }


def machine(text: str, path: str) -> Vm:
    """The machine in the text of a settings file. Raises MalformedOutput."""
    root = _parsed(text)
    form = _FORMAT.fullmatch(root.get("version", ""))
    found = root.find(f"{_SPACE}Machine")
    hardware = found.find(f"{_SPACE}Hardware") if found is not None else None
    if form is None or form.group(1) not in FORMATS or found is None or hardware is None:
        raise MalformedOutput(f"{path} has another format: {root.get('version', '')[:60]!r}")
    uuid = _uuid(found.get("uuid", ""))
    cpu, memory = hardware.find(f"{_SPACE}CPU"), hardware.find(f"{_SPACE}Memory")
    if not found.get("name") or memory is None:
        raise MalformedOutput(f"{path} has no name or no memory")
    groups = found.iterfind(f"{_SPACE}Groups/{_SPACE}Group")
    adapters = [
        adapter
        for adapter in hardware.iterfind(f"{_SPACE}Network/{_SPACE}Adapter")
        if adapter.get("enabled") == "true"
    ]
    return Vm(
        uuid=uuid,
        name=found.get("name", ""),
        state=_state(found),
        groups=tuple(group.get("name", "") for group in groups) or ("/",),
        cpus=_number(cpu, "count", "1"),
        cpu_cap_percent=_number(cpu, "executionCap", "100"),
        memory_mb=_number(memory, "RAMSize", ""),
        os_type=found.get("OSType", ""),
        description=found.findtext(f"{_SPACE}Description") or "",
        config_file=path,
        state_since=moment_from(found.get("lastStateChange", "")),
        nics=tuple(map(_nic, adapters)),
        forwards=tuple(forward for adapter in adapters for forward in _forwards(adapter)),
        snapshots=tuple(_snapshots(found, found.get("currentSnapshot", "").strip("{}").lower())),
    )


def _parsed(text: str) -> ET.Element:
    # Neither appears in settings, and expat would resolve what a document type declares.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise MalformedOutput("These are no settings of VirtualBox")
    try:
        return ET.fromstring(text)  # noqa: S314 - no document type, no entities
    except (ET.ParseError, ValueError) as error:
        raise MalformedOutput(f"These settings are not XML: {error}") from None


def _text(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read(_LARGEST + 1)
    except (OSError, ValueError):
        return None
    return text if len(text) <= _LARGEST else None


def _state(found: ET.Element) -> str:
    aborted = found.get("aborted") in ("true", "1")
    if found.get("stateFile"):
        return "aborted-saved" if aborted else "saved"
    return "aborted" if aborted else "poweroff"


def _attached(adapter: ET.Element) -> ET.Element | None:
    return next((it for it in adapter if it.tag.removeprefix(_SPACE) in _ATTACHMENTS), None)


def _nic(adapter: ET.Element) -> Nic:
    attached = _attached(adapter)
    kind, naming = "null", ""
    if attached is not None:
        kind, naming = _ATTACHMENTS[attached.tag.removeprefix(_SPACE)]
    return Nic(
        number=_number(adapter, "slot", "") + 1,
        attachment=kind,
        network=attached.get(naming, "") if attached is not None else "",
        mac=adapter.get("MACAddress", ""),
        adapter_type=adapter.get("type", "Am79C973"),
        cable_connected=adapter.get("cable", "true") == "true",
    )


def _forwards(adapter: ET.Element) -> Iterator[NatForward]:
    """The rules of an adapter that is attached to NAT; VirtualBox keeps, and hides, others."""
    for rule in adapter.iterfind(f"{_SPACE}NAT/{_SPACE}Forwarding"):
        if rule.get("proto") not in _PROTOCOLS:
            raise MalformedOutput(f"A NAT forward has the protocol {rule.get('proto')!r}")
        yield NatForward(
            name=rule.get("name", ""),
            protocol=_PROTOCOLS[rule.get("proto", "")],
            host_ip=rule.get("hostip", ""),
            host_port=_number(rule, "hostport", "0"),
            guest_ip=rule.get("guestip", ""),
            guest_port=_number(rule, "guestport", "0"),
            nic=_number(adapter, "slot", "") + 1,
        )


def _snapshots(found: ET.Element, current: str) -> Iterator[Snapshot]:
    """Each after its parent, depth first."""
    todo: list[tuple[ET.Element, str | None]] = [
        (first, None) for first in found.iterfind(f"{_SPACE}Snapshot")
    ]
    while todo:
        snapshot, parent = todo.pop()
        uuid = _uuid(snapshot.get("uuid", ""))
        yield Snapshot(
            uuid=uuid,
            name=snapshot.get("name", ""),
            description=snapshot.findtext(f"{_SPACE}Description") or "",
            parent=parent,
            current=uuid == current,
        )
        children = snapshot.findall(f"{_SPACE}Snapshots/{_SPACE}Snapshot")
        todo.extend((child, uuid) for child in reversed(children))


def _uuid(text: str) -> str:
    uuid = text.strip("{}").lower()
    if not is_uuid(uuid):
        raise MalformedOutput(f"The settings have the UUID {text[:60]!r}")
    return uuid


def _number(element: ET.Element | None, attribute: str, default: str) -> int:
    value = element.get(attribute, default) if element is not None else default
    return number_from(value, attribute)
