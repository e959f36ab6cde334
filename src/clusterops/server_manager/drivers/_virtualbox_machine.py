# SPDX-License-Identifier: GPL-3.0-or-later
"""What a virtual machine needs to be a machine of a cluster, and how to read one back. Pure.

The Vagrantfile makes machines of the same shape, so those are the cluster's, too.
"""

from __future__ import annotations

import io
import math
import re
import tarfile
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import PurePath

from clusterops.server_manager.driver import (
    NODE_PORTS,
    Cluster,
    Role,
    SeedFiles,
    Server,
    ServerSpec,
    ServerState,
    is_node_name,
    node_number,
)
from clusterops.virtualbox._vboxmanage_model import GuestProperty, NatForward, Vm

UNFINISHED = ".unfinished"
TEMPLATE = "template"
SEED_MARK = "clusterops-seed"
SEED_CONTROLLER = "clusterops-seed"
SEED_BLOCK = 1024 * 1024
"""VirtualBox makes no disk whose size is not a multiple of this."""
CLUSTER_NIC = 2
REPORTED = "/VirtualBox/GuestInfo/Net/"

_MADE = re.compile(r"\bmade (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) by the playground\.")

STATES: Mapping[str, ServerState] = {
    "running": ServerState.RUNNING,
    "livesnapshotting": ServerState.RUNNING,
    "onlinesnapshotting": ServerState.RUNNING,
    "poweroff": ServerState.STOPPED,
    "saved": ServerState.STOPPED,
    "aborted": ServerState.STOPPED,
    "aborted-saved": ServerState.STOPPED,
    "snapshotting": ServerState.STOPPED,
    "deletingsnapshot": ServerState.STOPPED,
    "paused": ServerState.PAUSED,
    "starting": ServerState.STARTING,
    "restoring": ServerState.STARTING,
    "stopping": ServerState.STOPPING,
    "saving": ServerState.STOPPING,
}


def group(cluster: Cluster) -> str:
    """The group of VirtualBox that holds the cluster's machines and nothing else."""
    return f"/clusterops/{cluster.name}"


def vm_name(cluster: Cluster, name: str) -> str:
    """VirtualBox's name of a machine."""
    return f"{cluster.name}-{name}"


def is_ours(cluster: Cluster, vm: Vm) -> bool:
    """Whether the cluster made a virtual machine.

    A clone is in its original's group until it gets its own settings, though its folder is in
    the group that was asked for.
    """
    if vm.name.endswith(UNFINISHED):
        folder = PurePath(vm.config_file).parent.parent
        return folder.parts[-2:] == tuple(group(cluster).split("/")[1:])
    return group(cluster) in vm.groups


def node_name(cluster: Cluster, vm: Vm) -> str | None:
    """The cluster's name of a virtual machine; None for what is not a machine of it."""
    name = vm.name.removeprefix(f"{cluster.name}-")
    ours = is_ours(cluster, vm) and vm.name == vm_name(cluster, name)
    return name if ours and is_node_name(name) else None


def network(cluster: Cluster) -> IPv4Network:
    """The machines' own network."""
    return IPv4Network(str(cluster.settings["virtualbox_network"]))


def planned_address(cluster: Cluster, name: str) -> str:
    """The address that a machine gives itself in the machines' network."""
    return str(network(cluster)[node_number(name)])


def mac_address(cluster: Cluster, name: str) -> str:
    """MAC of the adapter in the machines' network, as VirtualBox writes it (its own prefix)."""
    return f"080027{zlib.crc32(cluster.name.encode()) & 0xFFFF:04X}{node_number(name):02X}"


def cpus_and_cap(cpus: float) -> tuple[int, int]:
    """Whole CPUs, and how much of each may be used (percent), for a share of CPUs."""
    count = max(1, math.ceil(cpus))
    return count, cpu_cap(cpus, count)


def cpu_cap(cpus: float, count: int) -> int:
    """The cap that gives a machine of ``count`` CPUs as much as ``cpus``, percent."""
    return min(100, max(1, round(100 * cpus / count)))


def size_arguments(spec: ServerSpec) -> list[str]:
    """Options of ``modifyvm`` for CPUs and memory."""
    count, cap = cpus_and_cap(spec.cpus)
    return [
        *("--cpus", str(count), "--cpu-execution-cap", str(cap)),
        *("--memory", str(spec.memory_mb)),
    ]


