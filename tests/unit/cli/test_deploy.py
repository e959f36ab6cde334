# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from clusterops.cli.deploy import named_in_cluster_yml
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
