# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus with the cluster's targets, rules and alerts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from clusterops.monitoring import dashboards

SERVICES = ("prometheus", "prometheus-postgres-exporter", "prometheus-redis-exporter")
API = "http://127.0.0.1:9090/api/v1"
FOLDER = "/tmp/www"


def _agents(host: Host, *names: str) -> None:
    """What the scaler's stand-in says that runs: jobs and nodes as the scaler tells them."""
    entries = [
        {"targets": ["127.0.0.1:9000"], "labels": {"job": job, "node": node}}
        for job, node in (name.split(":") for name in names)
    ]
    host.check_output(f"echo '{json.dumps(entries)}' > {FOLDER}/agents.json")


@pytest.fixture(scope="module", autouse=True)
def stand_in(host: Host) -> Iterator[None]:
    """Scaler and Server Manager."""
    program = Path(__file__).with_name("stand_in.py").read_text()
    host.check_output(f"mkdir -p {FOLDER} && echo example_value 7 > {FOLDER}/metrics")
    host.check_output(f"cat > {FOLDER}/stand_in.py <<'END'\n{program}\nEND")
    _agents(host, "agents:agent-1", "application:agent-1")
    host.check_output("install -m 640 -g prometheus /dev/null /etc/clusterops/token-read")
    host.check_output("echo r3ad > /etc/clusterops/token-read")
    host.check_output(
        f"systemd-run --unit stand-in --property WorkingDirectory={FOLDER} "
        f"python3 {FOLDER}/stand_in.py /etc/redis/tls.pem"
    )
    yield
    host.run("systemctl stop stand-in")


def _get(host: Host, path: str) -> Any:
    return json.loads(host.check_output(f"curl -sS {API}/{path}"))["data"]


