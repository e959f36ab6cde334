# SPDX-License-Identifier: GPL-3.0-or-later
"""The script of the role scaler, which runs on the controller."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

FILES = Path(__file__).parents[3] / "roles/scaler/files"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FILES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "src"
    for name in ("galaxy.yml", "roles/a/tasks/main.yml", "plugins/modules/m.py", "playbooks/p.yml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "plugins/__pycache__").mkdir()
    (root / "plugins/__pycache__/m.pyc").write_text("x")
    (root / "wheels").mkdir()
    (root / "wheels/w.whl").write_text("wheel")
    (root / "wheels/wheelhouse.json").write_text(json.dumps({"wheel": "w.whl"}))
    return root


def archive(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: Path):  # type: ignore[no-untyped-def]
    monkeypatch.setattr("sys.argv", ["archive", *map(str, args)])
    assert load("archive_collection").main() == 0
    return json.loads(capsys.readouterr().out)


def test_the_archive_depends_on_content_only(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = archive(monkeypatch, capsys, source, source / "wheels", tmp_path / "a")
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    os.utime(copy / "galaxy.yml", (1, 1))
    two = archive(monkeypatch, capsys, copy, copy / "wheels", tmp_path / "b")
    assert one["id"] == two["id"]
    assert Path(one["path"]).read_bytes() == Path(two["path"]).read_bytes()
    again = archive(monkeypatch, capsys, source, source / "wheels", tmp_path / "a")
    assert (one["changed"], again["changed"]) == (True, False)
    with tarfile.open(one["path"]) as tar:
        names = [name.split("/", 2)[2] for name in tar.getnames()]
    assert names[-1] == ".complete" and "wheels/w.whl" in names
    assert "ansible_collections/clusterops/playground/plugins/modules/m.py" in names
    assert not any("pycache" in name for name in names)
    (source / "playbooks/p.yml").write_text("new")
    changed = archive(monkeypatch, capsys, source, source / "wheels", tmp_path / "a")
    assert changed["id"] != one["id"] and len(list((tmp_path / "a").glob("*.tar"))) == 1
