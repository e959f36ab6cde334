# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines as systemd containers of a container engine.

A machine is made under a provisional name, gets its seed files, and is then renamed: the
rename is the moment it exists. What a crash leaves behind under a provisional name is removed by
the next creation, by the next start of the Server Manager, and by teardown.

Only containers that carry both labels ``clusterops.cluster`` (with this cluster's name) and
``clusterops.server`` are ever touched; the images carry the first one, too, and a container that
a person starts from such an image is theirs.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from typing import Any

from docker.errors import APIError, NotFound

from clusterops.engine import connect
from clusterops.engine_names import CLUSTER_LABEL, image_tag
from clusterops.errors import ClusterOpsError
from clusterops.server_manager.driver import (
    Cluster,
    DriverFailure,
    DriverTimeout,
    ImageMissing,
    ProviderUnavailable,
    Server,
    ServerSpec,
    UnknownServer,
    is_node_name,
    is_to_freeze,
    is_to_thaw,
    node_number,
)
from clusterops.server_manager.drivers import _docker_container as recipe
from clusterops.server_manager.drivers import _docker_network as networks
from clusterops.server_manager.drivers._docker_errors import name_taken, start_error, told

UNFINISHED = ".unfinished"
ENGINE_TIMEOUT_S = 60
FREEZE_TRIES = 10
FREEZE_PAUSE_S = 0.3
REMOVAL_TIMEOUT_S = 45.0
KILL_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)

Images = Callable[[str], str]
"""Image tag of a role ("control", "agent")."""