def _query(host: Host, query: str, seconds: float = 45) -> list[dict[str, Any]]:
    """The answer, once there is one: the Server Manager is asked every 30 s."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = host.check_output(f"curl -sS -G {API}/query --data-urlencode 'query={query}'")
        result: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        if result:
            return result
        time.sleep(0.5)
    return []


@pytest.mark.parametrize("service", SERVICES)
def test_it_runs_now_and_after_a_restart_of_the_node(host: Host, service: str) -> None:
    assert host.service(service).is_running
    assert host.service(service).is_enabled


@pytest.mark.parametrize(
    "job",
    ["prometheus", "example", "agents", "application", "postgres", "redis", "server_manager"],
)
def test_targets_are_asked(host: Host, job: str) -> None:
    assert _query(host, f'up{{job="{job}"}} == 1')


def test_agents_come_from_the_scaler_and_go_with_it(host: Host) -> None:
    assert _query(host, 'example_value{job="agents", node="agent-1"}')[0]["value"][1] == "7"
    _agents(host, "agents:agent-1", "application:agent-1", "agents:agent-2")
    assert _query(host, 'up{job="agents", node="agent-2"} == 1')
    _agents(host, "agents:agent-1", "application:agent-1")
    assert _query(host, 'absent(up{job="agents", node="agent-2"})')


def test_the_databases_tell_how_they_are(host: Host) -> None:
    assert _query(host, 'pg_up == 1 and on () pg_database_size_bytes{datname="shop"} > 0')
    assert _query(host, "redis_up == 1 and redis_memory_max_bytes > 0")
    # What nobody asks for is not kept.
    assert _query(host, "absent(go_goroutines)")
    assert _query(host, 'count({job="redis"}) < 20 > 5')
    assert _query(host, 'count({job="postgres"}) < 60 > 5')


def test_databases_tell_what_dashboards_and_rules_ask_for(host: Host) -> None:
    asked = [name for name in sorted(dashboards.asked()) if name.startswith(("pg_", "redis_"))]
    assert {"pg_up", "redis_up", "pg_database_size_bytes"} <= set(asked)
    assert [name for name in asked if not _query(host, name)] == []


def test_whoever_watches_the_databases_sees_statistics_alone(host: Host) -> None:
    sql = "runuser -u prometheus -- psql -XAtw -h /run/postgresql -d {} -c '{}'"
    assert (
        host.check_output(sql.format("postgres", "SELECT count(*) > 0 FROM pg_stat_activity"))
        == "t"
    )
    refused = host.run(sql.format("shop", "SELECT 1"))
    assert refused.rc != 0 and "pg_hba.conf" in refused.stderr
    assert "denied" in host.run(sql.format("postgres", "CREATE DATABASE more")).stderr
    redis = "REDISCLI_AUTH={} redis-cli --tls --cacert /etc/clusterops/ca.crt --user monitoring {}"
    assert "redis_version" in host.check_output(redis.format("watch-secret", "info server"))
    for command in (
        "get x",
        "set x 1",
        "config get maxmemory",
        "slowlog get",
        "keys x",
        "acl list",
    ):
        answer = host.run(redis.format("watch-secret", command))
        assert "NOPERM" in answer.stdout + answer.stderr, command


def test_secrets_are_for_those_who_need_them(host: Host) -> None:
    for service in SERVICES[1:]:
        file = host.file(f"/etc/default/{service}")
        assert (file.user, file.mode) == ("root", 0o600)
    assert host.run("pgrep -af prometheus").stdout.count("watch-secret") == 0
    assert "watch-secret" not in host.check_output("journalctl --no-pager --quiet")
    assert "r3ad" not in host.check_output(f"curl -sS {API}/status/config")


def test_only_prometheus_can_be_reached_from_outside(host: Host) -> None:
    listening = host.check_output("ss --no-header --listening --tcp --numeric --processes")
    places = {line.split()[3] for line in listening.splitlines() if "prometheus" in line}
    assert {place.rsplit(":", 1)[1] for place in places} == {"9090", "9121", "9187"}
    outside = {place for place in places if not place.startswith("127.0.0.1:")}
    assert {place.rsplit(":", 1)[1] for place in outside} == {"9090"}


def test_an_alert_fires_when_a_target_dies_and_ends_with_its_return(host: Host) -> None:
    assert _query(host, 'ALERTS{alertname="DatabaseDown"} or vector(0)')[0]["value"][1] == "0"
    host.check_output("systemctl stop redis-server")
    firing = 'ALERTS{alertname="DatabaseDown", alertstate="firing", job="redis"}'
    assert _query(host, firing, 180)
    alerts = [
        a for a in _get(host, "alerts")["alerts"] if a["labels"]["alertname"] == "DatabaseDown"
    ]
    assert alerts[0]["annotations"]["summary"].startswith("Redis takes no connections")
    host.check_output("systemctl start redis-server")
    assert _query(host, f"absent({firing})", 180)


@pytest.mark.parametrize("service", SERVICES)
def test_services_may_do_little(host: Host, service: str) -> None:
    said = host.check_output(f"systemd-analyze security --no-pager {service} | tail -n 1")
    assert float(said.split(":")[1].split()[0]) <= 2.5, said


def test_all_rules_are_evaluated(host: Host) -> None:
    groups = _get(host, "rules")["groups"]
    assert len(groups) >= 4
    assert [rule["lastError"] for g in groups for rule in g["rules"] if rule.get("lastError")] == []


def test_retention_is_limited(host: Host) -> None:
    flags = _get(host, "status/flags")
    assert flags["storage.tsdb.retention.time"] == "1d"
    assert flags["storage.tsdb.retention.size"] == "256MiB"


def test_other_values(other: Host) -> None:
    api = "http://127.0.0.1:9999/api/v1"
    listening = other.check_output("ss -Hltnp | grep prometheus | awk '{print $4}'")
    assert listening.split() == ["127.0.0.1:9999"]
    flags = json.loads(other.check_output(f"curl -sS {api}/status/flags"))["data"]
    assert flags["storage.tsdb.retention.time"] == "2h"
    assert flags["storage.tsdb.retention.size"] == "64MiB"
    config = json.loads(other.check_output(f"curl -sS {api}/status/config"))["data"]["yaml"]
    assert "scrape_interval: 2s" in config and "node: somewhere" in config
    targets = json.loads(other.check_output(f"curl -sS {api}/targets"))["data"]["activeTargets"]
    assert {target["labels"]["job"] for target in targets} == {"prometheus"}


def test_what_is_not_asked_does_not_run(other: Host) -> None:
    for service in SERVICES[1:]:
        assert not other.service(service).is_running
