# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent whose network vanishes: it refuses nothing and answers nothing."""

from __future__ import annotations

import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from .conftest import Far, Machine, until

pytestmark = pytest.mark.integration

# Connect time-out, the second between two looks, and what a busy machine needs. Without an end of
# these connections it would be the read time-out, 60 s.
LIMIT_S = 20.0


def warm(lb: Machine) -> None:
    """Open connections to the agent that are kept."""
    with ThreadPoolExecutor(8) as threads:
        assert {a[0] for a in threads.map(lambda _: lb.get(), range(40))} == {200}


def seconds(answer: Future[tuple[int, object]], since: float) -> float:
    answer.exception()
    return time.monotonic() - since


def test_requests_in_flight_are_answered_by_another_or_fail_soon(lb: Machine, far: Far) -> None:
    lb.put(far=far.address)
    warm(lb)
    with ThreadPoolExecutor(6) as threads:
        gets = [threads.submit(lb.get, "/hold") for _ in range(4)]
        post = threads.submit(lb.get, "/hold?sent", "POST")
        until(lambda: lb.status()["far"]["in_flight"] == 5)
        lb.put(near="127.0.0.1:7001")
        lb.release()  # near answers at once
        far.vanish()
        since = time.monotonic()
        assert [get.result()[0] for get in gets] == [200] * 4
        assert {get.result()[1]["port"] for get in gets} == {7001}
        assert post.result()[0] == 502
        assert seconds(post, since) < LIMIT_S
    assert "sent" not in lb.counts()["executed"]
    # It is passed over, whatever the method.
    assert lb.status()["far"].get("passed_over") == "unreachable"
    since = time.monotonic()
    for number in range(10):
        assert lb.get(f"/?later-{number}", "POST")[0] == 200
    assert time.monotonic() - since < 2
    far.come_back()
    assert far.executed() == {"sent": 1}


def test_kept_connections_end_by_themselves(lb: Machine, far: Far) -> None:
    lb.put(far=far.address)
    warm(lb)
    established = "ss -Htn state established dst 10.99.0.2"
    assert lb.sh(established)
    far.vanish()
    until(lambda: lb.sh(established) == "")
    # Nothing was asked of it meanwhile, and still it is known to be away.
    assert lb.status()["far"].get("passed_over") == "unreachable"


def test_an_application_that_is_slow_is_not_cut(lb: Machine, far: Far) -> None:
    lb.put(far=far.address)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(lb.get, "/hold?slow", "POST")
        until(lambda: lb.status()["far"]["in_flight"] == 1)
        time.sleep(5)  # longer than a vanished one would have lasted
        assert not slow.done()
        lb.calls([("POST", f"http://{far.address}/release", None)])
        assert slow.result()[0] == 200


def test_websockets_to_a_vanished_agent_end(lb: Machine, far: Far) -> None:
    lb.put(far=far.address)
    with socket.create_connection((lb.address, 80), timeout=30) as client:
        client.sendall(
            b"GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
        far.vanish()
        since = time.monotonic()
        while client.recv(4096):
            pass
        assert time.monotonic() - since < LIMIT_S


def test_when_everyone_has_vanished_the_answer_is_503_and_nobody_hangs(
    lb: Machine, far: Far
) -> None:
    far.vanish()
    lb.put(far=far.address)
    since = time.monotonic()
    assert lb.get()[0] == 503
    assert time.monotonic() - since < LIMIT_S
    # One at a time finds out whether it is back; the others are told at once.
    with ThreadPoolExecutor(20) as threads:
        since = time.monotonic()
        first = threads.submit(lb.get)
        until(lambda: lb.status()["far"]["in_flight"] == 1)
        others = [threads.submit(lb.get) for _ in range(19)]
        assert {other.result()[0] for other in others} == {503}
        assert first.result()[0] == 503
    far.come_back()
    until(lambda: lb.get()[0] == 200)
