# SPDX-License-Identifier: GPL-3.0-or-later
"""Images are built when, and only when, something that goes into them has changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterops.engine_names import CLUSTER_LABEL, cluster_images, image_tag
from clusterops.errors import ClusterOpsError
from clusterops.images import base, build
from clusterops.images.build import Recipe, ensure_image, node_packages, role_packages
from clusterops.state import project_root


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lock is that a build holds; not in this checkout."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(build, "image_cache", lambda: folder)
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")
    return Recipe(
        tag=image_tag("x", "node"),
        folder=tmp_path,
        base=image_tag("x", "base"),
        arguments={"PACKAGES": "curl"},
        files={"host/apt.conf": b"1"},
        labels={CLUSTER_LABEL: "x"},
    )


def ensure(engine: Any, recipe: Recipe, said: list[str]) -> bool:
    return ensure_image(engine, recipe, "x", said.append)


def test_it_is_built_once(engine: Any, recipe: Recipe, said: list[str]) -> None:
    engine.add(image_tag("x", "base"))
    assert ensure(engine, recipe, said) is True
    assert ensure(engine, recipe, said) is False
    assert said == [f"Building {recipe.tag}"]
    options = engine.builds[0]
    assert options["buildargs"] == {"BASE": image_tag("x", "base"), "PACKAGES": "curl"}
    assert options["files"] == ["Dockerfile", "host/apt.conf"]
    assert options["labels"][CLUSTER_LABEL] == "x"


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": {"PACKAGES": "curl git"}},
        {"files": {"host/apt.conf": b"2"}},
        {"files": {"host/apt.conf": b"1", "host/ca/new.crt": b""}},
        {"files": {}},
    ],
)
def test_a_change_of_what_goes_in_builds_again(
    engine: Any, recipe: Recipe, said: list[str], change: dict[str, Any]
) -> None:
    engine.add(image_tag("x", "base"))
    ensure(engine, recipe, said)
    assert ensure(engine, replace(recipe, **change), said) is True


def test_a_new_dockerfile_or_base_builds_again(
    engine: Any, recipe: Recipe, said: list[str]
) -> None:
    engine.add(image_tag("x", "base"))
    ensure(engine, recipe, said)
    (recipe.folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN true\n")
    assert ensure(engine, recipe, said) is True
    engine.add(image_tag("x", "base"))
    assert ensure(engine, recipe, said) is True


def test_what_another_build_made_meanwhile_is_not_built_again(
    engine: Any, recipe: Recipe, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.add(image_tag("x", "base"))

    @contextmanager
    def building(cache: Path, progress: base.Progress) -> Iterator[None]:
        with monkeypatch.context() as while_it_waits:
            while_it_waits.setattr(build, "building", base.building)
            ensure(engine, recipe, said)
        with base.building(cache, progress):
            yield

    monkeypatch.setattr(build, "building", building)
    assert ensure(engine, recipe, said) is False
    assert len(engine.builds) == 1


def test_a_missing_base_is_made_first(
    engine: Any, recipe: Recipe, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ensure_base", lambda client, tag, *_: client.add(tag))
    assert ensure(engine, recipe, said) is True


def test_a_failed_build_says_why_and_counts_as_not_built(
    engine: Any, recipe: Recipe, said: list[str]
) -> None:
    engine.add(image_tag("x", "base"))
    engine.events = [
        {"stream": "Get:1 package\nE: Unable to locate package curl\n"},
        {"error": "The command returned a non-zero code: 100"},
    ]
    with pytest.raises(ClusterOpsError, match="failed: E: Unable to locate package curl"):
        ensure(engine, recipe, said)
    engine.events = []
    assert ensure(engine, recipe, said) is True


def test_down_knows_every_image_that_up_may_make() -> None:
    kinds = {"base", "node", "node-agent", "node-control", "python"}
    assert set(cluster_images("x")) == {image_tag("x", kind) for kind in kinds}
    assert cluster_images("x")[-1] == image_tag("x", "base")


def test_packages_come_from_the_roles(tmp_path: Path) -> None:
    for role, text in {
        "base": "base_packages: [sudo, curl]\n",
        "metrics_api": "metrics_api_packages: []\n",
        "application": "---\n",
        "container_engine": "container_engine_packages: [docker.io, curl]\n"
        "container_engine_builder_packages: [docker-buildx]\n",
    }.items():
        defaults = tmp_path / "roles" / role / "defaults/main.yml"
        defaults.parent.mkdir(parents=True)
        defaults.write_text(text)
    assert node_packages("agent", tmp_path) == ["curl", "docker.io", "sudo"]
    assert node_packages("control", tmp_path) == ["curl", "docker-buildx", "docker.io", "sudo"]


@pytest.mark.parametrize("package", ["$(reboot)", "a b", "--force", "{{ x }}"])
def test_a_package_is_only_a_name(tmp_path: Path, package: str) -> None:
    defaults = tmp_path / "roles/base/defaults/main.yml"
    defaults.parent.mkdir(parents=True)
    defaults.write_text(f"base_packages: ['{package}']\n")
    with pytest.raises(ClusterOpsError, match="is not a Debian package name"):
        role_packages("base", tmp_path)


def test_every_role_that_an_image_serves_exists() -> None:
    root = project_root()
    roles = {role for names in build.NODE_ROLES.values() for role in names}
    assert [role for role in sorted(roles) if not (root / "roles" / role).is_dir()] == []


def test_both_kinds_of_machine_get_their_image(
    engine: Any, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "build_files", lambda _: {})
    engine.add(image_tag("x", "base"))
    assert build.ensure_node_images(engine, "x", said.append) is True
    assert build.ensure_node_images(engine, "x", said.append) is False
    assert {made["tag"] for made in engine.builds} == {
        image_tag("x", "node"),
        image_tag("x", "node-control"),
    }
