# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VirtualBox's machines as plain values. Nothing in here talks to VirtualBox."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from ._vboxmanage_errors import InvalidArgument, InvalidRule, MalformedOutput

UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UUID = re.compile(UUID)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?Z?")
_STATE = re.compile(r"[a-z][a-z-]{2,40}")
# The long form of these differs from the short one in more than spaces.
_LONG_STATES = {"poweredoff": "poweroff", "offlinesnapshotting": "snapshotting"}
# In these a process holds the machine, and it can be controlled.
ONLINE = frozenset(
    [
        "running",
        "paused",
        "gurumeditation",
        "teleporting",
        "livesnapshotting",
        "onlinesnapshotting",
        "starting",
        "stopping",
        "saving",
        "restoring",
        "teleportingpausedvm",
        "deletingsnapshotlive",
        "deletingsnapshotlivepaused",
    ]
)
# In these no process has to do with it.
AT_REST = frozenset(["poweroff", "saved", "aborted", "aborted-saved", "teleported"])


@dataclass(frozen=True)
class Version:
    """VirtualBox's version: the number to compare, and the text as printed."""

    number: tuple[int, int, int]
    text: str


@dataclass(frozen=True)
class VmRef:
    """A registered machine: the UUID is its identity, the name is not unique.

    ``readable`` is False when the name is VirtualBox's mark for a lost settings file; a machine
    may really be called that, so only asking for its details tells.
    """

    name: str
    uuid: str

    @property
    def readable(self) -> bool:
        return self.name != "<inaccessible>"


@dataclass(frozen=True)
class NatForward:
    """A port of the host that leads to a port of the guest, as VirtualBox reports it.

    What VirtualBox took without a check (port 0, an impossible address) is a value here too:
    ``check`` says what is wrong with it.
    """

    name: str
    protocol: str
    host_ip: str
    host_port: int
    guest_ip: str
    guest_port: int
    nic: int = 1

    def check(self) -> NatForward:
        """This forward, if VirtualBox would do exactly this. Raises InvalidRule."""
        where = f"The NAT forward {self.name!r}"
        if not self.name or "," in self.name or _CONTROL.search(self.name):
            raise InvalidRule(f"{where} needs a name without commas and control characters")
        if "%" in self.name:
            # VirtualBox takes it for a format: %s becomes <NULL>, "ä%" swallows the comma.
            raise InvalidRule(f"{where} has a name with '%', which VirtualBox does not keep")
        if self.name != self.name.strip():
            raise InvalidRule(f"{where} has spaces around its name, which VirtualBox cuts off")
        if self.name.startswith("-") or self.name == "delete":
            raise InvalidRule(f"{where} has a name that VBoxManage takes for something else")
        if self.protocol not in ("tcp", "udp"):
            raise InvalidRule(f"{where} has the protocol {self.protocol!r}; it is tcp or udp")
        for what, port in (("host", self.host_port), ("guest", self.guest_port)):
            if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
                raise InvalidRule(f"{where} has the {what} port {port!r}; it is 1 to 65535")
        for what, address in (("host", self.host_ip), ("guest", self.guest_ip)):
            try:
                if address:
                    ipaddress.ip_address(address)
            except ValueError as error:
                raise InvalidRule(f"{where} has the {what} address {address!r}") from error
        if not 1 <= self.nic <= 36:
            raise InvalidRule(f"{where} belongs to the adapter {self.nic}; it is 1 to 36")
        return self

    def to_argument(self) -> str:
        """The value for ``--natpfN`` and ``controlvm natpfN``. Raises InvalidRule."""
        self.check()
        ends = f"{self.host_ip},{self.host_port},{self.guest_ip},{self.guest_port}"
        return f"{self.name},{self.protocol},{ends}"


@dataclass(frozen=True)
class Nic:
    """A network adapter that is there; ``network`` names what it is attached to, if anything.

    attachment: nat, bridged, intnet, hostonly, hostonlynetwork, natnetwork, generic, cloud, null.
    """

    number: int
    attachment: str
    network: str
    mac: str
    adapter_type: str
    cable_connected: bool


