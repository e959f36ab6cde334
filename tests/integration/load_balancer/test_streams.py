# SPDX-License-Identifier: GPL-3.0-or-later
"""What is long or big passes as it comes, and takes no memory or disk on its way."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket

import pytest

from .conftest import Machine, until

pytestmark = pytest.mark.integration

MB = 1 << 20
BODY_MB = 100
# What both workers may have more than they had.
MEMORY_LIMIT_KB = 20 * 1024


def memory_kb(lb: Machine) -> int:
    """Resident memory of nginx's workers."""
    script = "for p in $(pgrep -P $(cat /run/nginx.pid)); do grep VmRSS /proc/$p/status; done"
    return sum(int(line.split()[1]) for line in lb.sh(script).splitlines())


def files_kb(lb: Machine) -> int:
    """What nginx keeps on disk, kB."""
    return int(lb.sh("du -sk /var/lib/nginx").split()[0])


def test_server_sent_events_pass_as_they_come(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001")
    with socket.create_connection((lb.address, 80), timeout=10) as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        text = b""
        while b"data: first" not in text:
            text += client.recv(4096)
        assert b"data: second" not in text
        assert b"X-Served-By: one" in text
        assert lb.status()["one"]["in_flight"] == 1
        lb.release()
        while b"data: second" not in text:
            text += client.recv(4096)
    until(lambda: lb.status()["one"]["in_flight"] == 0)


def test_an_event_stream_without_an_agent_is_told_so(lb: Machine) -> None:
    status, value = lb.get("/events", Accept="text/event-stream")
    assert (status, list(value)) == (503, ["error"])


def test_a_big_upload_streams(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001")
    before, disk = memory_kb(lb), files_kb(lb)
    digest = hashlib.sha256()
    part = bytes(range(256)) * 4096
    connection = http.client.HTTPConnection(lb.address, 80, timeout=60)
    connection.putrequest("POST", "/?upload")
    connection.putheader("Content-Length", str(BODY_MB * MB))
    connection.endheaders()
    for sent in range(BODY_MB):
        connection.send(part)
        digest.update(part)
        if sent == BODY_MB // 2:
            # Half of it has left, and the agent has most of that already.
            until(lambda: lb.counts()["received"].get("7001", 0) > 40 * MB)
            assert memory_kb(lb) - before < MEMORY_LIMIT_KB
            assert files_kb(lb) - disk < 1024
    response = connection.getresponse()
    value = json.loads(response.read())
    connection.close()
    assert (response.status, value["size"]) == (200, BODY_MB * MB)
    assert value["sha256"] == digest.hexdigest()
    assert lb.counts()["executed"] == {"upload": 1}


def test_an_upload_finds_another_agent_when_the_first_cannot_be_reached(lb: Machine) -> None:
    for number in range(4):  # whichever is tried first
        lb.empty()
        lb.put(dead="127.0.0.1:9", alive="127.0.0.1:7001")
        connection = http.client.HTTPConnection(lb.address, 80, timeout=30)
        connection.request("POST", f"/?upload-{number}", bytes(5 * MB))
        assert json.loads(connection.getresponse().read())["size"] == 5 * MB
        connection.close()
    assert lb.counts()["executed"] == {f"upload-{number}": 1 for number in range(4)}


def test_a_big_download_streams_to_a_slow_client(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001")
    before, disk = memory_kb(lb), files_kb(lb)
    connection = http.client.HTTPConnection(lb.address, 80, timeout=60)
    connection.request("GET", f"/download?{BODY_MB}")
    response = connection.getresponse()
    size = len(response.read(MB))
    # The client has stopped to read: the rest waits at the agent.
    assert lb.status()["one"]["in_flight"] == 1
    assert memory_kb(lb) - before < MEMORY_LIMIT_KB
    assert files_kb(lb) - disk < 1024
    while part := response.read(MB):
        size += len(part)
    assert size == BODY_MB * MB
    connection.close()
