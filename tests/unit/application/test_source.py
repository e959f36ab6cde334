# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders and git repositories as the place of an application."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from clusterops.application import source
from clusterops.errors import UsageError

APP = "name: shop\n"
URL = "git://example.org/shop.git"


def tree(folder: Path, **files: str) -> Path:
    """An archive of a repository's files, as git makes it."""
    path = folder / "tree.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize(
    ("location", "url", "ref"),
    [
        ("https://example.org/a.git", "https://example.org/a.git", "HEAD"),
        ("https://example.org/a.git#v1.2", "https://example.org/a.git", "v1.2"),
        ("ssh://git@example.org:2222/a.git#feature/x", "ssh://git@example.org:2222/a.git",
         "feature/x"),
        ("git@example.org:team/a.git#main", "git@example.org:team/a.git", "main"),
        ("file:///srv/a.git", "file:///srv/a.git", "HEAD"),
    ],
)  # fmt: skip
def test_repositories(location: str, url: str, ref: str) -> None:
    assert source.is_repository(location)
    assert source.parse_repository(location) == source.Repository(url, ref)


@pytest.mark.parametrize("location", ["apps/shop", "/srv/apps/shop", "./a:b", "../x", "shop"])
def test_folders(location: str) -> None:
    assert not source.is_repository(location)


@pytest.mark.parametrize("ref", ["--upload-pack=x", "a..b", "a b", "a;b", "$(x)"])
def test_references_that_are_none(ref: str) -> None:
    with pytest.raises(UsageError, match="is not a git reference"):
        source.parse_repository(f"{URL}#{ref}")


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        source.parse_repository("https://me:s3cret@example.org/a.git#main")
    assert "example.org" in str(caught.value)
    assert "s3cret" not in str(caught.value) + str(caught.value.remedy)


def test_a_repository_in_a_folder_is_cloned_where_that_folder_is() -> None:
    assert source.Repository("file:///srv/a.git").cloned_on == "localhost"
    assert source.Repository(URL).cloned_on == "control"


def test_repositories_of_one_name_have_folders_of_their_own() -> None:
    keys = {source.Repository(f"git://{host}/shop.git").key for host in ("a", "b")}
    assert len(keys) == 2 and all(key.startswith("shop-git-") for key in keys)


def test_a_repository_is_the_applications_folder(tmp_path: Path) -> None:
    archive = tree(tmp_path, app_yml=APP, Dockerfile="FROM scratch\n")
    assert source.describe(URL, None, {})["name"] is None
    assert source.describe(URL, archive, {})["name"] == "shop"
    with source.application_folder(URL, archive) as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["Dockerfile", "app.yml"]
    assert not folder.exists()


def test_a_repository_beside_the_applications_folder(tmp_path: Path) -> None:
    local = tmp_path / "shop"
    local.mkdir()
    (local / "app.yml").write_text(APP + f"source: {{git: '{URL}', ref: v3}}\n")
    (local / "Dockerfile").write_text("FROM scratch\nCOPY source/ .\n")
    described = source.describe(str(local), None, {})
    assert described["name"] == "shop"
    assert (described["repository"]["url"], described["repository"]["ref"]) == (URL, "v3")
    archive = tree(tmp_path, server_js="// it\n")
    with source.application_folder(str(local), archive) as folder:
        assert folder.name == "shop"
        assert (folder / "source/server.js").read_text() == "// it\n"
        assert (folder / "Dockerfile").exists()
    assert not (local / "source").exists()


def test_another_repository_instead_of_the_one_that_an_app_yml_names(tmp_path: Path) -> None:
    (tmp_path / "app.yml").write_text(APP + f"source: {{git: '{URL}', ref: v3}}\n")
    instead = {"shop": "git://mirror.example/shop.git#v4", "other": "git://mirror.example/x.git"}
    repository = source.repository_of(str(tmp_path), instead)
    assert repository == source.Repository("git://mirror.example/shop.git", "v4")
    assert source.repository_of("apps/whoami", {"whoami": "git://mirror.example/x.git"}) is None
    with pytest.raises(UsageError, match="not the URL"):
        source.repository_of(str(tmp_path), {"shop": "ftp://mirror.example"})


def test_a_repository_that_names_another(tmp_path: Path) -> None:
    archive = tree(tmp_path, app_yml=APP + f"source: {{git: '{URL}'}}\n")
    with pytest.raises(UsageError, match="is a repository already"):
        source.describe(URL, archive, {})


def test_files_that_would_leave_the_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tree.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises(UsageError, match="cannot be unpacked"):
        source.describe(URL, path, {})


def test_errors_name_the_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tree(tmp_path, README="no app.yml\n")
    assert source.main([URL, "--tree", str(archive)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {URL}/app.yml: not found")
    assert "/tmp" not in error


def test_the_command_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert source.main(["apps/whoami"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "whoami", "repository": None}
