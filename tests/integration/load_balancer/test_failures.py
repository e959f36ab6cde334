# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks, outliers, slow start and the algorithms."""

from __future__ import annotations

import http.client
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import Machine, until

pytestmark = pytest.mark.integration

URL = "http://127.0.0.1:8081/agents/"


def ports(lb: Machine, number: int = 20) -> Counter[int]:
    """Who answers so many requests, one after the other."""
    return Counter(lb.get()[1]["port"] for _ in range(number))


def test_an_agent_that_fails_its_health_checks_is_passed_over(lb: Machine) -> None:
    lb.put("/ready", one="127.0.0.1:7001", two="127.0.0.1:7002")
    assert lb.status()["two"]["healthy"]
    lb.tell(ready={7002: 503})
    until(lambda: not lb.status()["two"]["healthy"])
    assert lb.status()["two"]["state"] == "in_service"
    assert lb.status()["two"].get("passed_over") == "unhealthy"
    assert set(ports(lb)) == {7001}
    assert lb.metric("healthy", 'agent="two"') == 0
    assert lb.metric("healthy", 'agent="one"') == 1
    # Better somebody than nobody.
    lb.tell(ready={7001: 503})
    until(lambda: not lb.status()["one"]["healthy"])
    assert set(ports(lb)) == {7001, 7002}
    lb.tell(ready={7001: 200, 7002: 200})
    until(lambda: all(agent["healthy"] for agent in lb.status().values()))


def test_an_agent_that_died_is_found_out_without_a_request(lb: Machine) -> None:
    lb.put("/ready", one="127.0.0.1:7001", dead="127.0.0.1:9")
    until(lambda: lb.status()["dead"].get("passed_over") == "unreachable")
    assert set(ports(lb)) == {7001}
    assert lb.metric("connect_failures_total", 'agent="dead"') == 0


def test_a_late_check_counts_only_while_clients_get_no_answers(lb: Machine) -> None:
    with lb.settings(interval_s=0.2, timeout_s=0.1):
        lb.put("/ready", one="127.0.0.1:7001")
        lb.tell(ready={7001: 0})
        late = 'agent="one",verdict="late"'
        before = lb.metric("health_checks_total", late)
        with ThreadPoolExecutor(1) as threads:
            stop = False

            def client() -> None:
                connection = http.client.HTTPConnection(lb.address, 80, timeout=30)
                while not stop:
                    connection.request("GET", "/")
                    connection.getresponse().read()

            busy = threads.submit(client)
            until(lambda: lb.metric("health_checks_total", late) >= before + 10)
            healthy = lb.status()["one"]["healthy"]
            stop = True
            busy.result()
        assert healthy
        until(lambda: not lb.status()["one"]["healthy"])


def test_another_worker_checks_when_the_one_that_did_dies(lb: Machine) -> None:
    lb.put("/ready", one="127.0.0.1:7001")
    until(lambda: lb.metric("health_checks_total", 'agent="one",verdict="passed"') > 0)
    lb.sh("pid=$(cat /run/nginx.pid); kill -9 $(cat /proc/$pid/task/$pid/children)")
    lb.tell(ready={7001: 503})
    until(lambda: not lb.status()["one"]["healthy"], 20)


def test_the_health_path_is_kept_until_it_is_taken_away(lb: Machine) -> None:
    lb.put("/ready", one="127.0.0.1:7001")
    lb.put(one="127.0.0.1:7001 draining")
    lb.sh("systemctl restart nginx")
    lb.put(one="127.0.0.1:7002")
    assert lb.status()["one"]["health_path"] == "/ready"
    body = {"address": "127.0.0.1:7002", "state": "in_service", "health_path": None}
    assert "health_path" not in lb.admin("PUT", "/agents/one", body)[1]
    assert "healthy" not in lb.status()["one"]
    bad = [{**body, "health_path": path} for path in ("ready", "", "/a b", "/a\r\nX: y", 5, "/#")]
    for status, value in lb.calls([("PUT", URL + "one", each) for each in bad]):
        assert status == 400, value
        assert "health_path" in value["error"]


