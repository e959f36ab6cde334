# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of releases: which there are, which is in force, and which one was before."""

from __future__ import annotations

import grp
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _node_files,
    _release_documents,
)
from ansible_collections.clusterops.playground.plugins.modules import release_documents as module

SECRET = "s3cret-value"


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files belong to whoever runs the tests, in place of root."""
    ids = property(lambda _self: (os.getuid(), os.getgid()))
    monkeypatch.setattr(_node_files.NodeFile, "ids", ids)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    def call(check_mode: bool = False, **params: Any) -> dict[str, Any]:
        arguments = {"folder": str(tmp_path / "deployments"), **params}
        if "document" in params:
            arguments["document"] = json.dumps(params["document"])
        with (
            patch_module_args({**arguments, "_ansible_check_mode": check_mode}),
            pytest.raises(SystemExit),
        ):
            module.main()
        printed = capsys.readouterr().out
        assert SECRET not in printed
        result: dict[str, Any] = json.loads(printed)
        return result

    return call


def document(release: str) -> dict[str, Any]:
    return {
        "application": {"name": "shop", "port": 5000},
        "release": release,
        "image": f"registry/apps/shop@sha256:{release}",
        "location": "apps/shop",
        "commit": None,
        "env": {"KEY": SECRET},
    }


def in_force(tmp_path: Path, release: str) -> dict[str, Any]:
    return {
        "state": "in_force",
        "path": str(tmp_path / "deployments" / f"{release}.json"),
        "in_force": str(tmp_path / "deployment.json"),
    }


def release(run: Any, tmp_path: Path, name: str, **more: Any) -> dict[str, Any]:
    """Writes a release down and puts it into force."""
    run(document=document(name))
    result: dict[str, Any] = run(**in_force(tmp_path, name), **more)
    return result


def test_a_release_is_written_down_once_for_its_group_alone(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "deployments" / "r1.json"
    assert run(document=document("r1"), check_mode=True)["changed"]
    assert not path.exists()
    first = run(document=document("r1"))
    assert (first["changed"], first["path"]) == (True, str(path))
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.parent.stat().st_mode & 0o7777 == 0o750
    assert json.loads(path.read_text()) == {**document("r1"), "migrated": False, "previous": None}
    assert run(document=document("r1"))["changed"] is False


def test_what_is_known_of_a_release_stays_when_it_is_written_again(
    run: Any, tmp_path: Path
) -> None:
    path = tmp_path / "deployments" / "r1.json"
    run(document=document("r1"))
    path.write_text(json.dumps({**document("r1"), "migrated": True, "previous": "r0"}))
    run(document=document("r1"))
    kept = json.loads(path.read_text())
    assert (kept["migrated"], kept["previous"]) == (True, "r0")


def test_the_release_in_force_says_which_one_was_before_but_not_its_values(
    run: Any, tmp_path: Path
) -> None:
    release(run, tmp_path, "r1")
    result = release(run, tmp_path, "r2")
    assert result["release"] == {
        "name": "shop",
        "release": "r2",
        "location": "apps/shop",
        "commit": None,
        "previous": "r1",
    }
    assert result["images"] == [document(name)["image"] for name in ("r1", "r2")]
    copy = json.loads((tmp_path / "deployment.json").read_text())
    assert copy == json.loads((tmp_path / "deployments/r2.json").read_text())
    assert copy["env"] == {"KEY": SECRET}
    again = run(**in_force(tmp_path, "r2"))
    assert (again["changed"], again["release"]) == (False, result["release"])


def test_a_release_that_comes_back_keeps_its_own_forerunner(run: Any, tmp_path: Path) -> None:
    for name in ("r1", "r2", "r3"):
        release(run, tmp_path, name)
    back = run(**in_force(tmp_path, "r2"), rolls_back=True)
    assert back["release"]["previous"] == "r1"
    further = run(**in_force(tmp_path, "r1"), rolls_back=True)
    assert further["release"]["previous"] is None


def test_the_oldest_documents_go_but_never_the_one_before(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "deployments"
    for age, name in enumerate(("r1", "r2", "r3", "r4")):
        release(run, tmp_path, name, keep=9)
        os.utime(folder / f"{name}.json", (age, age))
    wanted = {**in_force(tmp_path, "r1"), "keep": 2}
    assert run(**wanted, check_mode=True)["changed"]
    assert len(list(folder.iterdir())) == 4
    result = run(**wanted)
    assert sorted(path.name for path in folder.iterdir()) == ["r1.json", "r4.json"]
    assert result["images"] == [document(name)["image"] for name in ("r1", "r4")]


def test_a_release_without_a_document_is_refused_in_one_line(run: Any, tmp_path: Path) -> None:
    run(document=document("r1"))
    wanted = in_force(tmp_path, "r9")
    result = run(**wanted)
    assert result["failed"]
    assert result["msg"] == f"{wanted['path']} is not the document of a release"
    (tmp_path / "deployments/r9.json").write_text('{"release": "r9')
    assert run(**wanted)["failed"]
    assert run(document={"image": "no name"})["msg"] == (
        "the document of the release has no 'release'"
    )


def test_the_question_before_the_module_is_answered_where_nothing_is_to_be_done(
    run: Any, tmp_path: Path
) -> None:
    folder = str(tmp_path / "deployments")
    group = grp.getgrgid(os.getgid()).gr_name
    present = {"folder": folder, "document": json.dumps(document("r1")), "group": group}
    wanted = {"folder": folder, "group": group, **in_force(tmp_path, "r1")}
    assert _release_documents.look(present) == {}
    assert _release_documents.look(wanted) == {}
    release(run, tmp_path, "r1")
    assert _release_documents.look(present) == {"path": wanted["path"]}
    assert _release_documents.look(wanted)["release"]["release"] == "r1"
    Path(wanted["in_force"]).write_text("{}")
    assert _release_documents.look(wanted) == {}
