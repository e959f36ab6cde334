# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from clusterops import clients
from clusterops.cli.deploy import deploy, named_in_cluster_yml
from clusterops.errors import ClusterOpsError, NotRunningError
from clusterops.lifecycle import bring_up
from clusterops.state import project_root


def test_a_folder_of_the_project_is_named_from_its_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(project_root() / "apps")
    assert named_in_cluster_yml("whoami") == "apps/whoami"
    assert named_in_cluster_yml(str(project_root() / "apps/whoami")) == "apps/whoami"
    monkeypatch.chdir(tmp_path)  # as the documentation writes it, from anywhere
    assert named_in_cluster_yml("apps/whoami") == "apps/whoami"


def test_another_folder_is_named_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path)
    assert named_in_cluster_yml("shop") == str(tmp_path / "shop")


def test_a_repository_is_named_as_it_is() -> None:
    assert named_in_cluster_yml("git://h/a.git#main") == "git://h/a.git#main"


@pytest.mark.parametrize("answers", [True, False])
def test_the_scaler_goes_on_when_a_roll_out_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: bool
) -> None:
    released: list[str] = []

    def release(holder: str) -> None:
        if not answers:
            raise NotRunningError("The scaler does not answer")
        released.append(holder)

    def fail(*_: object) -> int:
        raise ClusterOpsError("agent-1: Build the image: no such base image")

    monkeypatch.setenv("PLAYGROUND_CLUSTER_FILE", str(tmp_path / "cluster.yml"))
    (tmp_path / "cluster.yml").write_text("application_path: apps/fibonacci\n")
    manager = SimpleNamespace(cluster=dict)
    monkeypatch.setattr(clients, "server_manager", lambda: manager)
    monkeypatch.setattr(clients, "scaler", lambda _: SimpleNamespace(release=release))
    monkeypatch.setattr(bring_up, "provision", fail)
    with pytest.raises(ClusterOpsError, match="no such base image"):
        deploy("apps/whoami")
    assert released == (["site.yml"] if answers else [])
    # A release that is not in force is not what cluster.yml names.
    assert (tmp_path / "cluster.yml").read_text() == "application_path: apps/fibonacci\n"
