# SPDX-License-Identifier: GPL-3.0-or-later
"""Vagrant where there is no cluster: its machines from images alone, and nothing left of them.

What is done on the machines is the same site.yml: test_shared_with_vagrant has seen it.
"""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.vagrant import vagrant

pytestmark = pytest.mark.e2e


def test_one_command_makes_the_machines(cluster: Cluster) -> None:
    assert cluster.left("container") == ""  # test_take_down was here
    vagrant(cluster, "up", "--provider=docker", "--no-provision")
    names = cluster.left("container", "--format={{.Names}}").split()
    assert sorted(names) == [f"{cluster.name}-agent-1", f"{cluster.name}-control-1"]
    status = cluster.status()
    assert (status["name"], status["provider"]) == (cluster.name, "docker")
    nodes = {node["name"]: (node["state"], node["ports"]["ssh"]) for node in status["nodes"]}
    assert nodes == {
        "control-1": ("running", cluster.port("ssh")),
        "agent-1": ("running", cluster.port("ssh") + 1),
    }
    assert vagrant(cluster, "ssh", "control-1", "--command", "hostname").strip() == "control-1"


def test_destroy_and_down_leave_nothing(cluster: Cluster) -> None:
    vagrant(cluster, "destroy", "--force")
    assert cluster.left("container") == ""
    assert not (cluster.folder / ".playground").exists()
    assert cluster.left("image") != ""
    cluster.run("down")
    for kind in ("volume", "network", "image"):
        assert cluster.left(kind) == ""
    assert cluster.named("image", "Repository") == cluster.named("network", "Name") == []
    assert "nothing to remove" in cluster.run("down").stdout
    assert "not created" in vagrant(cluster, "status")