def forwards(cluster: Cluster, spec: ServerSpec) -> list[NatForward]:
    """The ports of the host that lead into the machine."""
    return [
        NatForward(what, "tcp", cluster.bind_address, port, "", NODE_PORTS[what])
        for what, port in spec.ports.items()
    ]


def birth_arguments(cluster: Cluster, spec: ServerSpec, clone: Vm, now: datetime) -> list[str]:
    """Options of one ``modifyvm`` that turn a clone into the machine; its name comes last.

    A clone inherits the groups and forwards of what it was cloned from, and VirtualBox starts
    two machines with the same forwards without a word.
    """
    made = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    description = (
        f"Machine {spec.name} of the cluster {cluster.name}, made {made} by the playground."
    )
    arguments = ["--groups", group(cluster), *size_arguments(spec), "--description", description]
    for inherited in clone.forwards:
        arguments += [f"--natpf{inherited.nic}", "delete", inherited.name]
    arguments += ["--nic1", "nat", "--nat-localhostreachable1", "on"]
    for forward in forwards(cluster, spec):
        arguments += ["--natpf1", forward.to_argument()]
    nic = CLUSTER_NIC
    arguments += [f"--nic{nic}", "intnet", f"--intnet{nic}", f"{cluster.name}-net"]
    arguments += [f"--cableconnected{nic}", "on"]
    arguments += [f"--macaddress{nic}", mac_address(cluster, spec.name)]
    return [*arguments, "--name", vm_name(cluster, spec.name)]


def own_seed_files(cluster: Cluster, name: str) -> dict[str, tuple[int, bytes]]:
    """What a guest has to know beside its keys: its name, and its address."""
    mac = re.sub(r"(..)(?!$)", r"\1:", mac_address(cluster, name))
    prefix = network(cluster).prefixlen
    unit = (
        "# The network between the cluster's machines.\n"
        f"[Match]\nMACAddress={mac}\n\n"
        f"[Network]\nAddress={planned_address(cluster, name)}/{prefix}\nLinkLocalAddressing=no\n"
    )
    return {
        "/etc/hostname": (0o644, f"{name}\n".encode()),
        "/etc/systemd/network/10-clusterops.network": (0o644, unit.encode()),
    }


def seed_disk(files: SeedFiles, stamp: int) -> bytes:
    """The content of a disk that gives a guest its files: a tar, filled up to whole blocks.

    Its first entry marks it. The guest's service (role ``machine_seed``) unpacks it.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(SEED_MARK))
        for path, (mode, content) in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(content), mode, stamp
            tar.addfile(entry, io.BytesIO(content))
    data = stream.getvalue()
    return data + b"\0" * (-len(data) % SEED_BLOCK)


def reported_address(vm: Vm, properties: tuple[GuestProperty, ...]) -> str | None:
    """What the guest says its address in the machines' network is, if it says so."""
    nic = next((nic for nic in vm.nics if nic.number == CLUSTER_NIC), None)
    values = {each.name: each.value for each in properties}
    for name, mac in values.items():
        if nic and name.startswith(REPORTED) and name.endswith("/MAC") and mac == nic.mac:
            return values.get(name.removesuffix("MAC") + "V4/IP") or None
    return None


def state_of(vm: Vm) -> ServerState:
    """VirtualBox's state in the playground's words."""
    return STATES.get(vm.state, ServerState.ERROR)


def describe(cluster: Cluster, vm: Vm, name: str, provider: str, address: str | None) -> Server:
    """The machine that a virtual machine is."""
    made = _MADE.search(vm.description)
    since = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", vm.state_since)
    ports = {rule.name: rule.host_port for rule in vm.forwards}
    return Server(
        name=name,
        role=Role.AGENT if name.startswith("agent-") else Role.CONTROL,
        state=state_of(vm),
        provider=provider,
        address=address or planned_address(cluster, name),
        cpus=vm.cpus * vm.cpu_cap_percent / 100,
        memory_mb=vm.memory_mb,
        created_at=made[1] if made else f"{since[0]}Z" if since else "1970-01-01T00:00:00Z",
        ports={what: ports[what] for what in NODE_PORTS if what in ports},
    )
