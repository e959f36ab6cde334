# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the body of a guest: the operating system inside a virtual machine, nothing else.

Machines of the tests' VirtualBox are interpreted and far too slow for a cluster. VirtualBox
itself makes, clones, starts, stops and removes them; for each one that runs, this helper runs a
container as what would run in it, and takes it down when the machine stops. What reaches the
body is what reaches a guest: its seed disk, the ports that are forwarded to it, its share of
CPUs, its network. The body's address is set as the guest property that the Guest Additions set.
A clone's body starts from what the template's body was when the template was shut down.
"""

from __future__ import annotations

import io
import re
import struct
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from clusterops.engine_names import CLUSTER_LABEL, image_tag
from clusterops.images.build import ensure_node_images
from clusterops.server_manager.driver import Cluster, Role, ServerSpec
from clusterops.server_manager.drivers import _docker_container as machine
from clusterops.virtualbox._vboxmanage_model import Vm

from .host import VirtualBoxHost

Files = dict[str, tuple[int, bytes]]
"""Path -> mode and content."""

EVERY_S = 1.0
RESIZE_EVERY_S = 5.0
IMAGES = "clusterops-guests"
"""Takes the place of a cluster's name in the names of the bodies' images."""
NAT_SUBNET, NAT_GATEWAY = "10.0.2.0/24", "10.0.2.2"
"""As VirtualBox's NAT: the gateway is the host."""
BOX = """
FROM {base}
RUN apt-get update -q && apt-get install -yq --no-install-recommends sudo && \\
    useradd --create-home --shell /bin/bash vagrant && \\
    echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/vagrant && \\
    install -d -m 700 -o vagrant -g vagrant /home/vagrant/.ssh && \\
    echo '{key}' >/home/vagrant/.ssh/authorized_keys && \\
    chown vagrant:vagrant /home/vagrant/.ssh/authorized_keys && ssh-keygen -A && \\
    systemctl disable docker-registry.service
"""


def box_image(client: Any) -> str:
    """A node's image as a Vagrant box has it: the user vagrant, its well-known key, and sudo.

    The packages of a control node are in it, for speed; what would answer on an agent is off.
    """
    ensure_node_images(client, IMAGES, print)
    tag = image_tag(IMAGES, "box")
    keys = subprocess.run(["dpkg", "-L", "vagrant"], capture_output=True, text=True, check=True)
    path = next(line for line in keys.stdout.splitlines() if line.endswith("/keys/vagrant.pub"))
    base = image_tag(IMAGES, "node-control")
    text = BOX.format(base=base, key=Path(path).read_text().strip())
    client.images.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True)
    return tag


@dataclass
class Body:
    """A container that runs for a virtual machine."""

    container: Any
    address: str
    resized: float
    quota: int

    def is_down(self) -> bool:
        """Whether the guest has shut itself down, which switches its machine off."""
        self.container.reload()
        return bool(self.container.status == "exited")


