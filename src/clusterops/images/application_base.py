# SPDX-License-Identifier: GPL-3.0-or-later
"""The base image of an application, for a control node that cannot reach an image registry.

``python -m clusterops.images.application_base IMAGE --output DIR`` prints one JSON line:
``{"image": NAME, "archive": PATH}``. Where the host pulls its own base image, the control
node can pull too: the name is then the one that was asked for, and the archive is null. So it is
on a host without a container engine, whose machines are virtual.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterops.engine import connect
from clusterops.engine_names import CLUSTER_LABEL, SUITE, image_tag
from clusterops.errors import ClusterOpsError, print_document
from clusterops.images.base import OFFICIAL_IMAGE, Progress, ensure_base, image_cache
from clusterops.images.build import Recipe, ensure_image, image_id
from clusterops.images.host_context import build_files
from clusterops.state import project_root


@dataclass(frozen=True)
class StandIn:
    """What takes an official image's place: the distribution's own packages (images/stand_in)."""

    name: str
    packages: tuple[str, ...]


STAND_INS = {
    "python:3.13-slim": StandIn("python", ("python3", "python3-venv")),
    "node:20-slim": StandIn("nodejs", ("nodejs", "npm")),
}
"""By official image."""


def provide(
    client: Any, image: str, cluster_name: str, output: Path, progress: Progress
) -> tuple[str, Path | None]:
    """Name under which the control node builds from ``image``, and the archive to load first.

    Raises:
        ClusterOpsError: no image registry answers and the image has no stand-in.
    """
    base = image_tag(cluster_name, "base")
    if image_id(client, base) is None:
        ensure_base(client, base, image_cache(), progress)
    if _came_from_a_registry(client, base):
        return image, None
    if image not in STAND_INS:
        raise ClusterOpsError(
            f"the application's base image {image} cannot be pulled: no image registry answers",
            remedy=f"name one of {', '.join(STAND_INS)} in app.yml, or connect to a registry",
        )
    stand_in = STAND_INS[image]
    tag = image_tag(cluster_name, stand_in.name)
    recipe = Recipe(
        tag=tag,
        folder=project_root() / "images/stand_in",
        base=base,
        arguments={"PACKAGES": " ".join(stand_in.packages)},
        files=build_files(SUITE),
        labels={CLUSTER_LABEL: cluster_name},
    )
    ensure_image(client, recipe, cluster_name, progress)
    return tag, _save(client, tag, output, progress)


def _came_from_a_registry(client: Any, base: str) -> bool:
    """Whether the machines' base image was pulled.

    Engines with the containerd image store give a digest to local images, too: its name tells.
    """
    digests = client.images.get(base).attrs.get("RepoDigests") or []
    official = OFFICIAL_IMAGE.partition(":")[0]
    return any(digest.partition("@")[0].rpartition("/")[2] == official for digest in digests)


def _save(client: Any, tag: str, output: Path, progress: Progress) -> Path:
    """Write the image as an archive (docker save), named by its id: a name is never stale."""
    image = client.images.get(tag)
    archive = output / f"{tag.replace('/', '-').replace(':', '-')}-{image.short_id[-12:]}.tar"
    if not archive.exists():
        progress(f"Saving {tag}")
        output.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(".partial")
        with partial.open("wb") as stream:
            for chunk in image.save(named=tag):
                stream.write(chunk)
        partial.replace(archive)
    return archive


def _engine() -> Any:
    """A client of the host's container engine; None where there is none."""
    try:
        return connect(timeout_s=300)
    except ClusterOpsError:
        return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="clusterops.images.application_base")
    parser.add_argument("image", help="the image an application's Dockerfile starts from")
    parser.add_argument("--cluster", required=True, help="name of the cluster")
    parser.add_argument("--output", type=Path, required=True, help="folder for the archive")
    options = parser.parse_args(arguments)

    def progress(line: str) -> None:
        print(line, file=sys.stderr)

    def document() -> dict[str, str | None]:
        client = _engine()
        name, archive = (
            provide(client, options.image, options.cluster, options.output, progress)
            if client
            else (options.image, None)
        )
        return {"image": name, "archive": str(archive) if archive else None}

    return print_document(document)


if __name__ == "__main__":
    sys.exit(main())
