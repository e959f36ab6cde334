# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

IMAGE = "clusterops-test/server-manager:trixie"
CLUSTER = "smtest"


@pytest.fixture(scope="session")
def image(engine: Any, base_image: str) -> str:
    """A small machine with systemd and sshd; the engine's cache makes the second build instant."""
    folder = str(Path(__file__).parent / "image")
    engine.images.build(path=folder, tag=IMAGE, rm=True, buildargs={"BASE": base_image})
    return IMAGE


def sweep(engine: Any, cluster: str = CLUSTER) -> None:
    """Remove what a test left, by name and label."""
    label = {"label": f"clusterops.cluster={cluster}"}
    for container in engine.containers.list(all=True, filters=label):
        container.remove(force=True, v=True)
    for volume in engine.volumes.list(filters=label):
        volume.remove(force=True)
    for network in engine.networks.list(filters=label):
        network.remove()


def left_over(engine: Any, cluster: str = CLUSTER) -> list[str]:
    """Everything of a cluster that the engine still has."""
    label = {"label": f"clusterops.cluster={cluster}"}
    found: list[Any] = [
        *engine.containers.list(all=True, filters=label),
        *engine.volumes.list(filters=label),
        *engine.networks.list(filters=label),
    ]
    return [str(thing.attrs["Name"]) for thing in found]


@pytest.fixture
def clean(engine: Any) -> Iterator[None]:
    sweep(engine)
    yield
    sweep(engine)
