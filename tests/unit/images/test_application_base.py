# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the control node takes an application's base image from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterops.engine_names import image_tag
from clusterops.errors import ClusterOpsError
from clusterops.images import application_base

OFFICIAL = "python:3.13-slim"


@pytest.fixture(autouse=True)
def _no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application_base, "build_files", lambda _: {})


def provide(engine: Any, image: str, output: Path) -> tuple[str, Path | None]:
    return application_base.provide(engine, image, "x", output, lambda _: None)


def test_a_pulled_base_means_that_a_registry_answers(engine: Any, tmp_path: Path) -> None:
    base = engine.add(image_tag("x", "base"))
    base.attrs["RepoDigests"] = ["debian@sha256:1"]
    assert provide(engine, "anything:1", tmp_path) == ("anything:1", None)


@pytest.mark.parametrize("digests", [[], None, ["clusterops/x-base@sha256:1"]])
def test_otherwise_a_stand_in_is_built_and_saved_once(
    engine: Any, tmp_path: Path, digests: list[str] | None
) -> None:
    engine.add(image_tag("x", "base")).attrs["RepoDigests"] = digests
    output = tmp_path / "cache"
    name, archive = provide(engine, OFFICIAL, output)
    assert name == image_tag("x", "python")
    assert archive is not None
    assert archive.read_text() == f"archive of {name}"
    assert provide(engine, OFFICIAL, output) == (name, archive)
    assert list(output.iterdir()) == [archive]


def test_an_image_without_a_stand_in(engine: Any, tmp_path: Path) -> None:
    engine.add(image_tag("x", "base"))
    with pytest.raises(ClusterOpsError, match=r"node:22 cannot be pulled.*python:3\.13-slim"):
        provide(engine, "node:22", tmp_path)


def test_before_the_first_up(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(ClusterOpsError, match=r"is missing \(\./playground up makes it\)"):
        provide(engine, OFFICIAL, tmp_path)


def test_the_command_prints_one_json_line(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    engine.add(image_tag("x", "base"))
    monkeypatch.setattr(application_base, "connect", lambda **_: engine)
    assert application_base.main([OFFICIAL, "--cluster", "x", "--output", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["image"] == image_tag("x", "python")
    assert Path(answer["archive"]).is_file()
    assert "Building" in captured.err


def test_the_command_fails_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    def refuse(**_: Any) -> Any:
        raise ClusterOpsError("no container engine answers on this machine", remedy="start it")

    monkeypatch.setattr(application_base, "connect", refuse)
    assert application_base.main([OFFICIAL, "--cluster", "x", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "Error: no container engine answers on this machine (start it)\n"
    )


def test_every_stand_in_has_its_recipe() -> None:
    for folder in application_base.STAND_INS.values():
        assert (application_base.project_root() / "images" / folder / "Dockerfile").is_file()
