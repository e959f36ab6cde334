# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathering the facts that :mod:`clusterops.cli.checks` judges. Nothing here changes anything."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from clusterops.cli.checks import Engine, Facts
from clusterops.cli.findings import Machine
from clusterops.cli.hypervisor_checks import Hypervisor
from clusterops.clients import ServerManagerClient
from clusterops.config import ClusterConfig
from clusterops.engine_names import SUITE
from clusterops.errors import ClusterOpsError
from clusterops.images.base import OFFICIAL_IMAGE, image_cache
from clusterops.processes import may_install_packages, run
from clusterops.state import State, project_root

LABEL_CLUSTER = "clusterops.cluster"
SILENCE_S = 8
PROGRAMS = ("ssh", "ssh-keygen", "mmdebstrap")


def gather(config: ClusterConfig | None, state: State) -> Facts:
    """Look at this machine; takes a second or two, longer where a network does not answer."""
    archive = (image_cache() / f"base-{SUITE}.tar").exists()
    with ThreadPoolExecutor(3) as pool:
        engine = pool.submit(_engine)
        hypervisor = pool.submit(_hypervisor, config)
        ours = pool.submit(_server_manager_is_ours, config, state)
        found = engine.result()
        return Facts(
            python=sys.version_info[:3],
            programs={name: shutil.which(name) is not None for name in PROGRAMS},
            engine=found,
            hypervisor=hypervisor.result(),
            memory_available_mb=memory_available_mb(_read("/proc/meminfo")),
            cpus=os.cpu_count() or 1,
            free_gb=_free_gb(found),
            busy_ports=_busy_ports(config),
            server_manager_is_ours=ours.result(),
            registry_reachable=_registry_reachable(config, found, archive),
            may_install_packages=may_install_packages(),
            base_archive=archive,
            may_start_engine=os.geteuid() == 0 and shutil.which("dockerd") is not None,
            now=time.time(),
            newest_file=_modified(project_root() / "pyproject.toml"),
        )


def memory_available_mb(meminfo: str) -> int | None:
    """MiB that programs can still take, out of the text of /proc/meminfo."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return None


def listening_inodes(table: str) -> dict[int, str]:
    """Port -> socket inode of the listeners in the text of /proc/net/tcp or tcp6."""
    found: dict[int, str] = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == "0A":
            found[int(fields[1].rsplit(":", 1)[1], 16)] = fields[9]
    return found


def _engine() -> Engine:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=10)
        try:
            info: dict[str, Any] = client.info()
            machines = client.api.containers(all=True, filters={"label": LABEL_CLUSTER})
            images = client.api.images(name="clusterops/*")
        finally:
            client.close()
    except (DockerException, OSError) as error:
        return Engine(error=_short(error))
    return Engine(
        version=str(info.get("ServerVersion", "")),
        cgroup_version=str(info.get("CgroupVersion", "")),
        storage_driver=str(info.get("Driver", "")),
        memory_mb=int(info.get("MemTotal", 0)) // 1024**2 or None,
        cpus=info.get("NCPU"),
        root_dir=str(info.get("DockerRootDir", "")),
        images=tuple(tag for image in images for tag in image.get("RepoTags") or []),
        machines=tuple(machine(each) for each in machines),
    )


def _hypervisor(config: ClusterConfig | None) -> Hypervisor:
    """VirtualBox and Vagrant, as far as the configuration may need them."""
    if config is None or config.cluster_provider not in ("auto", "virtualbox"):
        return Hypervisor(error="not looked at")
    from clusterops.server_manager.driver import Cluster
    from clusterops.server_manager.drivers import _virtualbox_machine as recipe
    from clusterops.server_manager.drivers._virtualbox_lookup import of_cluster
    from clusterops.server_manager.drivers.virtualbox import connect
    from clusterops.virtualbox._vboxmanage_client import DRIVER_DEVICE
    from clusterops.virtualbox._vboxmanage_errors import VBoxManageError

    cluster = Cluster.of(config)
    try:
        manage = connect()
        version = manage.version().number
        vms = of_cluster(manage, cluster, lambda name: True)
    except VBoxManageError as error:
        return Hypervisor(error=error.message, remedy=error.remedy)
    known = {vm.name: vm for vm in vms}
    template = known.get(recipe.vm_name(cluster, recipe.TEMPLATE))
    ready = bool(template and template.current_snapshot)
    # Vagrant takes a second to say its version, and only makes the template.
    needs_vagrant = config.cluster_provider == "virtualbox" and not (
        ready or config.virtualbox_template
    )
    return Hypervisor(
        version=version,
        kernel_driver=Path(DRIVER_DEVICE).exists() if sys.platform == "linux" else None,
        vagrant=_vagrant_version() if needs_vagrant else None,
        template=ready,
        machines=tuple(
            Machine(
                vm.name,
                cluster.name,
                vm.online,
                frozenset(rule.host_port for rule in vm.forwards) if vm.online else frozenset(),
            )
            for vm in known.values()
            if recipe.node_name(cluster, vm)
        ),
    )


def _vagrant_version() -> tuple[int, int, int] | None:
    """The version of Vagrant; None where there is none."""
    try:
        text = run(["vagrant", "--version"], timeout_s=30)
    except ClusterOpsError:
        return None
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def machine(container: dict[str, Any]) -> Machine:
    """One entry of the engine's list of containers."""
    return Machine(
        name=str((container.get("Names") or ["?"])[0]).lstrip("/"),
        cluster=str(container.get("Labels", {}).get(LABEL_CLUSTER, "")),
        running=container.get("State") == "running",
        ports=frozenset(
            int(port["PublicPort"])
            for port in container.get("Ports") or []
            if port.get("PublicPort")
        ),
    )


