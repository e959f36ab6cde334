# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines for the roles' scenarios: four systems, with nothing installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterops.errors import ClusterOpsError
from clusterops.images import base, scenario


class Containers:
    """Runs one command, which makes the archive that it is to make."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.commands: list[str] = []

    def run(self, image: str, command: list[str], volumes: dict[str, Any], **_: Any) -> bytes:
        self.commands.append(command[-1])
        (folder,) = volumes
        Path(folder, command[-1].rpartition("/")[2]).write_text("root file system")
        if self.fails:
            raise RuntimeError(f"exit status 100\n{self.fails}")
        return b""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "images/node").mkdir(parents=True)
    (tmp_path / "images/node/Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "images/node/dpkg.cfg").write_text("path-exclude=/usr/share/doc/*\n")
    for module in (base, scenario):
        monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    monkeypatch.setattr(
        scenario, "build_files", lambda suite: {"host/sources.list": f"deb {suite}".encode()}
    )
    return tmp_path / ".cache/images"


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Debian releases that were made."""
    made: list[str] = []

    def bootstrap(archive: Path, suite: str, _: Any) -> None:
        made.append(suite)
        archive.write_text("root file system")

    for module in (base, scenario):
        monkeypatch.setattr(module, "bootstrap_debian", bootstrap)
    return made


def kept(cache: Path) -> set[str]:
    """All that is in the cache but the lock."""
    return {path.name for path in cache.iterdir()} - {"building.lock"}


@pytest.mark.usefixtures("cache")
def test_a_node_has_tools_of_the_tests_and_no_packages_of_roles(
    engine: Any, said: list[str], debian: list[str]
) -> None:
    assert scenario.ensure_node(engine, "debian-12", said.append)
    assert debian == ["bookworm"]
    (build,) = engine.builds
    assert build["tag"] == "clusterops/molecule-node:debian-12"
    assert build["buildargs"]["PACKAGES"] == scenario.TOOLS
    assert not scenario.ensure_node(engine, "debian-12", said.append)


def test_ubuntu_is_made_from_its_archive_once(
    engine: Any, said: list[str], cache: Path, debian: list[str]
) -> None:
    engine.containers = Containers()
    scenario.ensure_node(engine, "ubuntu-24.04", said.append)
    (command,) = engine.containers.commands
    assert "ubuntu-archive-keyring" in command and command.endswith(
        "noble /images/partial-base-noble.tar"
    )
    assert debian == ["trixie"]  # it is made there
    assert kept(cache) == {"base-noble.tar", "base-trixie.tar"}
    image = engine.images["clusterops/molecule-base:noble"]
    assert image.attrs["imported"] == str(cache / "base-noble.tar")
    engine.images.pop("clusterops/molecule-base:noble")
    scenario.ensure_node(engine, "ubuntu-24.04", said.append)
    assert len(engine.containers.commands) == 1


@pytest.mark.usefixtures("cache", "debian")
def test_an_official_ubuntu_is_taken_where_it_can_be_pulled(engine: Any, said: list[str]) -> None:
    engine.registry = [{"status": "Download complete"}]
    scenario.ensure_node(engine, "ubuntu-22.04", said.append)
    assert engine.images["clusterops/molecule-base:jammy"].name == "ubuntu:22.04"


@pytest.mark.usefixtures("debian")
def test_an_archive_that_does_not_answer_is_named(
    engine: Any, said: list[str], cache: Path
) -> None:
    engine.containers = Containers(fails="E: The repository 'noble InRelease' is not signed.")
    with pytest.raises(ClusterOpsError, match=r"Ubuntu noble could not be made .* is not signed"):
        scenario.ensure_node(engine, "ubuntu-24.04", said.append)
    assert kept(cache) == {"base-trixie.tar"}
