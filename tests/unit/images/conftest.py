# SPDX-License-Identifier: GPL-3.0-or-later
"""A container engine in a dictionary."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import pytest
from docker.errors import ImageNotFound


class FakeImage:
    def __init__(self, engine: FakeEngine, name: str, labels: dict[str, str]) -> None:
        self.engine = engine
        self.id = f"sha256:{len(engine.images):064x}"
        self.short_id = self.id[:19]
        self.labels = labels
        self.attrs: dict[str, Any] = {"RepoDigests": []}
        self.name = name

    def tag(self, repository: str, tag: str) -> bool:
        self.engine.images[f"{repository}:{tag}"] = self
        return True

    def save(self, named: str) -> Iterator[bytes]:
        yield f"archive of {named}".encode()


class FakeEngine:
    """Stands for a docker SDK client, its `images` and its `api`."""

    def __init__(self) -> None:
        self.images: Any = Images(self)
        self.api = self
        self.registry: list[dict[str, Any]] | Exception = ConnectionError("no registry")
        self.events: list[dict[str, Any]] = []
        self.builds: list[dict[str, Any]] = []

    def add(self, name: str, **labels: str) -> FakeImage:
        image = FakeImage(self, name, dict(labels))
        self.images[name] = image
        return image

    def pull(self, repository: str, tag: str, **_: Any) -> Iterator[dict[str, Any]]:
        if isinstance(self.registry, Exception):
            raise self.registry
        yield from self.registry
        self.add(f"{repository}:{tag}").attrs["RepoDigests"] = [f"{repository}@sha256:0"]

    def import_image_from_file(self, path: str, repository: str, tag: str) -> None:
        self.add(f"{repository}:{tag}").attrs["imported"] = path

    def build(self, fileobj: io.BytesIO, **options: Any) -> Iterator[dict[str, Any]]:
        with tarfile.open(fileobj=fileobj) as archive:
            options["files"] = archive.getnames()
        self.builds.append(options)
        yield from self.events
        self.add(options["tag"]).labels.update(options["labels"])


class Images(dict[str, FakeImage]):
    """`client.images`: by name or by a pattern of names."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__()
        self.engine = engine

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            raise ImageNotFound(f"no such image: {name}")
        return self[name]

    def list(self, filters: dict[str, str]) -> list[FakeImage]:
        return [image for name, image in self.items() if fnmatch(name, filters["reference"])]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def said() -> list[str]:
    """What the person at the terminal read."""
    return []
