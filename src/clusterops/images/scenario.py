# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines on which the roles' scenarios run: each supported system, with nothing installed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from clusterops.engine_names import SUITE, image_tag
from clusterops.errors import ClusterOpsError, UsageError
from clusterops.images.base import (
    MMDEBSTRAP,
    OFFICIAL_IMAGE,
    Progress,
    bootstrap_debian,
    ensure_base,
    image_cache,
    provide,
)
from clusterops.images.build import Recipe, ensure_image
from clusterops.images.host_context import build_files
from clusterops.state import project_root

CLUSTER = "molecule"
"""The images carry this in place of a cluster's name."""
DEFAULT_SYSTEM = "debian-13"
IMAGE_TIMEOUT_S = 900
"""Building the packages into an image is silent for minutes on a slow line."""
TOOLS = "busybox-static curl openssl"
"""What the scenarios' tests need on a machine: a static program to make images of, and clients."""


@dataclass(frozen=True)
class System:
    """A supported system: its release's name, and the official image."""

    suite: str
    official: str
    ubuntu: bool = False

    @property
    def base_tag(self) -> str:
        return image_tag(CLUSTER, "base", self.suite)


SYSTEMS = {
    "debian-12": System("bookworm", "debian:bookworm-slim"),
    "debian-13": System(SUITE, OFFICIAL_IMAGE),
    "ubuntu-22.04": System("jammy", "ubuntu:22.04", ubuntu=True),
    "ubuntu-24.04": System("noble", "ubuntu:24.04", ubuntu=True),
}
"""By ID-VERSION_ID of os-release(5)."""


def node_tag(name: str) -> str:
    """Name of the image of a machine with the system ``name``."""
    return f"clusterops/{CLUSTER}-node:{name}"


def chosen_systems(wanted: str) -> list[str]:
    """The systems that ``wanted`` names: one, several with commas in between, or ``all``.

    Raises:
        UsageError: a name is unknown.
    """
    if wanted == "all":
        return list(SYSTEMS)
    names = [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in SYSTEMS:
            raise UsageError(
                f"--distribution: found '{name}'; allowed: {', '.join(SYSTEMS)}, "
                "several with commas in between, or all"
            )
    return names


def ensure_node(client: Any, name: str, progress: Progress) -> bool:
    """Have the image of a machine with the system ``name``; True when it was made or renewed.

    Raises:
        ClusterOpsError: neither an image registry nor the system's package archive answers.
    """
    system = SYSTEMS[name]
    cache = image_cache()
    if not client.images.list(filters={"reference": system.base_tag}):
        bootstrap = partial(_bootstrap_ubuntu, client) if system.ubuntu else None
        ensure_base(client, system.base_tag, cache, progress, system.official, bootstrap)
    files = build_files(system.suite)
    if system.ubuntu:
        # The host's mirrors are Debian's, if it has any: an Ubuntu keeps its own.
        files["host/sources.list"] = b""
    folder = project_root() / "images/node"
    # Nothing on these machines has to survive a crash of the host.
    files["dpkg.cfg"] = (folder / "dpkg.cfg").read_bytes() + b"force-unsafe-io\n"
    recipe = Recipe(
        tag=node_tag(name),
        folder=folder,
        base=system.base_tag,
        arguments={"PACKAGES": TOOLS},
        files=files,
    )
    return ensure_image(client, recipe, CLUSTER, progress)


def _bootstrap_ubuntu(client: Any, archive: Path, suite: str, progress: Progress) -> None:
    """Ubuntu's root file system, made in a container of Debian 13, which has Ubuntu's keys."""
    debian = SYSTEMS[DEFAULT_SYSTEM]
    provide(client, debian.base_tag, archive.parent, progress, debian.official, bootstrap_debian)
    unfinished = archive.with_name("partial-" + archive.name)
    make = (
        "apt-get update -q && apt-get install -yq --no-install-recommends "
        "mmdebstrap ubuntu-archive-keyring distro-info && "
        + " ".join(f"'{word}'" for word in MMDEBSTRAP)
        + " --keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg --components=main,universe "
        f"{suite} /images/{unfinished.name}"
    )
    try:
        client.containers.run(
            debian.base_tag,
            ["sh", "-c", make],
            remove=True,
            cap_add=["SYS_ADMIN"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            volumes={str(archive.parent): {"bind": "/images", "mode": "rw"}},
            labels={"owner": CLUSTER},
        )
    except Exception as error:
        unfinished.unlink(missing_ok=True)
        said = str(error).strip().splitlines() or ["?"]
        raise ClusterOpsError(
            f"Ubuntu {suite} could not be made from its archive: {said[-1][:300]}",
            remedy="is the Ubuntu archive reachable from this machine's containers?",
        ) from error
    unfinished.replace(archive)
