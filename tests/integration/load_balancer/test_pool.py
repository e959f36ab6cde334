# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool: who gets a request, what is counted, and what survives."""

from __future__ import annotations

import http.client
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import Machine, until

pytestmark = pytest.mark.integration


def test_without_agents_the_answer_is_503_at_once(lb: Machine) -> None:
    for accept, kind in (("*/*", "application/json"), ("text/html,*/*", "text/html")):
        connection = http.client.HTTPConnection(lb.address, 80, timeout=5)
        connection.request("POST", "/", b"x" * 100, {"Accept": accept})
        response = connection.getresponse()
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
        assert "X-Served-By" not in response.headers
        assert response.headers["Content-Type"].startswith(kind)
        assert b"No agent is in service" in response.read()
        connection.close()


def test_requests_spread_evenly_and_a_slow_agent_gets_fewer(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001", two="127.0.0.1:7002", three="127.0.0.1:7003")
    with ThreadPoolExecutor(6) as threads:
        ports = Counter(a[1]["port"] for a in threads.map(lambda _: lb.get(), range(150)))
    assert min(ports[port] for port in (7001, 7002, 7003)) >= 25, ports
    lb.reset_upstreams({7001: 0.3, 7002: 0.02, 7003: 0.02})
    with ThreadPoolExecutor(6) as threads:
        ports = Counter(a[1]["port"] for a in threads.map(lambda _: lb.get(), range(150)))
    assert ports[7001] * 3 < min(ports[7002], ports[7003]), ports


def test_in_flight_is_exact(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001")
    with ThreadPoolExecutor(4) as threads:
        slow = [threads.submit(lb.get, "/hold") for _ in range(3)]
        until(lambda: lb.status()["one"]["in_flight"] == 3)
        # A client that goes away does not leave its count behind.
        aborted = socket.create_connection((lb.address, 80))
        aborted.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: lb.status()["one"]["in_flight"] == 4)
        aborted.close()
        until(lambda: lb.status()["one"]["in_flight"] == 3)
        lb.release()
        assert [future.result()[0] for future in slow] == [200, 200, 200]
    until(lambda: lb.status()["one"]["in_flight"] == 0)
    # Neither does an agent that cannot be reached, nor one that cuts the connection.
    lb.put(one="127.0.0.1:9", two="127.0.0.1:9", three="127.0.0.1:7001")
    for _ in range(20):
        assert lb.get()[0] == 200
    assert lb.get("/cut")[0] == 502
    assert {agent["in_flight"] for agent in lb.status().values()} == {0}


def test_connect_failures_are_retried_elsewhere_for_every_method(lb: Machine) -> None:
    lb.put(dead="127.0.0.1:9", gone="127.0.0.1:10", alive="127.0.0.1:7001")
    for i in range(10):
        status, value = lb.get(f"/?post-{i}", "POST")
        assert (status, value["port"]) == (200, 7001)
    assert lb.counts()["executed"] == {f"post-{i}": 1 for i in range(10)}
    # The dead ones are passed over for a while instead of being tried by every request.
    metrics = lb.admin("GET", "/metrics")[1]
    failures = [
        int(line.split()[-1])
        for line in metrics.splitlines()
        if "connect_failures_total{" in line and ('"dead"' in line or '"gone"' in line)
    ]
    assert sum(failures) <= 4, metrics
    # Each worker adds what it has counted once a second.
    until(lambda: lb.metric("requests_total", 'agent="alive",status="2xx"') >= 10)


def test_a_post_that_was_sent_is_not_sent_again_but_a_get_is(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001", two="127.0.0.1:7002", three="127.0.0.1:7003")
    assert lb.get("/cut?once", "POST")[0] == 502
    assert lb.counts()["executed"] == {"once": 1}
    lb.reset_upstreams()
    assert lb.get("/cut")[0] == 502
    # Every agent was tried, and none of them twice.
    assert lb.counts()["served"] == {"7001": 1, "7002": 1, "7003": 1}


def test_draining_gets_nothing_new_and_removed_is_listed_until_it_is_done(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001")
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(lb.get, "/hold")
        until(lambda: lb.status()["one"]["in_flight"] == 1)
        lb.put(one="127.0.0.1:7001 draining", two="127.0.0.1:7002")
        assert {lb.get()[1]["port"] for _ in range(10)} == {7002}
        assert lb.status()["one"]["state"] == "draining"
        assert lb.admin("DELETE", "/agents/one")[1]["state"] == "out"
        assert lb.status()["one"] == {
            "name": "one",
            "address": "127.0.0.1:7001",
            "state": "out",
            "in_flight": 1,
        }
        assert lb.admin("DELETE", "/agents/one")[0] == 404
        lb.release()
        assert slow.result()[0] == 200
    until(lambda: "one" not in lb.status())


def test_changing_the_pool_loses_and_repeats_no_post(lb: Machine) -> None:
    lb.put(base="127.0.0.1:7001", extra="127.0.0.1:7002")
    stop = threading.Event()
    sent: list[str] = []
    failed: list[str] = []

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(lb.address, 80, timeout=10)
        connection.connect()
        connection.auto_open = 0  # a connection that was closed on us is a loss
        i = 0
        while not stop.is_set():
            i += 1
            name = f"{number}-{i}"
            sent.append(name)
            try:
                connection.request("POST", f"/?{name}", b"{}")
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    failed.append(f"{name}: {response.status}")
            except (OSError, http.client.HTTPException) as exc:
                failed.append(f"{name}: {exc!r}")
                return
        connection.close()

    url = "http://127.0.0.1:8081/agents/"
    changes: list[tuple[str, str, object]] = []
    for round_ in range(34):
        address = f"127.0.0.1:{7002 + round_ % 3}"
        changes += [
            ("PUT", url + "extra", {"address": address, "state": "in_service"}),
            ("SLEEP", "0.03", None),
            ("PUT", url + "extra", {"address": address, "state": "draining"}),
            ("DELETE", url + "extra", None),
            ("SLEEP", "0.01", None),
        ]
    with ThreadPoolExecutor(8) as threads:
        clients = [threads.submit(client, number) for number in range(8)]
        answers = lb.calls(changes)
        stop.set()
        for future in clients:
            future.result()
    assert {status for status, _ in answers} == {200}
    assert len(answers) == 102
    assert failed == []
    assert len(sent) > 300
    assert lb.counts()["executed"] == dict.fromkeys(sent, 1)
    assert lb.status()["base"]["in_flight"] == 0


def test_the_pool_survives_reload_restart_and_crash(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001", two="127.0.0.1:7002 draining")
    shown = lb.status()
    lb.sh("systemctl reload nginx && sleep 0.5")
    assert lb.status() == shown
    assert lb.get()[0] == 200
    lb.sh("systemctl restart nginx")
    assert lb.status() == shown
    assert lb.get()[0] == 200
    # The master dies: the service comes back by itself, and with it the pool.
    lb.sh(
        "kill -9 $(cat /run/nginx.pid); sleep 1.2;"
        " until systemctl is-active -q nginx; do sleep 0.1; done"
    )
    assert lb.status() == shown
    # A worker dies with a request: its count goes with it.
    with ThreadPoolExecutor(1) as threads:
        lost = threads.submit(lb.get, "/hold")
        until(lambda: lb.status()["one"]["in_flight"] == 1)
        lb.sh("pid=$(cat /run/nginx.pid); kill -9 $(cat /proc/$pid/task/$pid/children)")
        assert lost.exception() is not None
    until(lambda: lb.status()["one"]["in_flight"] == 0)
    assert lb.get()[0] == 200
