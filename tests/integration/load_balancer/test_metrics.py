# SPDX-License-Identifier: GPL-3.0-or-later
"""What the load balancer tells Prometheus."""

from __future__ import annotations

import re
import subprocess

import pytest

from .conftest import Machine, until

pytestmark = pytest.mark.integration

NAME = "request_duration_seconds"


def _buckets(lb: Machine, agent: str) -> dict[str, int]:
    text = lb.admin("GET", "/metrics")[1]
    found = re.findall(rf'{NAME}_bucket{{agent="{agent}",le="([^"]+)"}} (\d+)', text)
    return {end: int(count) for end, count in found}


def test_requests_are_counted_by_agent_and_by_how_long_they_took(lb: Machine) -> None:
    before = lb.metric(f"{NAME}_sum", 'agent="slow"')
    fast, slow = _buckets(lb, "fast"), _buckets(lb, "slow")
    lb.put(fast="127.0.0.1:7001")
    assert [lb.get()[0] for _ in range(5)] == [200] * 5
    lb.empty()
    lb.put(slow="127.0.0.1:7002")
    lb.reset_upstreams({7002: 0.6})
    assert lb.get()[0] == 200
    counted = 'agent="slow",le="2.5"'
    until(lambda: lb.metric(f"{NAME}_bucket", counted) == slow.get("2.5", 0) + 1)
    now = _buckets(lb, "slow")
    assert now["0.5"] == slow.get("0.5", 0)
    assert now["+Inf"] == now["10"] == slow.get("+Inf", 0) + 1
    assert list(now.values()) == sorted(now.values())
    assert 0.6 <= lb.metric(f"{NAME}_sum", 'agent="slow"') - before < 2.5
    until(lambda: _buckets(lb, "fast").get("+Inf") == fast.get("+Inf", 0) + 5)
    assert _buckets(lb, "fast")["0.1"] >= fast.get("0.1", 0) + 4


def test_the_pool_is_told_when_it_is_empty_as_well(lb: Machine) -> None:
    lb.empty()
    assert 'agents{state="in_service"} 0' in lb.admin("GET", "/metrics")[1]
    lb.put(one="127.0.0.1:7001", two="127.0.0.1:7002 draining")
    text = lb.admin("GET", "/metrics")[1]
    for begun in ("requests_total", "connect_failures_total", "ejections_total"):
        assert f'{begun}{{agent="two"' in text
    assert f'{NAME}_count{{agent="two"}} ' in text
    assert 'agents{state="in_service"} 1' in text and 'agents{state="draining"} 1' in text
    assert lb.get()[0] == 200


def test_names_are_as_prometheus_wants_them(lb: Machine, promtool: str) -> None:
    lb.put(one="127.0.0.1:7001")
    assert lb.get()[0] == 200
    until(lambda: _buckets(lb, "one"))
    text = lb.admin("GET", "/metrics")[1].encode()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
    assert (done.stdout + done.stderr, done.returncode) == (b"", 0)
