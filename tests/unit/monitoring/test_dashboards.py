# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re

import pytest
import yaml

from clusterops.monitoring import catalogue, dashboards, expressions
from clusterops.monitoring.__main__ import DOCUMENT, FOLDER, with_table
from clusterops.state import project_root

ROOT = project_root()
RULES = expressions.rules()
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDS = [rule["record"] for rule in RULES if "record" in rule]
KEPT = yaml.safe_load((ROOT / "roles/monitoring/vars/main.yml").read_text())["_monitoring_kept"]
FOREIGN = {"pg": "postgres", "redis": "redis", "prometheus": "prometheus", "process": "prometheus"}
# Told by Prometheus of everything, and by the example application (its own tests say so).
GIVEN = {
    "up", "ALERTS", "fibonacci_queue_jobs", "fibonacci_http_requests_total",
    "fibonacci_job_duration_seconds_sum", "fibonacci_job_duration_seconds_count",
}  # fmt: skip


@pytest.mark.parametrize("name", dashboards.files())
def test_the_committed_dashboards_are_current(name: str) -> None:
    assert (ROOT / FOLDER / name).read_text() == dashboards.files()[name]
    document = json.loads(dashboards.files()[name])
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in document["panels"]]
    assert len(set(places)) == len(places) > 10


def test_the_documented_metrics_are_current() -> None:
    text = (ROOT / DOCUMENT).read_text()
    assert text == with_table(text)
    assert "| load_balancer | `clusterops_load_balancer_agents` | gauge |" in text


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("up == 0", ["up"]),
        (
            'sum by (le, agent) (rate(a_b{c="d{e}"}[5m])) / on (x) b:c:d > 2',
            ['a_b{c="d{e}"}', "b:c:d"],
        ),
        ("(increase(a[$__rate_interval]) or vector(0)) and b unless c", ["a", "b", "c"]),
        ("histogram_quantile(0.5, a) - time()", ["a"]),
    ],
)
def test_selectors_of_an_expression(expression: str, found: list[str]) -> None:
    assert expressions.selectors(expression) == found


def test_every_metric_that_is_asked_for_is_told_by_somebody() -> None:
    own = {metric.name: metric.kind for metric in catalogue.metrics()}
    told = GIVEN | set(RECORDS)
    for name, kind in own.items():
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        told |= {name + part for part in parts}
    asked = dashboards.asked()
    foreign = {name for name in asked if name.partition("_")[0] in FOREIGN}
    assert asked - foreign - told == set()
    for name in foreign:
        kept = "|".join(KEPT[FOREIGN[name.partition("_")[0]]])
        assert re.fullmatch(kept, name), f"{name} is asked for and thrown away"


def test_names_follow_the_rules_of_prometheus() -> None:
    for metric in catalogue.metrics():
        assert re.fullmatch(r"(clusterops|node)_[a-zA-Z0-9_]+", metric.name), metric
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric
        assert metric.about and not re.search(r"(percent|milliseconds|_ms|kb|mb)$", metric.name)
    for name in RECORDS:
        assert re.fullmatch(r"[a-z]+:[a-z_]+:[a-z0-9_]+|[a-z]+:[a-z_]+_bucket:[a-z0-9]+", name)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_to_do_and_where_it_is_described(alert: dict[str, object]) -> None:
    notes, name = alert["annotations"], str(alert["alert"])
    assert isinstance(notes, dict) and len(notes["summary"]) > 60
    assert alert["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert notes["runbook"] == f"docs/monitoring.md#{name.lower()}"
    assert f"\n### {name}\n" in (ROOT / DOCUMENT).read_text()


def test_every_alert_is_described_and_tested_both_ways() -> None:
    names = {str(alert["alert"]) for alert in ALERTS}
    headings = re.findall(r"^### (\w+)$", (ROOT / DOCUMENT).read_text(), re.MULTILINE)
    assert set(headings) == names
    tests = yaml.safe_load((ROOT / "tests/integration/monitoring/rules_test.yml").read_text())
    cases = [case for test in tests["tests"] for case in test.get("alert_rule_test", [])]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    does_not = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert fires == does_not == names
