# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine needs for a cluster: pure checks over facts that were gathered elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clusterops.cli.findings import Level, Machine, Problem, Result
from clusterops.cli.hypervisor_checks import Hypervisor, check_hypervisor
from clusterops.config import ClusterConfig

MIN_PYTHON = (3, 11)
MIN_FREE_GB = 6.0
MIN_CORES = 2


@dataclass(frozen=True)
class Engine:
    """The container engine. ``error`` is set when it does not answer; the rest is then unknown."""

    error: str | None = None
    version: str = ""
    cgroup_version: str = ""
    storage_driver: str = ""
    memory_mb: int | None = None
    cpus: int | None = None
    root_dir: str = ""
    images: tuple[str, ...] = ()
    machines: tuple[Machine, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What the probes found. Memory in MiB, disk in GB (10^9 bytes), None where unknown."""

    python: tuple[int, int, int]
    programs: dict[str, bool]
    engine: Engine
    hypervisor: Hypervisor
    memory_available_mb: int | None
    cpus: int
    free_gb: dict[str, float]
    busy_ports: dict[int, str | None]
    server_manager_is_ours: bool
    registry_reachable: bool
    may_install_packages: bool
    base_archive: bool
    may_start_engine: bool
    now: float
    newest_file: float

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Machines of clusters, whatever provider they are on."""
        return self.engine.machines + self.hypervisor.machines


def check_all(config: ClusterConfig | None, facts: Facts) -> list[Result]:
    """Every check, in the order in which a person would repair things.

    Without a valid ``config`` the checks that need one are left out.
    """
    results = [
        *_python(facts),
        *_programs(facts),
        *_clock(facts),
        *_engine(config, facts),
        *check_hypervisor(config, facts.hypervisor),
        *_disk(config, facts),
    ]
    if config is not None:
        results += [*_memory(config, facts), *_ports(config, facts), *_leftovers(config, facts)]
    return results


def problems(results: list[Result]) -> list[Problem]:
    """The results that block."""
    return [
        Problem(result.check, result.message, result.remedy)
        for result in results
        if result.level is Level.FAILED
    ]


def _own(config: ClusterConfig | None, facts: Facts) -> list[Machine]:
    if config is None:
        return []
    return [m for m in facts.machines if m.cluster == config.cluster_name]


def _python(facts: Facts) -> Iterator[Result]:
    version = ".".join(map(str, facts.python))
    if facts.python[:2] >= MIN_PYTHON:
        yield Result("Python", Level.OK, version)
    else:
        yield Result(
            "Python", Level.FAILED, f"{version} is too old", "install Python 3.11 or newer"
        )


def _programs(facts: Facts) -> Iterator[Result]:
    missing = [name for name in ("ssh", "ssh-keygen") if not facts.programs.get(name)]
    if missing:
        yield Result(
            "ssh",
            Level.FAILED,
            f"{' and '.join(missing)} not installed",
            "install openssh-client",
        )
    else:
        yield Result("ssh", Level.OK, "ssh and ssh-keygen are installed")


def _clock(facts: Facts) -> Iterator[Result]:
    if facts.now < facts.newest_file - 86_400:
        yield Result(
            "Clock",
            Level.WARNING,
            "this machine's clock is behind the files of the playground; "
            "certificates will look as if they were not valid yet",
            "set the clock (timedatectl set-ntp true)",
        )
    else:
        yield Result("Clock", Level.OK, "plausible")


def _engine(config: ClusterConfig | None, facts: Facts) -> Iterator[Result]:
    if config is not None and config.cluster_provider not in ("auto", "docker"):
        yield Result("Container engine", Level.OK, f"not needed for {config.cluster_provider}")
        return
    engine = facts.engine
    if engine.error is not None and (facts.may_install_packages or facts.may_start_engine):
        yield Result(
            "Container engine",
            Level.WARNING,
            f"does not answer: {engine.error}",
            "./playground up starts it, and installs it first where it is missing",
        )
        return
    if engine.error is not None:
        yield Result(
            "Container engine",
            Level.FAILED,
            f"does not answer: {engine.error}",
            "install and start Docker; your user must be allowed to use its socket",
        )
        return
    yield Result(
        "Container engine",
        Level.OK,
        f"{engine.version}, cgroup v{engine.cgroup_version or '?'}, {engine.storage_driver}",
    )
    if engine.storage_driver == "vfs":
        yield Result(
            "Storage driver",
            Level.WARNING,
            "vfs copies every image layer: slow, and large on disk",
            "use overlay2 on an ext4 or xfs file system",
        )
    cpus = engine.cpus or facts.cpus
    if cpus < MIN_CORES:
        yield Result(
            "Cores", Level.WARNING, f"{cpus}; {MIN_CORES} are wanted", "expect a slow cluster"
        )
    else:
        yield Result("Cores", Level.OK, str(cpus))
    yield _base_image(config, facts)


def _base_image(config: ClusterConfig | None, facts: Facts) -> Result:
    own = f"clusterops/{config.cluster_name}-" if config else "clusterops/"
    here = [image for image in facts.engine.images if image.startswith(own)]
    if here or facts.base_archive:
        return Result("Node image", Level.OK, "here" if here else "its base is here")
    if facts.registry_reachable:
        return Result("Node image", Level.OK, "will be built from an image of a public registry")
    if facts.programs.get("mmdebstrap") or facts.may_install_packages:
        return Result(
            "Node image", Level.OK, "will be built from the package archive with mmdebstrap"
        )
    return Result(
        "Node image",
        Level.FAILED,
        "the engine reaches no image registry, and mmdebstrap is not installed",
        "connect to an image registry, or on Debian or Ubuntu: apt-get install mmdebstrap",
    )


def _disk(config: ClusterConfig | None, facts: Facts) -> Iterator[Result]:
    exists = bool(_own(config, facts))
    for where, free in facts.free_gb.items():
        check = f"Disk ({where})"
        if free >= MIN_FREE_GB:
            yield Result(check, Level.OK, f"{free:.0f} GB free")
            continue
        # A cluster that stands has its images; it needs little more.
        level = Level.WARNING if exists and free >= 1 else Level.FAILED
        yield Result(
            check, level, f"{free:.1f} GB free, {MIN_FREE_GB:g} GB are needed", "free some space"
        )


def _memory(config: ClusterConfig, facts: Facts) -> Iterator[Result]:
    least = config.control_memory_mb + config.agents_min * config.agent_memory_mb
    most = config.control_memory_mb + config.agents_max * config.agent_memory_mb
    available = facts.memory_available_mb
    if available is None:
        available = facts.engine.memory_mb
    if available is None:
        yield Result("Memory", Level.WARNING, f"unknown; the nodes may use {most} MiB")
        return
    shown = f"{available} MiB available"
    if any(machine.running for machine in _own(config, facts)):
        yield Result("Memory", Level.OK, f"{shown} beside the nodes that run")
    elif available < least:
        yield Result(
            "Memory",
            Level.FAILED,
            f"{shown}, the smallest cluster needs {least} MiB",
            "close programs, or lower control_memory_mb and agent_memory_mb in cluster.yml",
        )
    elif available < most:
        yield Result(
            "Memory",
            Level.WARNING,
            f"{shown}, {config.agents_max} agents need {most} MiB",
            "lower agents_max in cluster.yml",
        )
    else:
        yield Result("Memory", Level.OK, f"{shown}, {config.agents_max} agents need {most} MiB")


def _ports(config: ClusterConfig, facts: Facts) -> Iterator[Result]:
    holders = {port: machine for machine in facts.machines for port in machine.ports}
    free = True
    for what, port in config.host_ports().items():
        if port not in facts.busy_ports:
            continue
        machine = holders.get(port)
        if machine is not None and machine.cluster == config.cluster_name:
            continue
        if port == config.port_server_manager and facts.server_manager_is_ours:
            continue
        free = False
        holder = facts.busy_ports[port] or "another program"
        if machine is not None:
            holder = f"{machine.name} of cluster '{machine.cluster}'"
        yield Result(
            "Ports",
            Level.FAILED,
            f"port {port} ({what}) is in use by {holder}",
            f"stop it, or set {_port_key(config, port)} in cluster.yml",
        )
    if free:
        yield Result(
            "Ports", Level.OK, f"all {len(config.host_ports())} are free or this cluster's"
        )


def _port_key(config: ClusterConfig, port: int) -> str:
    keys = [name for name in type(config).model_fields if name.startswith("port_")]
    below = [key for key in keys if getattr(config, key) <= port]
    return max(below, key=lambda key: int(getattr(config, key))) if below else "the port"


def _leftovers(config: ClusterConfig, facts: Facts) -> Iterator[Result]:
    own = _own(config, facts)
    if own and not facts.server_manager_is_ours:
        names = ", ".join(machine.name for machine in own)
        yield Result(
            "Machines",
            Level.WARNING,
            f"of this cluster, with no Server Manager running: {names}",
            "./playground up takes them over, ./playground down removes them",
        )
    else:
        running = sum(machine.running for machine in own)
        yield Result("Machines", Level.OK, f"{running} of this cluster run" if own else "none yet")
