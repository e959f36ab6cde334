# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive never writes outside its folder, whichever Python unpacks it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils._archives import (
    UnsafeArchive,
    extract,
)


def archive(path: Path, *members: tarfile.TarInfo) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return str(path)


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.size = 1 if kind == tarfile.REGTYPE else 0
    return info


@pytest.fixture
def old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has no filters for archives, as 3.11.2."""
    monkeypatch.delattr(tarfile, "data_filter", raising=False)


@pytest.mark.usefixtures("old_python")
def test_files_folders_and_links_inside_are_unpacked(tmp_path: Path) -> None:
    folder = entry("src", tarfile.DIRTYPE)
    folder.mode = 0o755
    made = archive(
        tmp_path / "a.tar.gz",
        folder,
        entry("src/a.py"),
        entry("b", tarfile.SYMTYPE, "src/a.py"),
    )
    extract(made, str(tmp_path / "out"))
    assert (tmp_path / "out/b").read_text() == "x"


@pytest.mark.usefixtures("old_python")
@pytest.mark.parametrize(
    "member",
    [
        entry("/etc/x"),
        entry("../x"),
        entry("a", tarfile.SYMTYPE, "/etc"),
        entry("a", tarfile.LNKTYPE, "../../x"),
        entry("a", tarfile.FIFOTYPE),
    ],
    ids=["root", "above", "link to root", "link above", "fifo"],
)
def test_what_leads_elsewhere_is_refused_and_nothing_is_unpacked(
    tmp_path: Path, member: tarfile.TarInfo
) -> None:
    made = archive(tmp_path / "a.tar.gz", entry("fine"), member)
    with pytest.raises(UnsafeArchive, match=r"a\.tar\.gz holds"):
        extract(made, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_newer_python_looks_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FilterError(Exception):
        pass

    asked: list[dict[str, Any]] = []

    def extractall(_: tarfile.TarFile, folder: str, **options: Any) -> None:
        asked.append(options)
        if len(asked) > 1:
            raise FilterError("'../x' would be outside")

    monkeypatch.setattr(tarfile, "data_filter", object(), raising=False)
    monkeypatch.setattr(tarfile, "FilterError", FilterError, raising=False)
    monkeypatch.setattr(tarfile.TarFile, "extractall", extractall)
    made = archive(tmp_path / "a.tar.gz", entry("a"))
    extract(made, str(tmp_path))
    assert asked == [{"filter": "data"}]
    with pytest.raises(UnsafeArchive, match="would be outside"):
        extract(made, str(tmp_path))
