# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from clusterops.errors import UsageError
from clusterops.server_manager.settings import ConfigSource


def test_changes_of_the_file_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yml"
    path.write_text("agents_max: 2\n")
    source = ConfigSource(path)
    assert source.current().agents_max == 2
    path.write_text("agents_max: 10\n")
    assert source.current().agents_max == 10


def test_a_broken_edit_leaves_the_last_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cluster.yml"
    path.write_text("agents_max: 2\n")
    source = ConfigSource(path)
    path.write_text("agents_max: many\n")
    for _ in range(3):
        assert source.current().agents_max == 2
    assert source.problem is not None
    assert "agents_max" in source.problem
    assert len(caplog.records) == 1, "said once, not at every request"
    path.unlink()
    assert source.current().agents_max == 2
    path.write_text("agents_max: 30\n")
    assert source.current().agents_max == 30
    assert source.problem is None


def test_a_running_cluster_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yml"
    path.write_text("cluster_name: one\n")
    source = ConfigSource(path)
    path.write_text("cluster_name: other\n")
    assert source.current().cluster_name == "one"
    assert source.problem is not None
    assert "playground down" in source.problem


def test_a_wrong_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yml"
    path.write_text("agents_maxx: 2\n")
    with pytest.raises(UsageError, match="did you mean 'agents_max'"):
        ConfigSource(path)