def _short(error: Exception) -> str:
    """The innermost reason: the SDK wraps 'Permission denied' three times."""
    seen: BaseException = error
    for _ in range(10):
        inner = next((a for a in seen.args if isinstance(a, BaseException)), None)
        inner = inner or seen.__cause__ or seen.__context__
        if inner is None:
            break
        seen = inner
    text = getattr(seen, "strerror", None) or str(seen)
    return " ".join(text.split())[:200] or type(error).__name__


def _free_gb(engine: Engine) -> dict[str, float]:
    """Free space for the checkout, and for the engine where that is another file system."""
    places = {"checkout": project_root()}
    if engine.root_dir and Path(engine.root_dir).is_dir():
        places["container engine"] = Path(engine.root_dir)
    found: dict[str, float] = {}
    devices: set[int] = set()
    for name, path in places.items():
        with contextlib.suppress(OSError):
            device = path.stat().st_dev
            if device not in devices:
                devices.add(device)
                found[name] = shutil.disk_usage(path).free / 1e9
    return found


def _busy_ports(config: ClusterConfig | None) -> dict[int, str | None]:
    """Ports of the configuration that something listens on, with the name of what it is."""
    if config is None:
        return {}
    busy = [p for p in config.host_ports().values() if not _can_bind(config, p)]
    if not busy:
        return {}
    names = _listener_names(busy)
    return {port: names.get(port) for port in busy}


def _can_bind(config: ClusterConfig, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: connections that just ended do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.cluster_bind_address, port))
            # Binding alone does not show a listener that set the same option.
            probe.listen(1)
        except PermissionError:
            return True  # a port below 1024: the engine may use it
        except OSError:
            return False
    return True


def _listener_names(ports: Iterable[int]) -> dict[int, str]:
    """Program and process id for each port, as far as /proc tells."""
    inodes: dict[int, str] = {}
    for table in ("/proc/net/tcp6", "/proc/net/tcp"):
        inodes.update(listening_inodes(_read(table)))
    wanted = {f"socket:[{inodes[port]}]": port for port in ports if port in inodes}
    found: dict[int, str] = {}
    if not wanted:
        return found
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                with contextlib.suppress(OSError):
                    port = wanted.get(str(descriptor.readlink()))
                    if port is not None:
                        name = _read(str(folder / "comm")).strip()
                        found[port] = f"{name} (process {folder.name})"
    return found


def _server_manager_is_ours(config: ClusterConfig | None, state: State) -> bool:
    """Whether this cluster's Server Manager answers at its port, with this cluster's token."""
    if config is None:
        return False
    try:
        client = ServerManagerClient.of(state)
        here = client.url.endswith(f":{config.port_server_manager}")
        return here and client.cluster().get("name") == config.cluster_name
    except ClusterOpsError:
        return False


def _registry_reachable(config: ClusterConfig | None, engine: Engine, archive: bool) -> bool:
    """Whether the engine can pull the base image; not asked when nothing has to be pulled."""
    own = f"clusterops/{config.cluster_name}-" if config else "clusterops/"
    if engine.error or archive or any(image.startswith(own) for image in engine.images):
        return False
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=SILENCE_S)
        try:
            # The engine asks, since it may have a mirror or a proxy that this process has not.
            client.api.inspect_distribution(OFFICIAL_IMAGE)  # type: ignore[no-untyped-call]
        finally:
            client.close()
    except (DockerException, OSError):
        return False
    return True


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
