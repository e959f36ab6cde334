# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node tells about itself, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from testinfra.host import Host

URL = "http://127.0.0.1:5100"
BURN = "timeout 90 sh -c 'while :; do :; done'"


def _metrics(host: Host, url: str = URL) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(host.check_output(f"curl -sS --fail {url}/metrics"))
    return answer


def _used(host: Host) -> int:
    """Bytes of memory in use."""
    memory = _metrics(host)["memory"]
    return int(memory["total"] - memory["available"])


def test_it_runs_now_and_after_a_restart_of_the_node(host: Host) -> None:
    assert host.service("clusterops-metrics-api").is_running
    assert host.service("clusterops-metrics-api").is_enabled
    health = json.loads(host.check_output(f"curl -sS --fail {URL}/health"))
    assert health == {"service": "metrics-api", "status": "healthy"}


def test_it_is_reached_from_outside(host: Host) -> None:
    address = host.interface("eth0").addresses[0]
    assert _metrics(host, f"http://{address}:5100")["status"] == "active"


def test_prometheus_gets_its_own_format(host: Host) -> None:
    text = host.check_output(
        f"curl -sS --fail -H 'Accept: text/plain; version=0.0.4' {URL}/metrics"
    )
    assert "# TYPE node_load1 gauge" in text


def test_cpu_rises_with_work(host: Host, until: Callable[[Callable[[], bool]], None]) -> None:
    idle = _metrics(host)["cpu_utilization_percent"]
    for number in range(4):  # one alone may get little of a busy machine
        host.check_output(f"systemd-run --collect --unit burn-{number} {BURN}")
    until(lambda: bool(_metrics(host)["cpu_utilization_percent"] > idle + 5))
    host.check_output("systemctl stop 'burn-*'")


def test_memory_rises_with_what_is_kept_in_it(
    host: Host, until: Callable[[Callable[[], bool]], None]
) -> None:
    before = _used(host)
    keep = "import time; kept = bytearray(200 << 20); time.sleep(90)"
    host.check_output(f"systemd-run --collect --unit keep python3 -c '{keep}'")
    until(lambda: _used(host) > before + (150 << 20))
    host.check_output("systemctl stop keep")


def test_the_load_is_told_again_and_again(
    host: Host, until: Callable[[Callable[[], bool]], None]
) -> None:
    first = _metrics(host)["sampled_at"]
    until(lambda: bool(_metrics(host)["sampled_at"] != first))


def test_other_address_port_and_folder(other: Host) -> None:
    assert _metrics(other, "http://127.0.0.1:5199")["status"] == "active"
    address = other.interface("eth0").addresses[0]
    for elsewhere in (f"{address}:5199", "127.0.0.1:5100"):
        assert other.run(f"curl -sS http://{elsewhere}/health").rc == 7
    pid = other.check_output("systemctl show -p MainPID --value clusterops-metrics-api")
    assert "/srv/programs/metrics_api/" in other.check_output(f"tr '\\0' ' ' </proc/{pid}/cmdline")


def test_it_runs_as_nobody_who_may_do_much(host: Host) -> None:
    pid = host.check_output("systemctl show -p MainPID --value clusterops-metrics-api")
    assert host.check_output(f"stat -c %u /proc/{pid}") != "0"
    said = host.check_output(
        "systemd-analyze security --no-pager clusterops-metrics-api | tail -n 1"
    )
    assert float(said.split(":")[1].split()[0]) <= 2.5, said
