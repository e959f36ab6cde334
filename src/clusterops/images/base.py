# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian image that everything starts from.

The official image is pulled; where no image registry answers in time, the same system is
built from the distribution's own archive with mmdebstrap(1).
"""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from clusterops.engine_names import SUITE, image_tag
from clusterops.errors import ClusterOpsError
from clusterops.images.host_context import apt_sources
from clusterops.locks import exclusively
from clusterops.processes import install_packages, run
from clusterops.state import project_root

OFFICIAL_IMAGE = f"debian:{SUITE}-slim"
SILENCE_S = 15.0
"""An image registry that says nothing for so long is taken for absent."""

MMDEBSTRAP = (
    "mmdebstrap",
    "--variant=minbase",
    "--include=ca-certificates",
    *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
)

Progress = Callable[[str], None]
Bootstrap = Callable[[Path, str, Progress], None]
"""Makes the archive of a release's root file system, whole or not at all.

Raises ClusterOpsError.
"""


def image_cache() -> Path:
    """The folder of a checkout that keeps what images are made from."""
    return project_root() / ".cache" / "images"


def ensure_base(
    client: Any,
    tag: str,
    cache: Path,
    progress: Progress,
    official: str = OFFICIAL_IMAGE,
    bootstrap: Bootstrap | None = None,
) -> None:
    """Give ``tag`` to an image of the release that it ends with: pulled, or built here.

    Args:
        client: a docker SDK client.
        tag: the name the image gets in the engine.
        cache: folder that keeps the built root file system for the next time.
        official: what is pulled.
        bootstrap: builds the release where it cannot be pulled; without it, it is Debian's.

    Raises:
        ClusterOpsError: neither way works on this machine.
    """
    with building(cache, progress):
        provide(client, tag, cache, progress, official, bootstrap or bootstrap_debian)


def building(cache: Path, progress: Progress) -> AbstractContextManager[None]:
    """One build at a time with this ``cache``: the next one finds what this one has made.

    Two at once would make the same layers twice, and write the same archive.
    """
    return exclusively(
        cache / "building.lock", lambda: progress("Waiting for another build of images")
    )


def provide(
    client: Any, tag: str, cache: Path, progress: Progress, official: str, bootstrap: Bootstrap
) -> None:
    """As ``ensure_base``, for whoever holds the lock ``building`` already."""
    repository, _, version = tag.rpartition(":")
    # By name: labels are inherited, so an image that was made from a base has the base's.
    shared = client.images.list(filters={"reference": image_tag("*", "base", version)})
    if shared:  # another cluster on this host has it
        shared[0].tag(repository, version)
        return
    progress(f"Pulling {official}")
    if pull(client, official, progress):
        client.images.get(official).tag(repository, version)
        return
    archive = cache / f"base-{version}.tar"
    if not archive.exists():
        progress(f"No image registry answers; building {version} from its archive")
        bootstrap(archive, version, progress)
    progress(f"Importing the root file system of {version}")
    client.api.import_image_from_file(str(archive), repository=repository, tag=version)


def pull(client: Any, image: str, progress: Progress, silence_s: float = SILENCE_S) -> bool:
    """Pull ``image``; False when the registry refuses, cannot be found or stays silent."""
    repository, _, tag = image.rpartition(":")
    for event in _events(lambda: client.api.pull(repository, tag, stream=True, decode=True),
                         silence_s):  # fmt: skip
        if event is None or "error" in event:
            return False
        if event.get("status", "").startswith(("Download complete", "Status:")):
            progress(f"{image}: {event['status']}")
    return True


def _events(
    start: Callable[[], Iterator[dict[str, Any]]], silence_s: float
) -> Iterator[dict[str, Any] | None]:
    """What a stream yields; None once it fails or says nothing for ``silence_s`` seconds."""
    channel: queue.Queue[tuple[str, Any]] = queue.Queue()

    def read() -> None:
        try:
            for event in start():
                channel.put(("event", event))
            channel.put(("end", None))
        except Exception as error:  # whatever the engine or network says, it means "no"
            channel.put(("failed", error))

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            kind, event = channel.get(timeout=silence_s)
        except queue.Empty:
            kind, event = "failed", None
        if kind == "end":
            return
        if kind == "failed":
            yield None
            return
        yield event


def bootstrap_debian(archive: Path, suite: str, progress: Progress) -> None:
    """Debian's root file system, made on this host, which gets mmdebstrap(1) for it.

    Raises:
        ClusterOpsError: mmdebstrap cannot be installed, or the archive does not answer.
    """
    if not shutil.which("mmdebstrap"):
        progress("Installing mmdebstrap")
        if not install_packages("mmdebstrap"):
            raise ClusterOpsError(
                "no image registry answers and mmdebstrap is not installed, so there is no "
                "base image for the machines",
                remedy="connect to an image registry, or on Debian or Ubuntu: "
                "apt install mmdebstrap",
            )
    partial = archive.with_name("partial-" + archive.name)
    command = [*MMDEBSTRAP, suite, str(partial)]
    mirror = apt_sources().archive
    if mirror:
        command.append(mirror)
    try:
        run(command, timeout_s=900, remedy="is the Debian archive reachable from this machine?")
    except ClusterOpsError:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(archive)