class DockerDriver:
    """The provider ``docker``; see :class:`clusterops.server_manager.driver.Driver`."""

    provider = "docker"
    ssh_user = "root"

    def __init__(
        self, cluster: Cluster, *, client: Any = None, image_for: Images | None = None
    ) -> None:
        self.cluster = cluster
        self._client = client
        self._image_for = image_for or (lambda role: image_tag(cluster.name, f"node-{role}"))
        self._network_name = f"{cluster.name}-net"
        self._network_lock = threading.Lock()

    def check(self) -> None:
        with told("the container engine does not answer"):
            self._api.ping()

    def prepare(self) -> None:
        with told("preparing the network failed"):
            self._network()
            for info in self._own_containers():
                if info["Name"].endswith(UNFINISHED):
                    log.info("removing a machine that was left half made: %s", info["Name"])
                    self._remove(info["Id"])

    def host_address(self) -> str:
        with told("finding the host's address failed"):
            desktop = "desktop" in str(self._api.info().get("OperatingSystem", "")).lower()
            if desktop or not sys.platform.startswith("linux"):
                return "host.docker.internal"
            return self._network().gateway

    def network(self) -> str:
        with told("finding the machines' network failed"):
            return str(self._network().subnet)

    def list(self) -> list[Server]:
        with told("listing machines failed"):
            servers = [
                recipe.describe(info, self.provider)
                for info in self._own_containers()
                if info["Name"] == f"/{self._container(recipe.server_name(info))}"
            ]
        return sorted(servers, key=lambda server: node_number(server.name))

    def get(self, name: str) -> Server | None:
        with told(f"looking at '{name}' failed"):
            info = self._own(name)
        return recipe.describe(info, self.provider) if info else None

    def create(self, spec: ServerSpec) -> bool:
        final = self._container(spec.name)
        with told(f"creating '{spec.name}' failed"):
            existing = self._inspect(final)
            self._discard_unfinished(spec.name)
            if existing is not None:
                if not self._is_own(existing):
                    raise name_taken(final)
                return self._resize(existing, spec)
            network = self._network()
            address = network.address(node_number(spec.name))
            seed = recipe.archive(spec.seed([address]))
            try:
                container = self._make(spec, network, address)
                self._api.put_archive(container, "/", seed)
                self._api.rename(container, final)
            except BaseException:
                self._discard_unfinished_quietly(spec.name)
                raise
            return True

    def start(self, name: str) -> bool:
        with told(f"starting '{name}' failed"):
            info = self._require(name)
            status = info["State"]["Status"]
            if status == "running":
                return False
            if status == "paused":
                self._api.unpause(info["Id"])
                return True
            if status == "dead":
                raise DriverFailure(
                    f"'{name}' is broken: the engine could not remove it completely",
                    remedy="delete it and create it again",
                )
            self._network()
            try:
                self._api.start(info["Id"])
            except APIError as error:
                raise start_error(recipe.describe(info, self.provider), error) from error
            return True

    def stop(self, name: str, grace_s: float = 30) -> bool:
        with told(f"stopping '{name}' failed"):
            info = self._require(name)
            status = info["State"]["Status"]
            if status in ("exited", "created", "dead"):
                return False
            if status == "paused":  # frozen processes cannot follow the request
                self._api.unpause(info["Id"])
            self._api.stop(info["Id"], timeout=max(1, int(grace_s)))
            if self._require(name)["State"]["Running"]:
                self._kill(info["Id"], name)
            return True

    def freeze(self, name: str) -> bool:
        with told(f"freezing '{name}' failed"):
            info = self._require(name)
            if not is_to_freeze(name, recipe.describe(info, self.provider).state):
                return False
            self._pause(info["Id"])
            return True

    def thaw(self, name: str) -> bool:
        with told(f"thawing '{name}' failed"):
            info = self._require(name)
            if not is_to_thaw(name, recipe.describe(info, self.provider).state):
                return False
            self._api.unpause(info["Id"])
            return True

    def kill(self, name: str) -> bool:
        with told(f"killing '{name}' failed"):
            info = self._require(name)
            if not info["State"]["Running"]:  # it is so while a machine is frozen, too
                return False
            if info["State"]["Status"] == "paused":  # a frozen process does not die
                self._api.unpause(info["Id"])
            self._kill(info["Id"], name)
            return True

    def delete(self, name: str) -> bool:
        with told(f"deleting '{name}' failed"):
            info = self._own(name)
            self._discard_unfinished(name)
            if info is None:
                return False
            self._remove(info["Id"])
            return True

    def teardown(self) -> Sequence[str]:
        removed: list[str] = []
        with told("removing the cluster failed"):
            found = list(self._own_containers())
            if found:
                with ThreadPoolExecutor(max_workers=min(8, len(found))) as pool:
                    list_of_ids = [info["Id"] for info in found]
                    for info, _ in zip(found, pool.map(self._remove, list_of_ids), strict=True):
                        removed.append(f"container {info['Name'].lstrip('/')}")
            ours = {"label": [f"{CLUSTER_LABEL}={self.cluster.name}"]}
            for volume in self._api.volumes(filters=ours).get("Volumes") or []:
                self._api.remove_volume(volume["Name"], force=True)
                removed.append(f"volume {volume['Name']}")
            if networks.remove(self._api, self._network_name, self.cluster.name):
                removed.append(f"network {self._network_name}")
        return removed

    # -- the engine ---------------------------------------------------------------------------

    @property
    def _api(self) -> Any:
        if self._client is None:
            try:
                self._client = connect(ENGINE_TIMEOUT_S)
            except ClusterOpsError as error:
                raise ProviderUnavailable(error.message, remedy=error.remedy) from error
        return self._client.api

    def _pause(self, container: str) -> None:
        """Again and again where a busy machine (control groups v1) does not stand still at once."""
        for _ in range(FREEZE_TRIES - 1):
            try:
                self._api.pause(container)
            except APIError as error:
                if "unable to freeze" not in str(error):
                    raise
                time.sleep(FREEZE_PAUSE_S)
            else:
                return
        self._api.pause(container)

    def _network(self) -> networks.Network:
        name = self._network_name
        with self._network_lock:
            if network := networks.find(self._api, name, self.cluster.name):
                return network
            wanted = next(
                (IPv4Network((address, 24), strict=False)
                 for info in self._own_containers()
                 if (address := recipe.static_address(info))),
                None,
            )  # fmt: skip
            return networks.ensure(self._api, name, self.cluster.name, wanted)

    # -- containers ---------------------------------------------------------------------------

    def _container(self, name: str) -> str:
        return f"{self.cluster.name}-{name}"

    def _is_own(self, info: dict[str, Any]) -> bool:
        labels = info["Config"].get("Labels") or {}
        return labels.get(CLUSTER_LABEL) == self.cluster.name and recipe.SERVER_LABEL in labels

    def _own_containers(self) -> Iterator[dict[str, Any]]:
        labels = [f"{CLUSTER_LABEL}={self.cluster.name}", recipe.SERVER_LABEL]
        for item in self._api.containers(all=True, filters={"label": labels}):
            info = self._inspect(item["Id"])
            if info is not None and is_node_name(recipe.server_name(info)):
                yield info

    def _inspect(self, container: str) -> dict[str, Any] | None:
        try:
            return dict(self._api.inspect_container(container))
        except NotFound:
            return None

    def _own(self, name: str) -> dict[str, Any] | None:
        info = self._inspect(self._container(name)) if is_node_name(name) else None
        # The engine also finds containers by a part of their id: compare the name.
        if info is None or info["Name"] != f"/{self._container(name)}":
            return None
        return info if self._is_own(info) else None

    def _require(self, name: str) -> dict[str, Any]:
        info = self._own(name)
        if info is None:
            raise UnknownServer(name)
        return info

    def _make(self, spec: ServerSpec, network: networks.Network, address: str) -> str:
        image = self._image_for(spec.role)
        unfinished = self._container(spec.name) + UNFINISHED
        # An engine of API < 1.41 does not say; it only knows version 1.
        legacy = str(self._api.info().get("CgroupVersion") or "1") == "1"
        options = recipe.options(self._api, spec, self.cluster, legacy_cgroups=legacy)
        endpoint = self._api.create_endpoint_config(ipv4_address=address)
        try:
            container = self._api.create_container(
                image,
                name=unfinished,
                networking_config=self._api.create_networking_config({network.name: endpoint}),
                **options,
            )
        except APIError as error:
            if error.status_code == 404 and "image" in str(error.explanation).lower():
                raise ImageMissing(
                    f"the image '{image}' is not on this engine",
                    remedy="run ./playground up, which builds it",
                ) from error
            if error.status_code == 409:
                raise name_taken(unfinished) from error
            raise
        return str(container["Id"])

    def _resize(self, info: dict[str, Any], spec: ServerSpec) -> bool:
        """Give an existing machine the CPUs and memory of the specification."""
        now = recipe.describe(info, self.provider)
        if (now.cpus, now.memory_mb) == (spec.cpus, spec.memory_mb):
            return False
        memory = recipe.memory_bytes(spec)
        self._api.update_container(
            info["Id"], cpu_quota=recipe.cpu_quota(spec), mem_limit=memory, memswap_limit=memory
        )
        return True

    def _kill(self, container: str, name: str) -> None:
        self._api.kill(container)
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while self._require(name)["State"]["Running"]:
            if time.monotonic() > deadline:
                raise DriverTimeout(f"'{name}' is still running after it was killed")
            time.sleep(0.1)

    def _discard_unfinished(self, name: str) -> None:
        info = self._inspect(self._container(name) + UNFINISHED)
        if info is not None and self._is_own(info):
            self._remove(info["Id"])

    def _discard_unfinished_quietly(self, name: str) -> None:
        try:
            self._discard_unfinished(name)
        except Exception as error:  # the error that led here is the one to report
            log.warning("a half-made '%s' stays for now: %s", name, error)

    def _remove(self, container: str) -> None:
        """Remove a container and its anonymous volumes, and wait until it is gone."""
        deadline = time.monotonic() + REMOVAL_TIMEOUT_S
        while self._inspect(container) is not None:
            try:
                self._api.remove_container(container, v=True, force=True)
            except NotFound:
                return
            except APIError as error:
                # 409: a removal is under way; 500: the kernel still holds a mount. Both pass.
                if error.status_code not in (409, 500) or time.monotonic() > deadline:
                    raise
                time.sleep(0.3)
