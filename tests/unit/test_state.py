# SPDX-License-Identifier: GPL-3.0-or-later
"""The state folder: private, whole, and the same for everybody who asks."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from clusterops import state as module
from clusterops.state import CLUSTER_FILE_ENV, State, cluster_file, project_root, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State.beside(tmp_path / "cluster.yml")


def test_it_lies_beside_its_cluster_file(tmp_path: Path, state: State) -> None:
    assert state.root == tmp_path / ".playground"
    paths = (state.token_file, state.endpoint_file, state.ssh_key, state.known_hosts, state.logs)
    assert all(path.is_relative_to(state.root) for path in paths)


def test_folders_are_private_even_when_they_were_not(state: State) -> None:
    state.root.mkdir(mode=0o755)
    state.create()
    state.create()
    assert [mode(path) for path in (state.root, state.ssh_dir, state.logs)] == [0o700] * 3


def test_the_token_is_made_once_and_is_private(state: State) -> None:
    token = state.token()
    assert len(token) == 64
    assert state.token() == token
    assert mode(state.token_file) == 0o600


def test_two_clusters_have_two_tokens(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = State.beside(tmp_path / "other/cluster.yml")
    assert other.token() != State.beside(tmp_path / "cluster.yml").token()


def test_the_token_of_whoever_was_first_wins(state: State) -> None:
    state.create()
    write_private(state.token_file, "first\n", exclusive=True)
    write_private(state.token_file, "second\n", exclusive=True)
    assert state.token() == "first"


def test_the_endpoint_names_everything_the_inventory_needs(state: State) -> None:
    state.create()
    state.write_endpoint("http://127.0.0.1:3000")
    endpoint = json.loads(state.endpoint_file.read_text())
    assert endpoint == {
        "url": "http://127.0.0.1:3000",
        "token_file": str(state.token_file),
        "state_dir": str(state.root),
        "cluster_file": str(state.cluster_file),
        "ssh_key": str(state.ssh_key),
        "known_hosts": str(state.known_hosts),
        "ca_file": str(state.tls_authority),
    }
    assert mode(state.endpoint_file) == 0o600


def test_a_private_file_replaces_an_open_one(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)


def test_a_failed_write_leaves_the_old_text_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    write_private(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_the_environment_may_name_another_cluster_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CLUSTER_FILE_ENV, raising=False)
    assert cluster_file() == project_root() / "cluster.yml"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CLUSTER_FILE_ENV, "mine.yml")
    assert cluster_file() == tmp_path / "mine.yml"
