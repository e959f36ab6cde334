# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's own /24 network on a container engine, at addresses that nobody else uses."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

from clusterops.engine_names import CLUSTER_LABEL
from clusterops.server_manager.driver import DriverFailure, NameTaken

POOLS = (IPv4Network("172.29.0.0/16"), IPv4Network("10.213.0.0/16"))
ATTEMPTS = 64
ROUTES = Path("/proc/net/route")


@dataclass(frozen=True)
class Network:
    """A network of the engine. The gateway is the host."""

    id: str
    name: str
    subnet: IPv4Network
    gateway: str

    def address(self, number: int) -> str:
        """Address of the machine with this number."""
        return str(self.subnet[number])


def find(api: Any, name: str, cluster: str) -> Network | None:
    """The cluster's network, or None.

    Raises:
        NameTaken: a network that the cluster did not make has its name.
    """
    for item in api.networks(names=[name]):  # the engine's filter matches parts of names, too
        if item["Name"] != name:
            continue
        pools = (item.get("IPAM") or {}).get("Config") or []
        if (item.get("Labels") or {}).get(CLUSTER_LABEL) != cluster or not pools:
            raise NameTaken(
                f"a network '{name}' exists that this cluster did not make",
                remedy=f"remove it (docker network rm {name}) or choose another cluster_name",
            )
        subnet = IPv4Network(pools[0]["Subnet"])
        return Network(item["Id"], name, subnet, pools[0].get("Gateway") or str(subnet[1]))
    return None


def ensure(api: Any, name: str, cluster: str, wanted: IPv4Network | None) -> Network:
    """Find or make the network; ``wanted`` is where existing machines have their addresses.

    Raises:
        NameTaken: the name is in use.
        DriverFailure: there is no free address range.
    """
    if network := find(api, name, cluster):
        return network
    candidates = [wanted] if wanted else candidate_subnets(cluster, host_routes())
    for subnet in candidates:
        try:
            api.create_network(
                name,
                driver="bridge",
                check_duplicate=True,
                labels={CLUSTER_LABEL: cluster},
                ipam={
                    "Driver": "default",
                    "Config": [{"Subnet": str(subnet), "Gateway": str(subnet[1])}],
                },
            )
        except APIError as error:
            if "overlap" in str(error.explanation).lower():
                continue
            if error.status_code != 409:  # 409: someone else has just made it
                raise
        if network := find(api, name, cluster):
            return network
    if wanted:
        raise DriverFailure(
            f"the network '{name}' is gone and its addresses ({wanted}) are in use elsewhere",
            remedy="./playground down, then ./playground up",
        )
    raise DriverFailure(
        f"no free /24 network in {' or '.join(map(str, POOLS))}", remedy="docker network prune"
    )


def remove(api: Any, name: str, cluster: str) -> bool:
    """Remove the cluster's network; False when there is none.

    Raises:
        DriverFailure: a container of somebody else is still connected to it.
    """
    try:
        network = find(api, name, cluster)
    except NameTaken:
        return False
    if network is None:
        return False
    try:
        api.remove_network(network.id)
    except NotFound:
        return False
    except APIError as error:
        if "active endpoints" not in str(error.explanation):
            raise
        raise DriverFailure(
            f"the network '{name}' is in use by containers that this cluster did not make",
            remedy=f"docker network inspect {name} names them; remove them and try again",
        ) from error
    return True


def candidate_subnets(cluster: str, taken: Iterable[IPv4Network]) -> Iterator[IPv4Network]:
    """Ranges worth trying, begun at a place of the cluster's own so that two rarely collide."""
    taken = list(taken)
    for pool in POOLS:
        subnets = list(pool.subnets(new_prefix=24))
        first = zlib.crc32(cluster.encode()) % len(subnets)
        for subnet in (subnets[first:] + subnets[:first])[:ATTEMPTS]:
            if not any(subnet.overlaps(other) for other in taken):
                yield subnet


def host_routes(path: Path = ROUTES) -> list[IPv4Network]:
    """Networks that this host already routes to (a VPN, say), without the default route."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()[1:]
    except OSError:  # not Linux: the engine is in a machine of its own
        return []
    routes = []
    for line in lines:
        fields = line.split()
        target, mask = (bytes.fromhex(fields[i])[::-1] for i in (1, 7))
        prefix = int.from_bytes(mask, "big").bit_count()
        if prefix:
            routes.append(IPv4Network((target, prefix), strict=False))
    return routes
