# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboards for Grafana, as they are in dashboards/grafana."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clusterops.monitoring.expressions import metric, rules, selectors

COLUMNS, WIDTH, HEIGHT = 3, 8, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One picture: expressions with the names of their lines, in Grafana's name of a unit."""

    title: str
    lines: tuple[tuple[str, str], ...]
    unit: str = "short"
    about: str = ""
    stacked: bool = False


@dataclass(frozen=True)
class Dashboard:
    """Its file is ``uid``.json."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


_LB = "clusterops_load_balancer"
_RATE = "[$__rate_interval]"


def _quantile(share: float, by: str) -> str:
    buckets = f"rate({_LB}_request_duration_seconds_bucket{_RATE})"
    return f"histogram_quantile({share}, sum by ({by}) ({buckets}))"


CLUSTER = Dashboard(
    "clusterops-cluster",
    "Cluster: traffic and scaling",
    (
        Panel(
            "Requests by status",
            ((f"sum by (status) (rate({_LB}_requests_total{_RATE}))", "{{status}}"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Latency",
            (
                (_quantile(0.5, "le"), "p50"),
                (_quantile(0.95, "le"), "p95"),
                (_quantile(0.99, "le"), "p99"),
            ),
            "s",
            "From a request's first byte to the end of its answer. As fine as the histogram's "
            "steps.",
        ),
        Panel(
            "Share of server errors",
            (("cluster:request_errors:ratio_rate5m", "5xx, five minutes"),),
            "percentunit",
        ),
        Panel(
            "Agents",
            (
                ("clusterops_scaler_desired_agents", "wanted"),
                ('clusterops_scaler_agents{state="in_service"}', "in service"),
                ('clusterops_scaler_agents{state="running"}', "running"),
                ("clusterops_scaler_min_agents", "minimum"),
                ("clusterops_scaler_max_agents", "maximum"),
            ),
            about="What the scaler wants, and what it sees.",
        ),
        Panel(
            "What the scaler looks at",
            (
                ("clusterops_scaler_cpu_utilization_ratio", "CPU"),
                ("clusterops_scaler_memory_utilization_ratio", "memory"),
            ),
            "percentunit",
            "Averages over the agents in service.",
        ),
        Panel(
            "Scaling",
            (
                ("increase(clusterops_scaler_decisions_total[5m])", "decided: {{direction}}"),
                (
                    "sum by (kind, result) (increase(clusterops_scaler_actions_total[5m]))",
                    "{{kind}} {{result}}",
                ),
            ),
            about="Within five minutes.",
        ),
        Panel(
            "Requests by agent",
            ((f"sum by (agent) (rate({_LB}_requests_total{_RATE}))", "{{agent}}"),),
            "reqps",
            stacked=True,
        ),
        Panel("p99 by agent", ((_quantile(0.99, "agent, le"), "{{agent}}"),), "s"),
        Panel("In flight", ((f"{_LB}_in_flight_requests", "{{agent}}"),), stacked=True),
        Panel(
            "CPU by agent", (("clusterops_node_cpu_utilization_ratio", "{{node}}"),), "percentunit"
        ),
        Panel(
            "Memory by agent",
            (("clusterops_node_memory_utilization_ratio", "{{node}}"),),
            "percentunit",
        ),
        Panel(
            "Trouble",
            (
                (f"{_LB}_passed_over == 1", "{{agent}} is passed over"),
                ("clusterops_scaler_agent_quarantined", "{{agent}} is set aside"),
                ("clusterops_scaler_alarm", "{{alarm}}"),
                ('ALERTS{alertstate="firing"}', "{{alertname}}"),
            ),
            about="Empty while all is well.",
        ),
    ),
)

PARTS = Dashboard(
    "clusterops-parts",
    "Cluster: its parts",
    (
        Panel(
            "Jobs of the application",
            (("max by (place) (fibonacci_queue_jobs)", "{{place}}"),),
            about="The example application; every node tells the same.",
        ),
        Panel(
            "Jobs computed",
            (
                ("max(rate(fibonacci_job_duration_seconds_count[5m]))", "a second"),
                (
                    "max(rate(fibonacci_job_duration_seconds_sum[5m]))"
                    " / max(rate(fibonacci_job_duration_seconds_count[5m]))",
                    "seconds each",
                ),
            ),
        ),
        Panel(
            "Answers of the application",
            (("sum by (status) (rate(fibonacci_http_requests_total[5m]))", "{{status}}"),),
            "reqps",
        ),
        Panel(
            "PostgreSQL: transactions",
            (
                ("sum by (datname) (rate(pg_stat_database_xact_commit[5m]))", "{{datname}}"),
                ("sum(rate(pg_stat_database_xact_rollback[5m]))", "rolled back"),
            ),
            "ops",
        ),
        Panel(
            "PostgreSQL: connections",
            (("sum by (datname) (pg_stat_database_numbackends)", "{{datname}}"),),
        ),
        Panel("PostgreSQL: size", (("pg_database_size_bytes", "{{datname}}"),), "bytes"),
        Panel(
            "Redis: memory",
            (("redis_memory_used_bytes", "used"), ("redis_memory_max_bytes", "allowed")),
            "bytes",
        ),
        Panel(
            "Redis: commands", (("rate(redis_commands_processed_total[5m])", "a second"),), "ops"
        ),
        Panel("Redis: clients", (("redis_connected_clients", "connected"),)),
        Panel(
            "Server Manager: machines",
            (("sum by (role, state) (clusterops_servers) > 0", "{{role}} {{state}}"),),
        ),
        Panel(
            "Certificates end in",
            (("clusterops_certificate_expiry_timestamp_seconds - time()", "{{certificate}}"),),
            "s",
        ),
        Panel(
            "Disk left",
            (
                (
                    "node_filesystem_avail_bytes / node_filesystem_size_bytes",
                    "{{node}}",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Tick of the scaler",
            (
                (
                    "rate(clusterops_scaler_tick_duration_seconds_sum[5m])"
                    " / rate(clusterops_scaler_tick_duration_seconds_count[5m])",
                    "average",
                ),
            ),
            "s",
        ),
        Panel("Targets that answer", (("sum by (job) (up)", "{{job}}"),)),
        Panel(
            "Cost of Prometheus",
            (
                ('rate(process_cpu_seconds_total{job="prometheus"}[5m])', "processors"),
                ("prometheus_tsdb_head_series / 1e6", "million series"),
            ),
        ),
    ),
)

ALL = (CLUSTER, PARTS)


def files() -> dict[str, str]:
    """Name -> content of every file in dashboards/grafana."""
    return {f"{each.uid}.json": json.dumps(_document(each), indent=1) + "\n" for each in ALL}


def expressions() -> Iterator[tuple[str, str]]:
    """Where it is, and the expression, for every line of every panel."""
    for dashboard in ALL:
        for panel in dashboard.panels:
            for expression, _ in panel.lines:
                yield f"{dashboard.title} / {panel.title}", expression


def asked() -> set[str]:
    """Names of all metrics that dashboards and rules ask for."""
    texts = [rule["expr"] for rule in rules()] + [text for _, text in expressions()]
    return {metric(selector) for text in texts for selector in selectors(text)}


def _document(dashboard: Dashboard) -> dict[str, Any]:
    source = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["clusterops"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source]},
        "annotations": {"list": []},
        "panels": [_panel(at, panel) for at, panel in enumerate(dashboard.panels)],
    }


def _panel(at: int, panel: Panel) -> dict[str, Any]:
    place = {
        "x": at % COLUMNS * WIDTH,
        "y": at // COLUMNS * HEIGHT,
        "w": WIDTH,
        "h": HEIGHT,
    }
    custom = {
        "fillOpacity": 20 if panel.stacked else 0,
        "stacking": {"mode": "normal" if panel.stacked else "none"},
        "showPoints": "never",
    }
    return {
        "id": at + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": custom},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "expr": expression,
                "legendFormat": name,
                "datasource": _SOURCE,
            }
            for number, (expression, name) in enumerate(panel.lines)
        ],
    }
