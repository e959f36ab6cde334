# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients and administrators see on the wire."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import time
from typing import Any

import pytest

from .conftest import Machine

pytestmark = pytest.mark.integration


def request(
    lb: Machine, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, Any]:
    connection = http.client.HTTPConnection(lb.address, 80, timeout=30)
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    response = connection.getresponse()
    value = json.loads(response.read())
    connection.close()
    return response, value


def test_forged_headers_are_replaced(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001")
    response, value = request(
        lb,
        "GET",
        "/",
        Host="shop.example:8080",
        X_Forwarded_For="6.6.6.6",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="evil.example",
        X_Real_IP="6.6.6.6",
        X_Request_ID="forged",
        Forwarded="for=6.6.6.6",
        Upgrade="h2c",
        Connection="Upgrade, HTTP2-Settings",
    )
    seen = value["headers"]
    assert "6.6.6.6" not in json.dumps(seen)
    assert seen["x-forwarded-for"] == seen["x-real-ip"]
    assert seen["x-forwarded-proto"] == "http"
    assert seen["host"] == seen["x-forwarded-host"] == "shop.example:8080"
    assert re.fullmatch(r"[0-9a-f]{32}", seen["x-request-id"])
    assert response.headers.get_all("X-Request-ID") == [seen["x-request-id"]]
    assert not {"connection", "upgrade", "forwarded"} & set(seen)
    assert response.headers.get_all("X-Served-By") == ["one"]


def test_status_is_for_this_node_only(lb: Machine) -> None:
    response, value = request(lb, "GET", "/lb/status", X_Forwarded_For="127.0.0.1")
    assert response.status == 403
    assert "error" in value
    assert request(lb, "GET", "/lb/health")[1] == {"status": "healthy"}
    with pytest.raises(OSError):
        socket.create_connection((lb.address, 8081), timeout=2)


def test_big_bodies_pass_unchanged(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001")
    body = bytes(range(256)) * (20 * 4096)
    response, value = request(lb, "POST", "/?big", body)
    assert response.status == 200
    assert value["size"] == 20 * 1024 * 1024
    assert value["sha256"] == hashlib.sha256(body).hexdigest()


def test_websockets_pass(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001")
    with socket.create_connection((lb.address, 80), timeout=5) as client:
        client.sendall(
            b"GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        assert lb.status()["one"]["in_flight"] == 1
        client.sendall(b"hello")
        assert client.recv(4096) == b"echo:hello"


def test_access_log_is_json_with_upstream_and_times(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001")
    response, _ = request(lb, "GET", "/logged", User_Agent='quote " and \\')
    time.sleep(1.3)  # the log is written once a second
    lines = lb.sh("tail -50 /var/log/nginx/access.log").splitlines()
    entry = next(e for e in map(json.loads, lines) if e["uri"] == "/logged")
    assert entry["request_id"] == response.headers["X-Request-ID"]
    assert entry["upstream_address"] == "127.0.0.1:7001"
    assert entry["agent"] == "one"
    assert float(entry["upstream_response_s"]) >= 0
    assert entry["user_agent"] == 'quote " and \\'


GOOD = {"address": "10.0.0.1:5000", "state": "in_service"}


def test_admin_is_strict(lb: Machine) -> None:
    url = "http://127.0.0.1:8081"
    bad_bodies: list[object] = [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "x" * 9000,
        {},
        {"address": "10.0.0.1:5000"},
        {"state": "in_service"},
        {**GOOD, "state": "out"},
        {**GOOD, "state": None},
        {**GOOD, "weight": 1},
        *(
            {**GOOD, "address": a}
            for a in (
                "10.0.0.1",
                "10.0.0.1:0",
                "10.0.0.1:65536",
                "10.0.0.256:1",
                "01.0.0.1:1",
                "host:1",
                "10.0.0.1:5000 ",
                "10.0.0.1:5000\n",
                "unix:/run/x",
                5,
                None,
            )
        ),
    ]
    for status, value in lb.calls([("PUT", f"{url}/agents/one", body) for body in bad_bodies]):
        assert status == 400, value
        assert list(value) == ["error"]
    refused: list[tuple[str, str, object, int]] = [
        ("PUT", "/agents/Agent_1", GOOD, 400),
        ("PUT", "/agents/-a", GOOD, 400),
        ("PUT", "/agents/a%22b", GOOD, 400),
        ("PUT", "/agents/" + "a" * 64, GOOD, 400),
        ("DELETE", "/agents/nobody", None, 404),
        ("GET", "/agents/nobody", None, 404),
        ("GET", "/", None, 404),
        ("POST", "/agents/one", GOOD, 405),
        ("POST", "/agents", GOOD, 405),
    ]
    answers = lb.calls([(method, url + path, body) for method, path, body, _ in refused])
    for (method, path, _, wanted), (status, value) in zip(refused, answers, strict=True):
        assert status == wanted, (method, path)
        assert list(value) == ["error"]
    assert lb.admin("GET", "/agents") == (200, {"agents": []})
    assert lb.admin("PUT", "/agents/one", GOOD)[1]["state"] == "in_service"


def test_a_change_that_cannot_be_kept_is_refused(lb: Machine) -> None:
    lb.put(one="127.0.0.1:7001")
    folder = "/var/lib/clusterops/load_balancer"
    lb.sh(f"chown root {folder}")
    try:
        status, value = lb.admin("PUT", "/agents/two", GOOD)
    finally:
        lb.sh(f"chown www-data {folder}")
    assert status == 500
    assert "pool cannot be written" in value["error"]
    assert list(lb.status()) == ["one"]
