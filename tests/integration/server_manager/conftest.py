# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

IMAGE = "clusterops-test/server-manager:trixie"
CLUSTER = "smtest"


@pytest.fixture(scope="session")
def engine() -> Any:
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except docker.errors.DockerException:
        pytest.skip("no container engine answers")
    return client


@pytest.fixture(scope="session")
def image(engine: Any) -> str:
    """A small machine with systemd and sshd; the engine's cache makes the second build instant."""
    try:
        engine.images.get("clusterops/base:trixie")
    except docker.errors.ImageNotFound:
        pytest.skip("the base image clusterops/base:trixie is not on this engine")
    engine.images.build(path=str(Path(__file__).parent / "image"), tag=IMAGE, rm=True)
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
