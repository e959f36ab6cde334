# SPDX-License-Identifier: GPL-3.0-or-later
"""The same files are the same archive and the same release; anything else is another."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterops.application import package
from clusterops.errors import UsageError

DATASTORE = {"datastore.postgres_url": "postgresql://db"}


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def test_the_archive_is_the_same_for_the_same_files(app: Path, tmp_path: Path) -> None:
    first_hash, first = package.pack(app, tmp_path / "one")
    copy = tmp_path / "elsewhere/shop"
    shutil.copytree(app, copy)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    second_hash, second = package.pack(copy, tmp_path / "two")
    assert (first_hash, first.read_bytes()) == (second_hash, second.read_bytes())
    assert first.name == f"shop-{first_hash[:12]}.tar.gz"


def test_a_file_with_two_names_is_two_files(app: Path, tmp_path: Path) -> None:
    (app / "src/copy.py").write_bytes((app / "src/main.py").read_bytes())
    expected, _ = package.pack(app, tmp_path / "one")
    (app / "src/copy.py").unlink()
    (app / "src/copy.py").hardlink_to(app / "src/main.py")
    found, archive = package.pack(app, tmp_path / "two")
    assert found == expected
    with tarfile.open(archive) as tar:
        assert all(member.isreg() and member.size for member in tar)


@pytest.mark.parametrize("change", ["content", "name", "mode", "new"])
def test_any_change_is_another_archive(app: Path, tmp_path: Path, change: str) -> None:
    before, _ = package.pack(app, tmp_path / "out")
    file = app / "src/main.py"
    if change == "content":
        file.write_text("print('bye')\n")
    elif change == "name":
        file.rename(app / "src/other.py")
    elif change == "mode":
        file.chmod(0o755)
    else:
        (app / "src/new.py").write_text("")
    after, _ = package.pack(app, tmp_path / "out")
    assert before != after


def test_what_a_build_never_needs_stays_out(app: Path, tmp_path: Path) -> None:
    before, _ = package.pack(app, tmp_path / "out")
    for name in (".git/config", "src/__pycache__/main.pyc", "node_modules/x.js", ".env"):
        path = app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    after, archive = package.pack(app, tmp_path / "out")
    assert before == after
    assert names(archive) == ["Dockerfile", "app.yml", "compose.yml", "src/main.py"]


def test_links_stay_links(app: Path, tmp_path: Path) -> None:
    (app / "file").symlink_to("src/main.py")
    (app / "folder").symlink_to("src")
    _, archive = package.pack(app, tmp_path / "out")
    with tarfile.open(archive) as tar:
        links = {member.name: member.linkname for member in tar if member.issym()}
    assert links == {"file": "src/main.py", "folder": "src"}


def test_an_application_that_is_too_large(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "MAX_BYTES", 10)
    with pytest.raises(UsageError, match="is larger than"):
        package.pack(app, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_release_is_source_and_environment(app: Path, tmp_path: Path) -> None:
    def release(**values: str) -> str:
        answer = package.describe(app, tmp_path / "out", {"API_KEY": "k", **values}, DATASTORE)
        return str(answer["release"])

    assert release() == release()
    assert release(LOG_LEVEL="debug") != release()
    assert release()[:12] == release(LOG_LEVEL="debug")[:12]
    before = release()
    (app / "src/main.py").write_text("other")
    assert release()[:12] != before[:12]


def test_the_description_has_what_the_playbooks_need(app: Path, tmp_path: Path) -> None:
    answer = package.describe(app, tmp_path / "out", {"API_KEY": "k"}, DATASTORE)
    assert answer["application"] == {
        "name": "shop",
        "port": 5000,
        "health_path": "/health",
        "ready_path": "/ready",
        "metrics_path": None,
        "migration_service": None,
    }
    assert answer["compose"] == (app / "compose.yml").read_text()
    assert answer["env"]["POSTGRES_URL"] == "postgresql://db"
    assert Path(answer["archive"]).is_file()
    assert (answer["indexes"], answer["proxies"]) == ({"pip_conf": "", "npmrc": ""}, {})


def test_every_service_finds_the_clusters_authority(app: Path, tmp_path: Path) -> None:
    def describe(authority: str) -> dict[str, Any]:
        values = {"API_KEY": "k"}
        return package.describe(app, tmp_path / "out", values, DATASTORE, authority=authority)

    (app / "compose.yml").write_text(
        (app / "compose.yml").read_text() + "  worker: {image: a}\nversion: '3.9'\n"
    )
    answer = describe("CERTIFICATE")
    assert answer["authority"] == "CERTIFICATE"
    mount = {"volumes": ["./ca.crt:/etc/clusterops/ca.crt:ro"]}
    assert yaml.safe_load(answer["overlay"]) == {
        "services": {"web": mount, "worker": mount},
        "version": "3.9",
    }
    # Processes that run would go on trusting the authority before.
    assert describe("ANOTHER")["release"] != answer["release"]
    assert describe("")["overlay"] == ""


def test_proxies_of_the_host(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://upper:1")
    monkeypatch.setenv("https_proxy", "http://lower:2")
    answer = package.describe(app, tmp_path / "out", {"API_KEY": "k"}, DATASTORE)
    assert answer["proxies"] == {"http_proxy": "http://upper:1", "https_proxy": "http://lower:2"}


@pytest.fixture
def run(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(values: dict[str, Any]) -> int:
        given = json.dumps({"values": values, "datastore": DATASTORE})
        monkeypatch.setattr(package.sys, "stdin", io.StringIO(given))
        return package.main([str(app), "--output", str(tmp_path / "out")])

    return call


def test_the_command_prints_one_document(run: Any, capsys: Any) -> None:
    assert run({"API_KEY": "k", "DEBUG": True, "WORKERS": 2}) == 0
    env = json.loads(capsys.readouterr().out)["env"]
    assert (env["DEBUG"], env["WORKERS"]) == ("true", "2")


def test_the_command_fails_with_one_line_and_no_secret(run: Any, capsys: Any) -> None:
    assert run({"API_KEY": "hunter2\n"}) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: application shop: the value of API_KEY")
    assert "hunter2" not in error
    assert error.count("\n") == 1


def test_without_a_version_the_overlay_has_none_either(app: Path) -> None:
    overlay = package.compose_overlay((app / "compose.yml").read_text())
    assert set(yaml.safe_load(overlay)) == {"services"}


def test_a_socket_is_no_content(app: Path, tmp_path: Path) -> None:
    before, _ = package.pack(app, tmp_path / "one")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(app / "src/s.sock"))
        after, archive = package.pack(app, tmp_path / "two")
    assert before == after
    assert "src/s.sock" not in names(archive)
