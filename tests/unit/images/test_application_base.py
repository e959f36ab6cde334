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


def test_on_a_host_whose_machines_are_virtual_the_base_is_made(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application_base, "ensure_base", lambda client, tag, *_: client.add(tag))
    tag, archive = provide(engine, OFFICIAL, tmp_path)
    assert tag == image_tag("x", "python")
    assert archive is not None and archive.exists()


def test_without_any_engine_the_control_node_pulls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def refuse(**_: Any) -> Any:
        raise ClusterOpsError("the container engine does not answer")

    monkeypatch.setattr(application_base, "connect", refuse)
    assert application_base.main([OFFICIAL, "--cluster", "x", "--output", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == {"image": OFFICIAL, "archive": None}


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
    engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    engine.add(image_tag("x", "base"))
    monkeypatch.setattr(application_base, "connect", lambda **_: engine)
    assert application_base.main(["node:22", "--cluster", "x", "--output", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: the application's base image node:22 cannot be pulled")