def test_errors_in_a_row_eject_an_agent_for_a_while(lb: Machine) -> None:
    with lb.settings(ejection_time_s=1, slow_start_s=0):
        lb.put(one="127.0.0.1:7001", two="127.0.0.1:7002", three="127.0.0.1:7003")
        lb.tell(status={7001: 500})
        before = lb.metric("ejections_total", 'agent="one"')
        until(lambda: lb.get()[0] and lb.status()["one"].get("passed_over") == "ejected", 30)
        assert lb.metric("ejections_total", 'agent="one"') == before + 1
        lb.tell(status={7001: 200})
        until(lambda: "passed_over" not in lb.status()["one"])
        assert set(ports(lb, 40)) == {7001, 7002, 7003}


def test_the_last_agent_and_more_than_half_are_never_ejected(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001", two="127.0.0.1:7002", three="127.0.0.1:7003")
    lb.tell(status={7001: 500, 7002: 500})
    for _ in range(60):
        lb.get()
    over = [agent.get("passed_over") for agent in lb.status().values()]
    assert over.count("ejected") == 1
    assert lb.admin("DELETE", "/agents/two")[0] == 200
    assert lb.admin("DELETE", "/agents/three")[0] == 200
    lb.put(one="127.0.0.1:7002")
    for _ in range(10):
        assert lb.get()[0] == 500
    assert "passed_over" not in lb.status()["one"]


def test_errors_that_are_not_in_a_row_eject_nobody(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001", two="127.0.0.1:7001")
    for _ in range(5):
        lb.tell(status={7001: 500})
        for _ in range(4):
            assert lb.get()[0] == 500
        lb.tell(status={7001: 200})
        for _ in range(12):  # each of the two answers at least once, all but surely
            assert lb.get()[0] == 200
    assert not [agent for agent in lb.status().values() if "passed_over" in agent]


def test_a_new_agent_begins_with_a_small_share(lb: Machine) -> None:
    with lb.settings(slow_start_s=3600):
        lb.put(old="127.0.0.1:7001")
        lb.sh("systemctl restart nginx")  # whoever was there before has its full share
        lb.put(new="127.0.0.1:7002")
        with ThreadPoolExecutor(11) as threads:
            held = [threads.submit(lb.get, "/hold") for _ in range(11)]
            until(lambda: sum(a["in_flight"] for a in lb.status().values()) == 11)
            shares = {name: agent["in_flight"] for name, agent in lb.status().items()}
            lb.release()
            assert {answer.result()[0] for answer in held} == {200}
        assert shares == {"old": 10, "new": 1}
    # With another agent or none, a new one that is alone gets everything.
    lb.empty()
    lb.put(new="127.0.0.1:7002")
    assert set(ports(lb)) == {7002}


def test_peak_ewma_avoids_the_agent_that_was_slow(lb: Machine) -> None:
    with lb.settings(algorithm='"peak_ewma"'):
        lb.put(one="127.0.0.1:7001", two="127.0.0.1:7002")
        lb.reset_upstreams({7001: 0.3})
        assert ports(lb, 30)[7001] <= 3
        assert lb.metric("latency_seconds", 'agent="one"') > 0.1
        lb.reset_upstreams({7002: 0.6})
        assert ports(lb, 30)[7002] <= 3


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_agents_that_all_refuse_give_503(lb: Machine, method: str) -> None:
    lb.put(one="127.0.0.1:9", two="127.0.0.1:10", three="127.0.0.1:11", four="127.0.0.1:12")
    for accept, kind in (("*/*", "application/json"), ("text/html,*/*", "text/html")):
        connection = http.client.HTTPConnection(lb.address, 80, timeout=5)
        connection.request(method, "/", headers={"Accept": accept})
        response = connection.getresponse()
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
        assert response.headers["Content-Type"].startswith(kind)
        assert b"No agent could be reached" in response.read()
        connection.close()
    assert {agent["in_flight"] for agent in lb.status().values()} == {0}
    # One that is there again is used at once.
    lb.put(five="127.0.0.1:7001")
    assert lb.get(method=method)[0] == 200
