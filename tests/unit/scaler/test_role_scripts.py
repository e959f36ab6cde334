# SPDX-License-Identifier: GPL-3.0-or-later
"""The two scripts of the role scaler: one runs on the controller, one on the node."""

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


def test_files_are_written_once_and_only_outside_check_mode(tmp_path: Path) -> None:
    script = load("write_files")
    owner = {"owner": tmp_path.owner(), "group": tmp_path.group()}
    secret = {"content": "s", "mode": "0400", **owner}
    path = tmp_path / "secret"
    assert script.file(path, secret, True) and not path.exists()
    assert script.file(path, secret, False)
    assert path.stat().st_mode & 0o777 == 0o400 and path.read_text() == "s"
    assert not script.file(path, secret, False)
    path.chmod(0o644)
    assert script.file(path, secret, False) and path.stat().st_mode & 0o777 == 0o400
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
    link = tmp_path / "link"
    assert script.link(link, {"link": "a"}, False) and script.link(link, {"link": "b"}, False)
    assert str(link.readlink()) == "b" and not script.link(link, {"link": "b"}, False)
    for n in range(4):
        (tmp_path / f"r{n}").mkdir()
        os.utime(tmp_path / f"r{n}", (n, n))
    assert script.prune(tmp_path, {"prune": "r?", "keep": 2}, False)
    assert sorted(p.name for p in tmp_path.glob("r?")) == ["r2", "r3"]
