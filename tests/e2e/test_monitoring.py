# SPDX-License-Identifier: GPL-3.0-or-later
"""What rules and dashboards ask for is really told by a cluster that runs."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from clusterops.monitoring import dashboards, expressions
from tests.e2e.cluster import Cluster, request, wait_for

pytestmark = pytest.mark.e2e

JOBS = {
    "agents", "application", "load_balancer", "postgres", "prometheus", "redis", "scaler",
    "server_manager",
}  # fmt: skip


def query(cluster: Cluster, expression: str) -> list[dict[str, Any]]:
    """The series of an expression, now."""
    text = expression.replace("$__rate_interval", "1m")
    status, answer, _ = request("GET", f"{cluster.prometheus}/query?query={quote(text)}")
    assert status == 200, f"{text}: {answer}"
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def may_be_empty(expression: str) -> bool:
    """Whether one of its metrics has no series until something happens."""
    names = map(expressions.metric, expressions.selectors(expression))
    return any(name in expressions.EMPTY_UNTIL for name in names)


@pytest.fixture(scope="module", autouse=True)
def traffic(cluster: Cluster) -> None:
    """Requests and jobs, until Prometheus has seen them."""
    api = f"{cluster.url}/api/v1/fibonacci/calculate"

    def seen() -> bool:
        statuses = {request("POST", f"{api}/{number}")[0] for number in range(20, 30)}
        assert statuses <= {200, 409}
        return bool(query(cluster, "cluster:requests:rate1m > 0"))

    wait_for("rates of requests", seen, 90)


def test_every_part_is_asked_and_answers(cluster: Cluster) -> None:
    wait_for(
        "all targets up",
        lambda: (
            {one["metric"]["job"] for one in query(cluster, "up == 1")} == JOBS
            and not query(cluster, "up == 0")
        ),
        90,
    )


def test_targets_are_the_agents_that_run(cluster: Cluster) -> None:
    running = {
        node["name"]
        for node in cluster.status()["nodes"]
        if node["role"] == "agent" and node["state"] == "running"
    }
    wait_for(
        "targets as the machines",
        lambda: {one["metric"]["node"] for one in query(cluster, 'up{job="agents"}')} == running,
        60,
    )


def test_rules_and_dashboards_ask_for_what_there_is(cluster: Cluster) -> None:
    asked = [rule["record"] for rule in expressions.rules() if "record" in rule]
    # What a comparison asks for must be there; that it is false is as it should be.
    for text in (
        *(rule["expr"] for rule in expressions.rules()),
        *(t for _, t in dashboards.expressions()),
    ):
        whole = not expressions.COMPARISON.search(text)
        asked += [text] if whole else expressions.selectors(text)
    asked = [text for text in dict.fromkeys(asked) if not may_be_empty(text)]
    assert len(asked) > 50
    missing: list[str] = []

    def all_there() -> bool:
        missing[:] = [text for text in asked if not query(cluster, text)]
        return not missing

    try:
        wait_for("series for every expression", all_there, 60, every=5)
    except AssertionError as error:
        raise AssertionError(f"nothing is told for {missing}") from error
    assert query(cluster, "clusterops_no_such_metric") == []


def test_no_rule_fails_and_nothing_is_wrong(cluster: Cluster) -> None:
    groups = request("GET", f"{cluster.prometheus}/rules")[1]["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(expressions.rules())
    assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []
    # Earlier tests had agents fail; what those alerts say is true, and no part is down.
    firing = {one["metric"]["alertname"] for one in query(cluster, 'ALERTS{alertstate="firing"}')}
    assert firing & {"DatabaseDown", "ServerManagerUnreachable", "NoAgentInService"} == set()


def test_an_alert_fires_when_a_part_dies_and_status_tells_it(cluster: Cluster) -> None:
    cluster.on("control-1", "systemctl stop prometheus-redis-exporter")
    try:
        wait_for("TargetDown fires", lambda: "TargetDown" in cluster.run("status").stdout, 150)
        alerts = json.dumps(request("GET", f"{cluster.prometheus}/alerts")[1])
        assert "docs/monitoring.md#targetdown" in alerts
    finally:
        cluster.on("control-1", "systemctl start prometheus-redis-exporter")


def test_the_token_of_prometheus_is_its_own(cluster: Cluster) -> None:
    told = cluster.on("control-1", "stat -c '%U %G %a' /etc/clusterops/token-read")
    assert told.split() == ["root", "prometheus", "640"]
