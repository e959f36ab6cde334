# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, end to end; then test_dashboard_controls to test_vagrant go on with its cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT, Cluster, request, wait_for
from tests.e2e.dashboard import look
from tests.e2e.steady_client import SteadyClient

pytestmark = pytest.mark.e2e


def test_status_tells_what_runs(cluster: Cluster) -> None:
    status = cluster.status()
    assert set(status) == {
        "name", "provider", "nodes", "scaler", "load_balancer", "application"
    }  # fmt: skip
    assert status["name"] == cluster.name
    assert status["provider"] == "docker"
    assert [node["name"] for node in status["nodes"]] == ["control-1", "agent-1"]
    assert status["scaler"]["desired"] == 1
    assert (status["scaler"]["min"], status["scaler"]["max"]) == (1, 3)
    assert status["load_balancer"]["url"] == cluster.url
    assert status["application"]["name"] == "fibonacci"
    wait_for("agent-1 in service", lambda: cluster.in_service() == ["agent-1"], 60)
    wait_for("application healthy", lambda: cluster.status()["application"]["healthy"], 60)
    serving = {node["name"]: node["in_service"] for node in cluster.status()["nodes"]}
    assert serving["agent-1"] is True


def test_application_answers_its_contract_through_the_load_balancer(cluster: Cluster) -> None:
    api = f"{cluster.url}/api/v1/fibonacci"
    assert request("GET", f"{cluster.url}/health")[:2] == (200, {"status": "OK"})
    assert request("GET", f"{cluster.url}/ready")[:2] == (200, {"ready": True})
    assert request("GET", f"{api}/most-requested")[:2] == (404, {"most_requested": None})
    assert request("GET", f"{api}/calculated/12")[:2] == (200, {"calculated_value": None})
    assert request("POST", f"{api}/calculate/12")[:2] == (200, {"working": True})
    wait_for(
        "the worker computes",
        lambda: request("GET", f"{api}/calculated/12")[1] == {"calculated_value": "144"},
        15,
        every=0.2,
    )
    again = request("POST", f"{api}/calculate/12")
    assert again[:2] == (409, {"error": "Already calculated", "index": 12})
    wait_for(
        "both requests are counted",
        lambda: (
            request("GET", f"{api}/most-requested")[1]
            == {"most_requested": {"number": 12, "count": 2}}
        ),
        15,
        every=0.2,
    )
    assert request("POST", f"{api}/calculate/41")[0] == 422
    assert request("POST", f"{api}/calculate/1e1")[0] == 422


def test_the_application_is_reached_over_tls_and_http_2(cluster: Cluster) -> None:
    url = f"https://127.0.0.1:{cluster.port('load_balancer_tls')}/health"
    ask = ["curl", "--silent", "--show-error", "--write-out", " %{http_version}"]
    authority = str(cluster.folder / ".playground/tls/ca.crt")
    known = subprocess.run([*ask, "--cacert", authority, url], capture_output=True, text=True)
    assert known.returncode == 0, known.stderr
    body, _, version = known.stdout.rpartition(" ")
    assert (json.loads(body), version) == ({"status": "OK"}, "2")
    unknown = subprocess.run([*ask, url], capture_output=True, text=True)
    assert unknown.returncode == 60, "a certificate of an unknown authority is not accepted"
    old = [*ask, "--cacert", authority, "--tls-max", "1.1", url]
    assert subprocess.run(old, capture_output=True).returncode == 35


def test_metrics_api_answers_on_its_port(cluster: Cluster) -> None:
    status, body, _ = request("GET", "http://127.0.0.1:15101/metrics")
    assert status == 200
    assert body["status"] == "active"
    assert 0 <= body["cpu_utilization_percent"] <= 100
    assert body["cpus"] == 0.5
    text = request("GET", "http://127.0.0.1:15101/metrics", Accept="text/plain")[1]
    assert "# TYPE" in text
    health = request("GET", "http://127.0.0.1:15101/health")[1]
    assert health == {"service": "metrics-api", "status": "healthy"}


def test_server_manager_keeps_its_contract(cluster: Cluster) -> None:
    api = f"http://127.0.0.1:{cluster.port('server_manager')}"
    token = cluster.token
    power = f"{api}/api/v1/servers/power"
    assert request("GET", f"{api}/")[:2] == (
        200, {"service": "server-manager-api", "status": "running"}
    )  # fmt: skip
    assert request("GET", f"{api}/api/v1/servers")[0] == 401
    assert request("POST", power, {"action": "on", "server": "agent-1"}, token)[:2] == (
        200, {"status": "Server 'agent-1' was already on."}
    )  # fmt: skip
    assert request("POST", power, {"action": "on", "server": "other"}, token)[:2] == (
        404, {"error": "Unknown server 'other'."}
    )  # fmt: skip
    assert request("POST", power, {"action": "burn", "server": "agent-1"}, token)[0] == 400
    assert request("POST", power, b"{", token)[0] == 400
    assert request("GET", power, None, token)[0] == 405
    server = request("GET", f"{api}/api/v1/servers/agent-1", None, token)[1]
    assert set(server) == {
        "name", "role", "state", "provider", "address", "ports", "cpus", "memory_mb", "created_at"
    }  # fmt: skip
    assert server["ports"] == {"ssh": 12224, "app": 15001, "metrics": 15101}


def test_load_balancer_status_is_for_the_control_node_only(cluster: Cluster) -> None:
    assert request("GET", f"{cluster.url}/lb/status")[0] == 403
    inside = json.loads(cluster.on("control-1", "curl -s http://127.0.0.1/lb/status"))
    assert [agent["name"] for agent in inside["agents"]] == ["agent-1"]
    assert inside["agents"][0]["state"] == "in_service"


