# SPDX-License-Identifier: GPL-3.0-or-later
"""What a provider of machines has to do, and the errors it may raise.

A driver is a class found by entry point ``clusterops.providers`` and called with a
:class:`Cluster`. Constructing it must not touch the provider. Its calls are synchronous, bring
their own time limits, and may be made from several threads at once; the Server Manager never
makes two changing calls on one machine at the same time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from clusterops.config import CONTROL_NODE, ClusterConfig
from clusterops.errors import ClusterOpsError

ENTRY_POINTS = "clusterops.providers"

NODE_PORTS: Mapping[str, int] = {
    "ssh": 22,
    "app": 5000,
    "metrics": 5100,
    "load_balancer": 80,
    "load_balancer_tls": 443,
    "dashboard": 9000,
    "prometheus": 9090,
}
"""Where each published port leads to inside a machine."""

SeedFiles = Mapping[str, tuple[int, bytes]]
"""Files a machine is born with: absolute path -> (mode, content)."""

Seed = Callable[[Sequence[str]], SeedFiles]
"""Makes the seed files of a machine from the addresses it will have. Called only on creation."""


class ServerState(StrEnum):
    """States of a machine (a contract)."""

    RUNNING = "running"
    STOPPED = "stopped"
    STARTING = "starting"
    STOPPING = "stopping"
    PAUSED = "paused"
    ERROR = "error"
    ABSENT = "absent"


class Role(StrEnum):
    """What a machine is for."""

    CONTROL = "control"
    AGENT = "agent"


@dataclass(frozen=True)
class Cluster:
    """What a driver knows about the cluster whose machines it makes."""

    name: str
    bind_address: str = "127.0.0.1"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Every key of cluster.yml, resolved: a driver takes those that concern its provider."""

    @classmethod
    def of(cls, config: ClusterConfig) -> Cluster:
        return cls(config.cluster_name, config.cluster_bind_address, config.model_dump())


@dataclass(frozen=True)
class ServerSpec:
    """A machine that is wanted. Memory in MiB; ports are host ports, by a key of NODE_PORTS."""

    name: str
    role: Role
    cpus: float
    memory_mb: int
    ports: Mapping[str, int]
    seed: Seed


@dataclass(frozen=True)
class Server:
    """A machine that exists. Memory in MiB; created_at in ISO 8601, UTC."""

    name: str
    role: Role
    state: ServerState
    provider: str
    address: str | None
    cpus: float
    memory_mb: int
    created_at: str
    ports: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class Driver(Protocol):
    """A provider of machines. Every changing call is idempotent and says whether it changed
    anything; every call may raise :class:`DriverError`. A crash at any step is repaired by
    the next call of the same kind."""

    provider: str
    ssh_user: str

    def check(self) -> None:
        """Return when the provider answers; raise :class:`ProviderUnavailable` otherwise."""

    def prepare(self) -> None:
        """Make what all machines share (a network) and sweep up after a crash.

        Only the Server Manager calls this, once, before any other change.
        """

    def host_address(self) -> str:
        """Name or address by which the machines reach this host."""

    def network(self) -> str:
        """The network that the machines share, in CIDR notation."""

    def list(self) -> list[Server]:
        """Every machine of the cluster, ordered by :func:`node_number`."""

    def get(self, name: str) -> Server | None:
        """One machine, or None."""

    def create(self, spec: ServerSpec) -> bool:
        """Make a machine, stopped. An existing one keeps its disk and ports; its CPUs and
        memory follow the specification where the provider can change them."""

    def start(self, name: str) -> bool:
        """Power on. Raises :class:`UnknownServer` when there is no such machine."""

    def stop(self, name: str, grace_s: float = 30) -> bool:
        """Power off: asks, and after ``grace_s`` seconds pulls the plug.

        Raises :class:`UnknownServer` when there is no such machine.
        """

    def delete(self, name: str) -> bool:
        """Remove a machine and its disks, running or not; False when there was none."""

    def teardown(self) -> Sequence[str]:
        """Remove everything the cluster ever made here; one line for each thing removed."""


@runtime_checkable
class FaultDriver(Protocol):
    """What a driver may be able to do besides: faults, for those who practise. Optional; each call
    is idempotent, raises as those of :class:`Driver` do, and :class:`NotPossible` where the
    machine's state does not allow it."""

    def freeze(self, name: str) -> bool:
        """Stop everything in a running machine where it is: it is ``paused`` then."""

    def thaw(self, name: str) -> bool:
        """Let a frozen machine go on."""

    def kill(self, name: str) -> bool:
        """Power off at once, without asking the machine."""


class DriverError(ClusterOpsError):
    """Root of the errors of a provider driver."""


class ProviderUnavailable(DriverError):
    """The provider itself (container engine, hypervisor) does not answer."""


class UnknownServer(DriverError):
    """There is no such machine in this cluster."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Unknown server '{printable(name)}'.")


class NameTaken(DriverError):
    """Something that this cluster did not make has the name that it needs."""


class PortInUse(DriverError):
    """A host port that the machine publishes is taken."""


class ImageMissing(DriverError):
    """The image that machines are made from has not been built."""


class NotPossible(DriverError):
    """The state of the machine does not allow it."""

    def __init__(self, name: str, state: str, what: str) -> None:
        super().__init__(f"'{printable(name)}' is {state}; it cannot {what}.")


def is_to_freeze(name: str, state: ServerState) -> bool:
    """Whether a machine in this state has to be frozen. Raises NotPossible unless it runs."""
    return _is_to_become(name, state, ServerState.PAUSED, ServerState.RUNNING, "be frozen")


def is_to_thaw(name: str, state: ServerState) -> bool:
    """Whether a machine in this state has to be thawed. Raises NotPossible unless it is frozen."""
    return _is_to_become(name, state, ServerState.RUNNING, ServerState.PAUSED, "be thawed")


def _is_to_become(
    name: str, state: ServerState, wanted: ServerState, before: ServerState, what: str
) -> bool:
    if state not in (wanted, before):
        raise NotPossible(name, state, what)
    return state == before


class NotSupported(DriverError):
    """The provider cannot do this at all."""


class DriverTimeout(DriverError):
    """The provider did not finish in time."""


class DriverFailure(DriverError):
    """The provider refused, for the reason in the message."""


def node_number(name: str) -> int:
    """The number by which addresses are given and machines are ordered.

    control-1 is 10, agent-N is 100 + N (N from 1 to 154).

    Raises:
        UnknownServer: a cluster has no machine of that name.
    """
    if name == CONTROL_NODE:
        return 10
    match = re.fullmatch(r"agent-([1-9]\d{0,2})", name, re.ASCII)
    if not match or int(match[1]) > 154:
        raise UnknownServer(name)
    return 100 + int(match[1])


def is_node_name(name: str) -> bool:
    """Whether a machine of some cluster may have this name."""
    try:
        return node_number(name) > 0
    except UnknownServer:
        return False


def printable(text: str, limit: int = 100) -> str:
    """Text from outside, fit for a one-line message in UTF-8."""
    clean = "".join(c if c.isprintable() else "?" for c in text[:limit])
    return clean + ("…" if len(text) > limit else "")
