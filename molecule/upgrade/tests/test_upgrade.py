# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of the previous release, after this one was applied: everything serves, all is kept."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

CONTROL = (
    "docker",
    "docker-registry",
    "redis-server",
    "nginx",
    "prometheus",
    "clusterops-firewall",
)
AGENT = ("docker", "clusterops-metrics-api", "clusterops-firewall")
CURL = "curl -sS --fail --cacert /etc/clusterops/ca.crt"


@pytest.mark.parametrize("service", CONTROL)
def test_the_control_nodes_services_run(host: Host, service: str) -> None:
    assert host.service(service).is_running
    assert host.service(service).is_enabled


@pytest.mark.parametrize("service", AGENT)
def test_the_agents_services_run(other: Host, service: str) -> None:
    assert other.service(service).is_running
    assert other.service(service).is_enabled


def test_the_databases_keep_their_data(host: Host) -> None:
    sql = "PGPASSWORD=shop-secret psql -XqAtw -h 127.0.0.1 -U shop -d shop -c 'SELECT v FROM kept'"
    assert host.check_output(sql) == "yes"
    redis = "redis-cli --tls --cacert /etc/clusterops/ca.crt --no-auth-warning get kept"
    assert host.check_output(f"REDISCLI_AUTH=redis-secret {redis}") == "yes"


def test_the_registry_keeps_its_images(host: Host) -> None:
    catalog = json.loads(host.check_output(f"{CURL} https://127.0.0.1:5001/v2/_catalog"))
    assert catalog["repositories"] == ["apps/kept"]


def test_the_load_balancer_keeps_its_pool(host: Host) -> None:
    agents = json.loads(host.check_output(f"{CURL} http://127.0.0.1/lb/status"))["agents"]
    assert [(agent["name"], agent["state"]) for agent in agents] == [("kept", "in_service")]


def test_prometheus_answers(host: Host) -> None:
    assert host.run(f"{CURL} http://127.0.0.1:9090/-/ready").rc == 0


def test_the_agent_tells_its_metrics_from_outside(host: Host, other: Host) -> None:
    address = other.interface("eth0").addresses[0]
    metrics = json.loads(host.check_output(f"{CURL} http://{address}:5100/metrics"))
    assert metrics["status"] == "active"


def test_nothing_failed(host: Host, other: Host) -> None:
    for node in (host, other):
        assert node.check_output("systemctl --failed --no-legend --plain") == ""