class GuestStandIn:
    """Bodies for the machines of one cluster, while it is entered."""

    def __init__(self, client: Any, host: VirtualBoxHost, cluster: str, subnet: str) -> None:
        self._client = client
        self._host = host
        self._manage = host.client()
        self._group = f"/clusterops/{cluster}"
        self._bodies = Cluster(f"{cluster}-guests")
        self._cluster = cluster
        self._subnet = subnet
        self._image = box_image(client)
        self._cloned = image_tag(self._bodies.name, "cloned")
        self._of: dict[str, Body] = {}
        self._stop = threading.Event()
        self.problems: list[str] = []

    @contextmanager
    def running(self) -> Iterator[GuestStandIn]:
        self._remove_all()
        self._network(f"{self._bodies.name}-net", self._subnet, None)
        self._network(f"{self._bodies.name}-nat", NAT_SUBNET, NAT_GATEWAY)
        thread = threading.Thread(target=self._loop)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()
            self._remove_all()

    def body_of(self, node: str) -> Any:
        """The container of a machine that runs."""
        return self._client.containers.get(self._name(f"{self._cluster}-{node}"))

    def _name(self, vm: str) -> str:
        return f"guest-of-{vm}"

    def _network(self, name: str, subnet: str, gateway: str | None) -> Any:
        pool = {"Subnet": subnet, **({"Gateway": gateway} if gateway else {})}
        return self._client.networks.create(
            name,
            labels={CLUSTER_LABEL: self._bodies.name},
            ipam={"Driver": "default", "Config": [pool]},
        )

    def _loop(self) -> None:
        while not self._stop.wait(EVERY_S):
            try:
                self._step()
            except Exception as error:
                # A machine that is going away meanwhile, say: looked at again, and told at the end.
                self.problems.append(f"{type(error).__name__}: {error}")

    def _step(self) -> None:
        running = {
            ref.uuid for ref in self._manage_running() if ref.name.startswith(f"{self._cluster}-")
        }
        # Asked second: whatever runs is among them.
        known = {vm.uuid: vm.name for vm in self._manage.vms()}
        for uuid in running:
            body = self._of.get(uuid)
            if body is None or time.monotonic() - body.resized > RESIZE_EVERY_S:
                vm = self._manage.vm(uuid)
                if self._group not in vm.groups:
                    continue
                if body is None:
                    self._boot(vm)
                else:
                    self._resize(body, vm)
            elif body.is_down():
                self._manage.on(uuid, "controlvm", "poweroff")
        for uuid in list(self._of):
            if uuid not in running:
                self._shut_down(uuid, known.get(uuid))
        for container in self._containers():
            if container.labels["guest"] not in known:
                self._of.pop(container.labels["guest"], None)
                container.remove(force=True, v=True)

    def _manage_running(self) -> Any:
        from clusterops.virtualbox._vboxmanage import parse_vms

        return parse_vms(self._manage.call("list", "runningvms"))

    def _boot(self, vm: Vm) -> None:
        seed = self._seed(vm)
        unit = seed.get("/etc/systemd/network/10-clusterops.network", (0, b""))[1].decode()
        found = re.search(r"^Address=([\d.]+)/", unit, re.MULTILINE)
        try:
            container = self._client.containers.get(self._name(vm.name))
        except NotFound:
            container = self._make(vm, seed, found[1] if found else None)
        container.start()
        container.reload()
        networks = container.attrs["NetworkSettings"]["Networks"]
        address = found[1] if found else next(iter(networks.values()))["IPAddress"]
        self._of[vm.uuid] = Body(container, address, time.monotonic(), _quota(vm))
        nic = max(vm.nics, key=lambda nic: nic.number)
        prefix = "/VirtualBox/GuestInfo/Net/0"
        self._manage.on(vm.uuid, ("guestproperty", "set"), f"{prefix}/MAC", nic.mac)
        self._manage.on(vm.uuid, ("guestproperty", "set"), f"{prefix}/V4/IP", address)

    def _make(self, vm: Vm, seed: Files, address: str | None) -> Any:
        spec = ServerSpec(
            vm.name,
            Role.AGENT,
            vm.cpus * vm.cpu_cap_percent / 100,
            max(vm.memory_mb, 512),
            {rule.name: rule.host_port for rule in vm.forwards},
            lambda _: {},
        )
        api = self._client.api
        legacy = str(self._client.info().get("CgroupVersion", "1")) == "1"
        options = machine.options(api, spec, self._bodies, legacy_cgroups=legacy)
        options["hostname"] = seed.get("/etc/hostname", (0, b"box"))[1].decode().strip()
        options["labels"] = {CLUSTER_LABEL: self._bodies.name, "guest": vm.uuid}
        clone = bool(seed) and bool(self._client.images.list(name=self._cloned))
        inside, nat = f"{self._bodies.name}-net", f"{self._bodies.name}-nat"
        own = None
        if address:
            endpoint = api.create_endpoint_config(ipv4_address=address)
            own = api.create_networking_config({inside: endpoint})
        else:
            options["host_config"]["NetworkMode"] = nat
        made = api.create_container(
            self._cloned if clone else self._image,
            name=self._name(vm.name),
            networking_config=own,
            **options,
        )
        if address:
            api.connect_container_to_network(made["Id"], nat)
        api.put_archive(made["Id"], "/", machine.archive(seed))
        return self._client.containers.get(made["Id"])

    def _seed(self, vm: Vm) -> Files:
        """What a guest's service unpacks from the seed disk; nothing for a machine without one."""
        disk = Path(vm.config_file).parent / "seed.vdi"
        if not disk.exists():
            return {}
        # VirtualBox holds the disk of a machine that runs. A VDI has the place where its data begin
        # at byte 0x158, and the seed is one block.
        image = disk.read_bytes()
        (begin,) = struct.unpack_from("<I", image, 0x158)
        with tarfile.open(fileobj=io.BytesIO(image[begin:])) as tar:
            return {
                f"/{entry.name}": (entry.mode, tar.extractfile(entry).read())  # type: ignore[union-attr]
                for entry in tar
                if entry.name != "clusterops-seed"
            }

    def _resize(self, body: Body, vm: Vm) -> None:
        body.resized = time.monotonic()
        if body.quota != _quota(vm):
            body.quota = _quota(vm)
            self._client.api.update_container(body.container.id, cpu_quota=body.quota)

    def _shut_down(self, uuid: str, name: str | None) -> None:
        body = self._of.pop(uuid)
        with suppress(NotFound):
            body.container.stop(timeout=10)
            if name == f"{self._cluster}-template":
                repository, _, tag = self._cloned.rpartition(":")
                body.container.commit(repository, tag, changes=['CMD ["/sbin/init"]'])

    def _containers(self) -> list[Any]:
        ours = {"label": f"{CLUSTER_LABEL}={self._bodies.name}"}
        return list(self._client.containers.list(all=True, filters=ours))

    def _remove_all(self) -> None:
        for container in self._containers():
            container.remove(force=True, v=True)
        for image in self._client.images.list(name=self._cloned):
            self._client.images.remove(image.id, force=True)
        label = {"label": f"{CLUSTER_LABEL}={self._bodies.name}"}
        for network in self._client.networks.list(filters=label):
            network.remove()


def _quota(vm: Vm) -> int:
    return max(1000, round(vm.cpus * vm.cpu_cap_percent * machine.CPU_PERIOD_US / 100))