@dataclass(frozen=True)
class Snapshot:
    """A snapshot; ``parent`` is the UUID of the one that it builds on."""

    uuid: str
    name: str
    description: str = ""
    parent: str | None = None
    current: bool = False


@dataclass(frozen=True)
class Medium:
    """A disk: the UUID of the one that it builds on, and UUIDs of machines that use it.

    Among ``users`` are the snapshots' UUIDs too.
    """

    uuid: str
    parent: str | None
    users: tuple[str, ...] = ()


@dataclass(frozen=True)
class GuestProperty:
    """A property that guest or host left; flags as VirtualBox names them (RDONLYGUEST...)."""

    name: str
    value: str
    timestamp: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vm:
    """A machine with all that the inventory and the modules need; memory in MB.

    ``cpu_cap_percent`` is how much of each of its CPUs it may use.

    An inaccessible machine has ``accessible`` False, the state "inaccessible" and no details.
    """

    uuid: str
    name: str
    state: str
    groups: tuple[str, ...] = ()
    cpus: int = 0
    cpu_cap_percent: int = 100
    memory_mb: int = 0
    os_type: str = ""
    description: str = ""
    config_file: str = ""
    state_since: str = ""
    nics: tuple[Nic, ...] = ()
    forwards: tuple[NatForward, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    accessible: bool = True

    @property
    def online(self) -> bool:
        """Whether a process runs the machine (running, paused or on the way)."""
        return self.state in ONLINE

    @property
    def current_snapshot(self) -> Snapshot | None:
        return next((snapshot for snapshot in self.snapshots if snapshot.current), None)


def inaccessible(uuid: str) -> Vm:
    """A machine whose settings VirtualBox cannot read."""
    return Vm(uuid=uuid, name="<inaccessible>", state="inaccessible", accessible=False)


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def checked_uuid(text: str) -> str:
    """A UUID as VirtualBox prints it. Raises InvalidArgument for anything else."""
    bare = text.strip("{}")
    if not is_uuid(bare):
        raise InvalidArgument(f"{text!r} is not a machine's UUID", "Look the name up first.")
    return bare.lower()


def state_from(text: str) -> str:
    """A state in VirtualBox's short form, from either form. Raises MalformedOutput."""
    short = text.strip().lower().replace(" ", "")
    short = _LONG_STATES.get(short, short)
    if not _STATE.fullmatch(short):
        raise MalformedOutput(f"VBoxManage reports the state {text[:60]!r}")
    return short


def moment_from(text: str) -> str:
    """A time in UTC to the second, as 2026-01-02T03:04:05Z. Raises MalformedOutput.

    VirtualBox knows fractions only until its service ends; then they are gone.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise MalformedOutput(f"VirtualBox reports the time {text[:60]!r}")
    return f"{match.group(1)}Z"


def number_from(text: str, what: str = "a number") -> int:
    """A count from VBoxManage's output. Raises MalformedOutput."""
    # Bounded: more digits than this are no count, and int() refuses thousands of them.
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise MalformedOutput(f"VBoxManage reports {what} as {text[:60]!r}")
    return int(text)


def forward_from(text: str, nic: int) -> NatForward:
    """A forward from the form name,protocol,host ip,host port,guest ip,guest port."""
    fields = text.rsplit(",", 5)
    if len(fields) != 6:
        raise MalformedOutput(f"VBoxManage reports the NAT forward {text[:120]!r}")
    name, protocol, host_ip, host_port, guest_ip, guest_port = fields
    return NatForward(
        name=name,
        protocol=protocol.lower(),
        host_ip=host_ip,
        host_port=number_from(host_port, "a host port"),
        guest_ip=guest_ip,
        guest_port=number_from(guest_port, "a guest port"),
        nic=nic,
    )
