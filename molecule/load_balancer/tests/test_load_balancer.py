# SPDX-License-Identifier: GPL-3.0-or-later
"""A load balancer with TLS and two agents beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

PORTS = (7001, 7002)
ADMIN = "http://127.0.0.1:8081/agents"


@pytest.fixture(scope="module", autouse=True)
def agents(host: Host) -> Iterator[None]:
    """Two applications that say who they are; their health is a file."""
    for port in PORTS:
        folder = f"/tmp/agent-{port}"
        host.check_output(
            f"mkdir -p {folder} && echo {port} | tee {folder}/index.html {folder}/ready"
        )
        host.check_output(
            f"systemd-run --unit agent-{port} --property WorkingDirectory={folder} "
            f"python3 -m http.server --bind 127.0.0.1 {port}"
        )
    for port in PORTS:
        _put(host, port, {"address": f"127.0.0.1:{port}", "state": "in_service"})
    yield
    for port in PORTS:
        host.run(f"curl -s -X DELETE {ADMIN}/agent-{port}; systemctl stop agent-{port}")


def _put(host: Host, port: int, entry: dict[str, str]) -> None:
    body = json.dumps({**entry, "health_path": "/ready"})
    host.check_output(f"curl -sS --fail -X PUT -d '{body}' {ADMIN}/agent-{port}")


def _status(host: Host) -> dict[str, dict[str, Any]]:
    answer = json.loads(host.check_output("curl -sS --fail http://127.0.0.1/lb/status"))
    return {agent["name"]: agent for agent in answer["agents"]}


def _who(host: Host, number: int = 12) -> set[str]:
    """Which agents answer so many requests."""
    command = f"for i in $(seq {number}); do curl -sS --fail http://127.0.0.1/; done"
    return set(host.check_output(command).split())


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(50):
        if condition():
            return
        time.sleep(0.2)
    pytest.fail("it did not happen within 10 s")


def test_both_agents_answer(host: Host) -> None:
    _until(lambda: _who(host) == {"7001", "7002"})


def test_a_draining_agent_gets_nothing_and_the_pool_survives_a_restart(host: Host) -> None:
    _put(host, 7002, {"address": "127.0.0.1:7002", "state": "draining"})
    assert _who(host) == {"7001"}
    host.check_output("systemctl restart nginx")
    assert _status(host)["agent-7002"]["state"] == "draining"
    assert _who(host) == {"7001"}
    _put(host, 7002, {"address": "127.0.0.1:7002", "state": "in_service"})


def test_an_unhealthy_agent_is_passed_over_until_it_is_well(host: Host) -> None:
    host.check_output("mv /tmp/agent-7002/ready /tmp/agent-7002/kept")
    _until(lambda: not _status(host)["agent-7002"]["healthy"])
    assert _who(host) == {"7001"}
    host.check_output("mv /tmp/agent-7002/kept /tmp/agent-7002/ready")
    _until(lambda: bool(_status(host)["agent-7002"]["healthy"]))


def test_an_agent_that_is_gone_costs_no_request(host: Host) -> None:
    host.check_output("systemctl stop agent-7001")
    assert _who(host) == {"7002"}


def test_tls_with_the_given_certificate(host: Host) -> None:
    command = (
        "curl -sS --fail --cacert /etc/nginx/clusterops/certificate.pem https://localhost/lb/health"
    )
    assert json.loads(host.check_output(command)) == {"status": "healthy"}
    old = host.run(command + " --tlsv1.0 --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0")
    assert old.rc != 0


def test_the_administration_is_for_the_node_only(host: Host) -> None:
    listening = host.check_output("ss -Hltn '( sport = 8081 )'").split()
    assert "127.0.0.1:8081" in listening
    assert not host.file("/etc/nginx/clusterops/key.pem").mode & 0o077


def test_other_ports_and_limits(other: Host) -> None:
    listening = other.check_output("ss -Hltn | awk '{print $4}'").split()
    assert {place for place in listening if not place.endswith(":22")} >= {
        "127.0.0.1:8080",
        "127.0.0.1:8082",
    }
    assert not [place for place in listening if place.endswith((":80", ":443", ":8081"))]
    nobody = other.check_output("curl -sS -D - -o /dev/null http://127.0.0.1:8080/")
    assert nobody.startswith("HTTP/1.1 503") and "Retry-After: 42" in nobody
    large = "head -c 1500000 /dev/zero | curl -sS -o /dev/null -w '%{http_code}' --data-binary @- "
    assert other.check_output(large + "http://127.0.0.1:8080/") == "413"


def test_without_health_checks_an_agent_is_used_all_the_same(other: Host) -> None:
    other.check_output(
        "mkdir -p /tmp/agent && echo here >/tmp/agent/index.html && systemd-run --unit agent "
        "--property WorkingDirectory=/tmp/agent python3 -m http.server --bind 127.0.0.1 7001"
    )
    entry = json.dumps({"address": "127.0.0.1:7001", "state": "in_service", "health_path": "/no"})
    other.check_output(
        "curl -sf --retry 9 --retry-connrefused -o /dev/null http://127.0.0.1:7001/; "
        f"curl -sS --fail -X PUT -d '{entry}' http://127.0.0.1:8082/agents/agent"
    )
    time.sleep(3)  # as long as a check every second would need to pass it over
    assert other.check_output("curl -sS --fail http://127.0.0.1:8080/") == "here"
