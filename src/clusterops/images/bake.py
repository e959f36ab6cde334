# SPDX-License-Identifier: GPL-3.0-or-later
"""The agents' image: a machine on which the agents' roles have run already.

The scaler's agents come into service sooner when only the application is left to deploy. The
image is what the roles made of a bare machine, so there is one description of an agent; a
machine without such an image gets the same from the same roles.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clusterops.engine_names import CLUSTER_LABEL, image_tag
from clusterops.errors import ClusterOpsError
from clusterops.images.base import Progress
from clusterops.images.build import DIGEST_LABEL, image_id, image_labels
from clusterops.server_manager.driver import Cluster, Role, ServerSpec
from clusterops.server_manager.drivers import _docker_container as machine
from clusterops.state import project_root

BAKED_ROLES = ("base", "hardening", "firewall", "container_engine", "python_app", "metrics_api")
BAKED_PLAYBOOKS = (
    "agent_roles.yml",
    "base.yml",
    "tasks/metrics_api.yml",
    "vars/authority.yml",
    "vars/firewall.yml",
    "vars/prepared.yml",
)
BAKED_SETTINGS = ("cluster_bind_address", "node_firewall", "node_hardening")
"""Keys of cluster.yml that the agents' roles write down."""
BOOT_TIMEOUT_S = 60.0
FORGET = (
    "systemctl stop docker.service docker.socket containerd.service; "
    "rm -rf /root/.ansible /var/log/journal/* /var/lib/systemd/random-seed /tmp/* "
    "/etc/ssh/ssh_host_* /etc/clusterops/ca.crt; truncate -s 0 /etc/machine-id"
)
"""What belongs to one machine must not be the same on all."""

RunRoles = Callable[[str], None]
"""Runs the agents' roles on the container of that name."""


def digest(
    bare_id: str,
    wheel_sha256: str,
    network: str,
    settings: Mapping[str, Any],
    root: Path,
    playbook: str = "image.yml",
    more_roles: tuple[str, ...] = (),
) -> str:
    """Changes when anything that the playbook would leave in the image changes."""
    sha = hashlib.sha256(f"{bare_id} {wheel_sha256} {network}".encode())
    sha.update(repr([settings[key] for key in BAKED_SETTINGS]).encode())
    files = [root / "playbooks" / name for name in (playbook, *BAKED_PLAYBOOKS)]
    for role in (*BAKED_ROLES, *more_roles):
        files += sorted(path for path in (root / "roles" / role).rglob("*") if path.is_file())
    for path in files:
        sha.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return sha.hexdigest()


def ensure_agent_image(
    client: Any,
    cluster: Cluster,
    network: str,
    wheel_sha256: str,
    run_roles: RunRoles,
    progress: Progress,
) -> bool:
    """Have the agents' image of a cluster; True when it was made.

    Args:
        network: the cluster's network in CIDR notation, which the roles write down.
        wheel_sha256: of the project's wheel, which the roles install.

    Raises:
        ClusterOpsError: the machine does not boot, or the roles fail on it.
    """
    bare, tag = image_tag(cluster.name, "node"), image_tag(cluster.name, "node-agent")
    bare_id = image_id(client, bare) or ""
    wanted = digest(bare_id, wheel_sha256, network, cluster.settings, project_root())
    if image_labels(client, tag).get(DIGEST_LABEL) == wanted:
        return False
    progress("Starting a machine to make the agents' image from")
    with _booted(client, cluster, bare) as container:
        run_roles(container.name)
        code, output = container.exec_run(["sh", "-c", FORGET])
        if code != 0:
            raise ClusterOpsError(f"cleaning the agents' image failed: {output.decode()[-300:]}")
        container.stop(timeout=20)
        progress("Saving the agents' image")
        repository, _, version = tag.rpartition(":")
        container.commit(
            repository,
            version,
            changes=[
                f"LABEL {CLUSTER_LABEL}={cluster.name} {DIGEST_LABEL}={wanted}",
                'CMD ["/sbin/init"]',
            ],
        )
    return True


def builder_name(cluster_name: str) -> str:
    """Name of the container that the image is made from."""
    return f"{cluster_name}-image-agent"


def remove_builder(client: Any, cluster_name: str) -> bool:
    """Remove the container that an interrupted run left; False when there is none."""
    from docker.errors import NotFound

    try:
        container = client.containers.get(builder_name(cluster_name))
    except NotFound:
        return False
    if container.labels.get(CLUSTER_LABEL) != cluster_name:
        raise ClusterOpsError(
            f"a container named {container.name} is in the way and was not made by the playground",
            remedy="remove or rename it",
        )
    container.remove(force=True, v=True)
    return True


@contextmanager
def _booted(client: Any, cluster: Cluster, image: str) -> Iterator[Any]:
    remove_builder(client, cluster.name)
    spec = ServerSpec("image", Role.AGENT, 2.0, 1024, {}, lambda _: {})
    legacy = str(client.info().get("CgroupVersion", "1")) == "1"
    options = machine.options(client.api, spec, cluster, legacy_cgroups=legacy)
    options["labels"] = {CLUSTER_LABEL: cluster.name}
    made = client.api.create_container(image, name=builder_name(cluster.name), **options)
    try:
        client.api.start(made["Id"])
        container = client.containers.get(made["Id"])
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while _state(container) not in ("running", "degraded"):
            if time.monotonic() > deadline:
                raise ClusterOpsError("the machine for the agents' image does not boot")
            time.sleep(0.3)
        yield container
    finally:
        client.api.remove_container(made["Id"], force=True, v=True)


def _state(container: Any) -> str:
    _code, output = container.exec_run(["systemctl", "is-system-running"])
    return str(output.decode("utf-8", "replace")).strip()
