# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of the cluster that the tests before have used."""

from __future__ import annotations

import subprocess

import pytest

from tests.e2e.cluster import Cluster

pytestmark = pytest.mark.e2e


def test_down_leaves_nothing(cluster: Cluster) -> None:
    cluster.run("down")
    for kind in ("container", "volume", "network"):
        assert cluster.left(kind) == "", kind
    assert cluster.name not in _docker("images", "--format", "{{.Repository}}")
    assert cluster.name not in _docker("network", "ls", "--format", "{{.Name}}")
    assert not (cluster.folder / ".playground").exists()
    again = cluster.run("down")
    assert "nothing to remove" in again.stdout
    assert cluster.run("status", check=False).returncode == 3


def _docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
