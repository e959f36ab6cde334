# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus with the cluster's targets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

AGENTS = [{"targets": ["127.0.0.1:9000"], "labels": {"agent": "agent-1"}}]


@pytest.fixture(scope="module", autouse=True)
def scaler(host: Host) -> Iterator[None]:
    """A stand-in for the scaler: the list of agents, and something to measure."""
    host.check_output("mkdir -p /tmp/www && echo 'example_value 7' > /tmp/www/metrics")
    host.check_output(f"echo '{json.dumps(AGENTS)}' > /tmp/www/agents.json")
    host.check_output(
        "systemd-run --unit stand-in --property WorkingDirectory=/tmp/www "
        "python3 -m http.server --bind 127.0.0.1 9000"
    )
    yield
    host.run("systemctl stop stand-in")


def _query(host: Host, query: str) -> list[dict[str, Any]]:
    """The answer, once there is one (10 s at most)."""
    for _ in range(20):
        answer = host.check_output(
            f"curl -sS -G http://127.0.0.1:9090/api/v1/query --data-urlencode 'query={query}'"
        )
        result: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        if result:
            return result
        time.sleep(0.5)
    return []


def test_it_runs_now_and_after_a_restart_of_the_node(host: Host) -> None:
    assert host.service("prometheus").is_running
    assert host.service("prometheus").is_enabled


@pytest.mark.parametrize("job", ["prometheus", "example", "agents"])
def test_targets_are_asked(host: Host, job: str) -> None:
    assert _query(host, f'up{{job="{job}"}} == 1')


def test_agents_come_from_the_scaler_with_their_labels(host: Host) -> None:
    assert _query(host, 'example_value{job="agents", agent="agent-1"}')[0]["value"][1] == "7"


def test_retention_is_limited(host: Host) -> None:
    flags = json.loads(host.check_output("curl -sS http://127.0.0.1:9090/api/v1/status/flags"))[
        "data"
    ]
    assert flags["storage.tsdb.retention.time"] == "1d"
    assert flags["storage.tsdb.retention.size"] == "256MiB"