def test_plain_ansible_sees_the_cluster(cluster: Cluster) -> None:
    graph = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-inventory"), "--graph"],
        cwd=ROOT,
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "control-1" in graph
    assert "agent-1" in graph


def test_second_up_changes_nothing(cluster: Cluster) -> None:
    result = cluster.run("up")
    assert "Everything was up to date" in result.stdout


def test_ssh_and_logs_reach_the_nodes(cluster: Cluster) -> None:
    assert cluster.on("agent-1", "hostname").strip() == "agent-1"
    assert "listening" in cluster.run("logs", "scaler", "-n", "500").stdout
    unknown = cluster.run("ssh", "agent-9", check=False)
    assert unknown.returncode == 2
    assert "agent-1" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_load_scales_up_and_down_and_no_request_fails(cluster: Cluster) -> None:
    before = cluster.requests_per_agent()
    pictures = cluster.folder / "pictures"
    look(cluster.dashboard, pictures, "calm")
    with SteadyClient(cluster.url) as steady:
        load = cluster.start("load", "--duration", "300", "--users", "50", "--json")
        try:
            wait_for("a second agent in service", lambda: len(cluster.in_service()) >= 2, 240)
            shown = look(cluster.dashboard, pictures, "under-load", pictures=True)
            assert int(shown["serving"]) >= 2
            served = before.get("agent-2", 0)
            wait_for(
                "requests on agent-2",
                lambda: cluster.requests_per_agent().get("agent-2", 0) > served + 100,
                60,
            )
        finally:
            os.killpg(load.pid, signal.SIGINT)
            output, errors = load.communicate(timeout=60)
        assert load.returncode == 130, errors
        wait_for("down to the minimum", lambda: cluster.in_service() == ["agent-1"], 240)
        wait_for("the others are off", lambda: _running_agents(cluster) == ["agent-1"], 60)
    assert look(cluster.dashboard, pictures, "afterwards")["serving"] == "1"
    print(f"pictures of the dashboard: {pictures}")
    summary = json.loads(output)
    print(json.dumps(summary, indent=2))
    assert summary["failures"] == 0, summary["errors"]
    assert summary["requests"] > 1_000
    assert steady.failures == {}, steady.failures
    assert steady.requests > 500
    reason = cluster.status()["scaler"]["last_decision"]["reason"]
    assert reason


def test_the_application_keeps_its_contract_behind_the_load_balancer(cluster: Cluster) -> None:
    assert "passed" in cluster.run("app", "check").stdout


def test_scale_sets_the_number_of_agents(cluster: Cluster) -> None:
    with SteadyClient(cluster.url) as steady:
        cluster.run("scale", "2")
        assert len(cluster.in_service()) == 2
        cluster.run("scale", "1")
        assert len(cluster.in_service()) == 1
    assert steady.failures == {}, steady.failures
    beyond = cluster.run("scale", "9", check=False)
    assert beyond.returncode == 2
    assert "1 to 3" in beyond.stderr or "from 1" in beyond.stderr


def test_killed_scaler_comes_back_with_what_it_knew(cluster: Cluster) -> None:
    desired = cluster.status()["scaler"]["desired"]
    cluster.on("control-1", "systemctl kill --signal=KILL clusterops-scaler")
    wait_for("the scaler answers", lambda: cluster.status()["scaler"]["mode"] == "auto", 60)
    assert cluster.status()["scaler"]["desired"] == desired
    assert request("GET", f"{cluster.url}/ready")[0] == 200


def test_killed_server_manager_is_started_again_by_up(cluster: Cluster) -> None:
    pid = (cluster.folder / ".playground/server-manager.pid").read_text().strip()
    subprocess.run(["kill", "-9", pid], check=True)
    stopped = cluster.run("status", check=False)
    assert stopped.returncode == 3
    assert "not running" in stopped.stderr
    assert request("GET", f"{cluster.url}/ready")[0] == 200  # it still serves
    cluster.configure(warm_agents=1)
    cluster.run("up")
    assert cluster.in_service() == ["agent-1"]


def test_the_warm_pool_has_the_next_agent_prepared(cluster: Cluster) -> None:
    token = cluster.token
    servers = f"http://127.0.0.1:{cluster.port('server_manager')}/api/v1/servers"
    for agent in ("agent-2", "agent-3"):  # any of them that has served is as good as prepared
        status, _, _ = request("DELETE", f"{servers}/{agent}", None, token)
        assert status in (200, 204, 404)
    wait_for("agent-2 is prepared", lambda: _prepared(cluster, "agent-2"), 120)
    assert _running_agents(cluster) == ["agent-1"]
    cluster.run("scale", "2")
    # The image was there before the engine was started for this.
    assert "older" in cluster.on(
        "agent-2",
        "pulled=$(stat --format %Y /var/lib/docker/image/overlay2/repositories.json); "
        "started=$(systemctl show --property InactiveExitTimestamp --value docker); "
        'test "$pulled" -lt "$(date --date "$started" +%s)" && echo older',
    )


def _prepared(cluster: Cluster, agent: str) -> bool:
    """Whether the scaler's last action with an agent was to prepare it."""
    _, body, _ = request("GET", f"{cluster.dashboard}/api/v1/events?kind=finished")
    actions = [event["action"] for event in body["events"] if event["agent"] == agent]
    return actions[:1] == ["prepare"]


def _running_agents(cluster: Cluster) -> list[str]:
    return [
        node["name"]
        for node in cluster.status()["nodes"]
        if node["role"] == "agent" and node["state"] == "running"
    ]
