# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the images from images/, and only when what goes into them has changed."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from clusterops.engine_names import CLUSTER_LABEL, SUITE, image_tag
from clusterops.errors import ClusterOpsError
from clusterops.images.base import Progress, building, ensure_base, image_cache
from clusterops.images.host_context import build_files
from clusterops.state import project_root

DIGEST_LABEL = "clusterops.image.digest"

NODE_ROLES = {
    "agent": (
        "base",
        "hardening",
        "firewall",
        "container_engine",
        "python_app",
        "metrics_api",
        "application",
    ),
    "control": (
        "base",
        "hardening",
        "firewall",
        "container_engine",
        "python_app",
        "datastore",
        "registry",
        "load_balancer",
        "monitoring",
        "scaler",
    ),
}
"""The roles a machine will get, so that its image has their packages."""

BUILDER_PACKAGES = {
    "container_engine": "container_engine_builder_packages",
    "application": "application_builder_packages",
}
"""By role, the packages of the machine on which images of applications are built."""


@dataclass(frozen=True)
class Recipe:
    """One image: its name, its folder in images/, what it starts from and what it is given."""

    tag: str
    folder: Path
    base: str
    arguments: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def digest(self, base_id: str) -> str:
        """Changes when anything that goes into the image changes."""
        sha = hashlib.sha256(base_id.encode())
        for pair in sorted(self.arguments.items()):
            sha.update(repr(pair).encode())
        for name, content in sorted(self.context().items()):
            sha.update(name.encode() + hashlib.sha256(content).digest())
        return sha.hexdigest()

    def context(self) -> dict[str, bytes]:
        """The files that the build is given, by path."""
        own = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        return {**own, **self.files}


def role_packages(role: str, root: Path, key: str = "") -> list[str]:
    """The packages a role's defaults name; empty when it needs none.

    Args:
        key: the variable that names them, ``<role>_packages`` by default.
    """
    key = key or f"{role}_packages"
    defaults = root / "roles" / role / "defaults" / "main.yml"
    if not defaults.exists():
        return []
    data = yaml.safe_load(defaults.read_text(encoding="utf-8")) or {}
    packages = [str(package) for package in data.get(key) or []]
    for package in packages:
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.:-]*", package):
            raise ClusterOpsError(f"{defaults}: {key}: {package!r} is not a Debian package name")
    return packages


def node_packages(kind: str, root: Path) -> list[str]:
    """All packages of the roles of a ``control`` or ``agent`` machine, sorted."""
    packages: set[str] = set()
    for role in NODE_ROLES[kind]:
        packages.update(role_packages(role, root))
    if kind == "control":
        for role, key in BUILDER_PACKAGES.items():
            packages.update(role_packages(role, root, key))
    return sorted(packages)


def ensure_node_images(client: Any, cluster_name: str, progress: Progress) -> bool:
    """Have the images with the packages of machines; True when one was made or renewed."""
    root = project_root()
    changed = False
    # The control image continues the other: what both need is built and stored once.
    for kind, name, base in (("agent", "node", "base"), ("control", "node-control", "node")):
        recipe = Recipe(
            tag=image_tag(cluster_name, name),
            folder=root / "images/node",
            base=image_tag(cluster_name, base),
            arguments={"PACKAGES": " ".join(node_packages(kind, root))},
            files=build_files(SUITE),
            labels={CLUSTER_LABEL: cluster_name},
        )
        changed |= ensure_image(client, recipe, cluster_name, progress)
    return changed


def ensure_image(client: Any, recipe: Recipe, cluster_name: str, progress: Progress) -> bool:
    """Build ``recipe`` unless the engine has it already; True when it was built."""
    cache = image_cache()
    base_id = image_id(client, recipe.base)
    if base_id is None:
        debian = image_tag(cluster_name, "base")
        ensure_base(client, debian, cache, progress)
        base_id = image_id(client, recipe.base) or ""
    digest = recipe.digest(base_id)

    def is_there() -> bool:
        return image_labels(client, recipe.tag).get(DIGEST_LABEL) == digest

    if is_there():
        return False
    with building(cache, progress):
        if is_there():  # the build that was waited for may have been this one
            return False
        progress(f"Building {recipe.tag}")
        _build(client, recipe, {**recipe.labels, DIGEST_LABEL: digest}, progress)
    return True


def _build(client: Any, recipe: Recipe, labels: dict[str, str], progress: Progress) -> None:
    context = _archive(recipe.context())
    last: list[str] = []
    for event in client.api.build(
        fileobj=context,
        custom_context=True,
        tag=recipe.tag,
        buildargs={"BASE": recipe.base, **recipe.arguments},
        labels=labels,
        rm=True,
        forcerm=True,
        decode=True,
    ):
        if "error" in event:
            detail = next((line for line in reversed(last) if line.startswith("E: ")), "")
            raise ClusterOpsError(
                f"building {recipe.tag} failed: {detail or event['error'].strip()}",
                remedy="is the package archive reachable? run the same command again to retry",
            )
        for line in str(event.get("stream", "")).splitlines():
            if line.strip():
                last = [*last[-20:], line.strip()]
                if line.startswith(("Setting up ", "Get:", "Unpacking ")):
                    progress(f"{recipe.tag}: {line.strip()[:60]}")


def _archive(files: dict[str, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o644
            archive.addfile(info, io.BytesIO(content))
    stream.seek(0)
    return stream


def image_id(client: Any, tag: str) -> str | None:
    """Identity of an image; None when the engine does not have it."""
    from docker.errors import ImageNotFound

    try:
        return str(client.images.get(tag).id)
    except ImageNotFound:
        return None


def image_labels(client: Any, tag: str) -> dict[str, str]:
    """Labels of an image; none when the engine does not have it."""
    from docker.errors import ImageNotFound

    try:
        return dict(client.images.get(tag).labels)
    except ImageNotFound:
        return {}
