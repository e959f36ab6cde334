# SPDX-License-Identifier: GPL-3.0-or-later
"""Vagrant takes over the cluster that ./playground brought up; both go on with it."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster, request, wait_for
from tests.e2e.vagrant import vagrant

pytestmark = pytest.mark.e2e


def test_vagrants_up_finds_everything_up_to_date(cluster: Cluster) -> None:
    born = ("--format={{.ID}} {{.CreatedAt}}",)
    before = set(cluster.left("container", *born).splitlines())
    output = vagrant(cluster, "up", "--provider=docker")
    assert output.count("ansible-playbook site.yml") == 1  # once for all, not once for each
    assert "Everything was up to date" in output, output
    # The scaler may have added an agent meanwhile.
    assert before <= set(cluster.left("container", *born).splitlines())


def test_vagrant_logs_in(cluster: Cluster) -> None:
    assert vagrant(cluster, "ssh", "agent-1", "--command", "hostname").strip() == "agent-1"


def test_machines_that_were_halted_or_destroyed_come_back(cluster: Cluster) -> None:
    vagrant(cluster, "halt")
    nodes = {node["name"]: node["state"] for node in cluster.status()["nodes"]}
    assert (nodes["control-1"], nodes["agent-1"]) == ("stopped", "stopped")
    vagrant(cluster, "destroy", "--force", "agent-1")
    assert "agent-1" not in {node["name"] for node in cluster.status()["nodes"]}
    output = vagrant(cluster, "up")
    assert output.count("ansible-playbook site.yml") == 1
    wait_for("agent-1 in service", lambda: "agent-1" in cluster.in_service(), 60)
    assert request("GET", f"{cluster.url}/health")[:2] == (200, {"status": "OK"})
    assert cluster.status()["application"]["healthy"]


def test_the_cluster_scales_beyond_vagrants_machines(cluster: Cluster) -> None:
    cluster.run("scale", "2")
    assert len(cluster.in_service()) == 2
