# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian image: shared, pulled, or built here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterops.errors import ClusterOpsError, CommandError
from clusterops.images import base
from clusterops.images.host_context import AptSources

TAG = "clusterops/x-base:trixie"


@pytest.fixture
def mmdebstrap(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Records the calls of a fake mmdebstrap(1) that writes its archive."""
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> str:
        calls.append(command)
        archive = next(Path(word) for word in command if word.endswith(".tar"))
        archive.write_text("root file system")
        return ""

    monkeypatch.setattr(base, "run", run)
    monkeypatch.setattr(base.shutil, "which", lambda name: name)
    monkeypatch.setattr(base, "apt_sources", lambda: AptSources("http://mirror.example/debian"))
    return calls


def test_an_image_of_another_cluster_is_shared(
    engine: Any, tmp_path: Path, said: list[str]
) -> None:
    engine.add("clusterops/other-node:trixie")  # made from a base, but not one
    other = engine.add("clusterops/other-base:trixie")
    base.ensure_base(engine, TAG, tmp_path, said.append)
    assert engine.images[TAG] is other
    assert said == []


def test_the_official_image_is_pulled(
    engine: Any, tmp_path: Path, said: list[str], mmdebstrap: list[list[str]]
) -> None:
    engine.registry = [{"status": "Pulling fs layer"}, {"status": "Download complete"}]
    base.ensure_base(engine, TAG, tmp_path, said.append)
    assert engine.images[TAG].name == base.OFFICIAL_IMAGE
    assert said == [
        f"Pulling {base.OFFICIAL_IMAGE}",
        f"{base.OFFICIAL_IMAGE}: Download complete",
    ]
    assert mmdebstrap == []


@pytest.mark.parametrize(
    "registry", [ConnectionError("no route"), [{"error": "denied"}]], ids=["silent", "refuses"]
)
def test_without_a_registry_it_is_built_once(
    engine: Any, tmp_path: Path, said: list[str], mmdebstrap: list[list[str]], registry: Any
) -> None:
    engine.registry = registry
    cache = tmp_path / "cache"
    base.ensure_base(engine, TAG, cache, said.append)
    engine.images.clear()
    base.ensure_base(engine, TAG, cache, said.append)
    assert engine.images[TAG].attrs["imported"] == str(cache / "base-trixie.tar")
    assert len(mmdebstrap) == 1
    assert mmdebstrap[0][-1] == "http://mirror.example/debian"
    assert {path.name for path in cache.iterdir()} == {"base-trixie.tar", "building.lock"}


def test_two_at_once_build_it_once(
    engine: Any, tmp_path: Path, said: list[str], mmdebstrap: list[list[str]]
) -> None:
    def other() -> None:
        base.ensure_base(engine, TAG, tmp_path, said.append)

    with base.building(tmp_path, said.append):
        second = threading.Thread(target=other)
        second.start()
        deadline = time.monotonic() + 5
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
        assert said == ["Waiting for another build of images"]
        engine.add("clusterops/first-base:trixie")
    second.join(5)
    assert engine.images[TAG].name == "clusterops/first-base:trixie"
    assert mmdebstrap == []


def test_a_registry_that_hangs_is_given_up(engine: Any, said: list[str]) -> None:
    gate = threading.Event()

    def silent(*_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        yield {"status": "Pulling"}
        gate.wait(5)

    engine.pull = silent
    assert base.pull(engine, "debian:trixie-slim", said.append, silence_s=0.05) is False
    gate.set()


def test_half_an_archive_is_not_taken_for_one(
    engine: Any, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(command: list[str], **options: Any) -> str:
        next(Path(word) for word in command if word.endswith(".tar")).write_text("half")
        raise CommandError(command[0], 25, "E: no network", remedy=options["remedy"])

    monkeypatch.setattr(base, "run", broken)
    monkeypatch.setattr(base.shutil, "which", lambda name: name)
    with pytest.raises(CommandError, match=r"'mmdebstrap' failed .* reachable"):
        base.ensure_base(engine, TAG, tmp_path, said.append)
    assert [path.name for path in tmp_path.iterdir()] == ["building.lock"]


def test_a_machine_that_can_do_neither_says_what_is_missing(
    engine: Any, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base.shutil, "which", lambda _: None)
    monkeypatch.setattr(base, "install_packages", lambda *_: False)
    with pytest.raises(ClusterOpsError, match="apt install mmdebstrap"):
        base.ensure_base(engine, TAG, tmp_path, said.append)
