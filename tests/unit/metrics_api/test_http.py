"""Requests as bytes, answers as bytes."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.metrics_api import http, render
from clusterops.metrics_api.app import App
from clusterops.metrics_api.sampler import Snapshot

SNAPSHOT = Snapshot(
    cpu_percent=62.504,
    cpus=0.5,
    memory_total=1000,
    memory_available=250,
    disk_total=2000,
    disk_free=500,
    load=(0.123, 1.0, 2.5),
    sampled_at=1_700_000_000.25,
)
APP = App(lambda: SNAPSHOT)
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;"
    "q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def ask(path: str, method: str = "GET", accept: str = "", app: App = APP) -> http.Response:
    return app(http.parse_head(f"{method} {path} HTTP/1.1\r\nAccept: {accept}".encode()))


def test_metrics_have_the_fields_of_the_contract() -> None:
    response = ask("/metrics")
    assert (response.status, response.content_type) == (200, "application/json")
    assert json.loads(response.body) == {
        "cpu_utilization_percent": 62.5,
        "memory_utilization_percent": 75.0,
        "status": "active",
        "cpu": 62.5,
        "memory": {"total": 1000, "available": 250, "percent": 75.0},
        "disk": {"total": 2000, "free": 500, "percent": 75.0},
        "load": [0.12, 1.0, 2.5],
        "cpus": 0.5,
        "sampled_at": "2023-11-14T22:13:20.250Z",
    }


def test_health() -> None:
    response = ask("/health")
    assert response.status == 200
    assert json.loads(response.body) == {"service": "metrics-api", "status": "healthy"}


def test_without_a_recent_sample_it_is_unhealthy() -> None:
    app = App(lambda: None)
    assert ask("/metrics", app=app).status == 503
    response = ask("/health", app=app)
    assert response.status == 503
    assert json.loads(response.body)["status"] == "unhealthy"


def test_other_paths_and_methods() -> None:
    for path in ("/", "/metricsx", "/metrics/", "/%6detrics"):
        response = ask(path)
        assert response.status == 404
        assert "error" in json.loads(response.body)
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
        response = ask("/metrics", method)
        assert response.status == 405
        assert ("Allow", "GET, HEAD") in response.headers
    assert ask("/metrics?x=1").status == 200
    assert ask("http://node:5100/metrics").status == 200


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        ("application/json, text/plain, */*", "json"),
        ("application/json;q=0.5, text/plain", "text"),
        ("text/plain", "text"),
        ("Text/Plain; version=0.0.4", "text"),
        ("text/plain;q=0", "json"),
        ("text/plain;q=high", "json"),
        ("application/openmetrics-text", "openmetrics"),
        (PROMETHEUS, "openmetrics"),
    ],
)
def test_the_format_follows_accept(accept: str, chosen: render.Format) -> None:
    assert render.choose_format(accept) == chosen
    assert ask("/metrics", accept=accept).content_type == render.CONTENT_TYPES[chosen]


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
def test_prometheus_text(accept: str) -> None:
    text = ask("/metrics", accept=accept).body.decode()
    assert text.endswith("# EOF\n") == (accept != "text/plain")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    assert values["node_load1"] == "0.12"
    assert values["node_memory_MemTotal_bytes"] == "1000"
    assert values["node_memory_MemAvailable_bytes"] == "250"
    assert values['node_filesystem_size_bytes{mountpoint="/"}'] == "2000"
    assert values['node_filesystem_avail_bytes{mountpoint="/"}'] == "500"
    assert values["clusterops_node_cpu_utilization_ratio"] == "0.625"
    assert values["clusterops_node_memory_utilization_ratio"] == "0.75"
    for name in values:
        family = name.partition("{")[0]
        assert f"# HELP {family} " in text
        assert f"# TYPE {family} gauge\n" in text


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 400),
        (b"GET", 400),
        (b"GET /metrics", 400),
        (b"GET  /metrics HTTP/1.1", 400),
        (b"G\x00T /metrics HTTP/1.1", 400),
        (b"GET /metrics HTTP/2.0", 505),
        (b"GET /metrics FTP/1.1", 400),
        (b"GET / HTTP/1.1\r\nno colon", 400),
        (b"GET / HTTP/1.1\r\n folded: x", 400),
        (b"GET / HTTP/1.1\r\nname : x", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2", 400),
        ("GET / HTTP/1.1\r\nContent-Length: ²".encode("latin-1"), 400),
    ],
)
def test_malformed_requests_are_refused(head: bytes, status: int) -> None:
    with pytest.raises(http.BadRequestError) as caught:
        http.parse_head(head)
    assert caught.value.status == status


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    try:
        head = http.split_head(bytearray(data))
        if head is not None:
            APP(http.parse_head(head))
    except http.BadRequestError as error:
        assert error.status in (400, 431, 505)


@pytest.mark.parametrize(
    ("version", "headers", "keep"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close", False),
        ("1.1", "Connection: x, Close", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive", True),
        ("1.1", "Content-Length: 10", True),
        ("1.1", "Content-Length: 1000000", False),
        ("1.1", "Transfer-Encoding: chunked", False),
        ("1.1", "Expect: 100-continue", False),
    ],
)
def test_when_a_connection_is_kept(version: str, headers: str, keep: bool) -> None:
    request = http.parse_head(f"GET / HTTP/{version}\r\n{headers}".rstrip().encode())
    assert request.keep_alive is keep


def test_heads_are_split_one_by_one() -> None:
    buffer = bytearray(b"\r\nGET /a HTTP/1.1\r\nA: b\r\n\r\nGET /b HTTP/1.1\n\nGET /c")
    assert http.split_head(buffer) == b"GET /a HTTP/1.1\r\nA: b"
    assert http.split_head(buffer) == b"GET /b HTTP/1.1"
    assert http.split_head(buffer) is None
    assert buffer == b"GET /c"


def test_an_endless_head_is_refused() -> None:
    with pytest.raises(http.BadRequestError) as caught:
        http.split_head(bytearray(b"x" * http.MAX_HEAD_BYTES))
    assert caught.value.status == 431


def test_head_has_the_headers_of_get_and_no_body() -> None:
    response = ask("/metrics")
    whole = http.encode(response, keep_alive=True)
    head = http.encode(response, keep_alive=True, with_body=False)
    assert whole == head + response.body
    match = re.search(rb"Content-Length: (\d+)\r\n", head)
    assert match is not None
    assert int(match[1]) == len(response.body)


def test_a_page_cannot_reach_it_by_a_name_that_leads_here() -> None:
    app = App(lambda: SNAPSHOT, names=("localhost", "agent-1"))

    def status(*lines: str) -> int:
        return app(http.parse_head("\r\n".join(("GET /metrics HTTP/1.1", *lines)).encode())).status

    for host in ("localhost:5101", "127.0.0.1:5101", "[::1]:5101", "Agent-1:5100", "10.0.0.101"):
        assert status(f"Host: {host}") == 200
    for host in ("evil.example", "127.0.0.1.evil.example:5101", "localhost.evil", ""):
        assert status(f"Host: {host}") == 421
    assert status("Host: localhost", "Origin: http://evil.example") == 403
    assert status("Host: localhost", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors") == 403
    assert (
        status("Host: localhost", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate") == 200
    )
    with pytest.raises(http.BadRequestError, match="more than one Host"):
        status("Host: localhost", "Host: evil.example")


def test_its_description_is_served_and_names_every_route() -> None:
    document = json.loads(ask("/openapi.json").body)
    assert sorted(document["paths"]) == ["/health", "/metrics", "/openapi.json"]
