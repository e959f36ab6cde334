# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container needs to be a machine with its own systemd, and how to read one back.

Pure, but for the SDK's helper that assembles a HostConfig.
"""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import PurePosixPath
from typing import Any

from clusterops.engine_names import CLUSTER_LABEL
from clusterops.server_manager.driver import (
    NODE_PORTS,
    Cluster,
    Role,
    SeedFiles,
    Server,
    ServerSpec,
    ServerState,
)

SERVER_LABEL = "clusterops.server"
ROLE_LABEL = "clusterops.role"
CPU_PERIOD_US = 100_000
MIB = 1024 * 1024

CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG"]
VOLUMES = ["/var/lib/docker", "/var/lib/containerd"]
TMPFS = {"/run": "", "/run/lock": "", "/tmp": "exec"}  # noqa: S108 - inside the machine
INIT = "/sbin/init"
# systemd 257 refuses cgroup v1 without these.
LEGACY_INIT_ARGUMENTS = [
    "systemd.unified_cgroup_hierarchy=0",
    "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
]

STATES = {
    "running": ServerState.RUNNING,
    "created": ServerState.STOPPED,
    "exited": ServerState.STOPPED,
    "paused": ServerState.PAUSED,
    "restarting": ServerState.STARTING,
    "removing": ServerState.STOPPING,
}


def options(
    api: Any, spec: ServerSpec, cluster: Cluster, *, legacy_cgroups: bool
) -> dict[str, Any]:
    """Arguments of ``create_container`` for a machine, without image, name and network.

    Args:
        legacy_cgroups: the host has cgroup v1 (or hybrid).
    """
    memory = memory_bytes(spec)
    labels = {
        CLUSTER_LABEL: cluster.name,
        SERVER_LABEL: spec.name,
        ROLE_LABEL: str(spec.role),
    }
    bindings = {NODE_PORTS[what]: (cluster.bind_address, p) for what, p in spec.ports.items()}
    host_config = api.create_host_config(
        network_mode=f"{cluster.name}-net",
        port_bindings=bindings,
        cap_add=CAPABILITIES,
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        tmpfs=TMPFS,
        cpu_period=CPU_PERIOD_US,
        cpu_quota=cpu_quota(spec),
        mem_limit=memory,
        memswap_limit=memory,  # no swap: a machine has the memory it says it has
        restart_policy={"Name": "no"},
        log_config={"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
    )
    # What `systempaths=unconfined` of the command line means: the nested engine mounts /proc.
    host_config["MaskedPaths"] = []
    host_config["ReadonlyPaths"] = []
    host_config["CgroupnsMode"] = "private"
    # Without a source these are anonymous volumes (they go with the container), yet labelled.
    host_config["Mounts"] = [
        {
            "Type": "volume",
            "Target": target,
            "VolumeOptions": {"Labels": {CLUSTER_LABEL: cluster.name}},
        }
        for target in VOLUMES
    ]
    return {
        "command": [INIT, *(LEGACY_INIT_ARGUMENTS if legacy_cgroups else [])],
        "hostname": spec.name,
        "labels": labels,
        "ports": list(bindings),
        "stop_signal": "SIGRTMIN+3",
        "host_config": host_config,
    }


def cpu_quota(spec: ServerSpec) -> int:
    """Microseconds of CPU in each period; the engine's minimum is 1 ms."""
    return max(1000, round(spec.cpus * CPU_PERIOD_US))


def memory_bytes(spec: ServerSpec) -> int:
    """The memory limit in bytes."""
    return spec.memory_mb * MIB


def describe(info: dict[str, Any], provider: str) -> Server:
    """The machine that an inspected container is."""
    host = info["HostConfig"]
    purposes = {port: what for what, port in NODE_PORTS.items()}
    ports: dict[str, int] = {}
    for inside, outside in (host.get("PortBindings") or {}).items():
        what = purposes.get(int(inside.split("/")[0]))
        if what and outside:
            ports[what] = int(outside[0]["HostPort"])
    return Server(
        name=server_name(info),
        role=Role(info["Config"]["Labels"].get(ROLE_LABEL, Role.AGENT)),
        state=STATES.get(info["State"]["Status"], ServerState.ERROR),
        provider=provider,
        address=static_address(info),
        cpus=(host.get("CpuQuota") or 0) / (host.get("CpuPeriod") or CPU_PERIOD_US),
        memory_mb=(host.get("Memory") or 0) // MIB,
        created_at=info["Created"][:19] + "Z",
        ports={what: ports[what] for what in NODE_PORTS if what in ports},
    )


def server_name(info: dict[str, Any]) -> str:
    """Name of the machine that a container was made for."""
    return str((info["Config"].get("Labels") or {}).get(SERVER_LABEL, ""))


def static_address(info: dict[str, Any]) -> str | None:
    """The address a container was made with, whether it runs or not."""
    for endpoint in info["NetworkSettings"]["Networks"].values():
        if address := (endpoint.get("IPAMConfig") or {}).get("IPv4Address"):
            return str(address)
    return None


def archive(files: SeedFiles) -> bytes:
    """A tar of the seed files, owned by root, with the folders they need.

    Folders that every Debian has keep their mode; others are as private as their content.
    """
    stream = io.BytesIO()
    now = int(time.time())
    with tarfile.open(fileobj=stream, mode="w") as tar:
        folders = {PurePosixPath(path).parent for path in files}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(str(folder).lstrip("/"))
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o755 if folder.parts[1] == "etc" else 0o700
            entry.mtime = now
            tar.addfile(entry)
        for path, (mode, content) in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(content), mode, now
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
