# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that are slow, silent, many or too talkative, on real sockets."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.http_apis.conftest import Api

pytestmark = pytest.mark.integration

NAMES = ["manager", "scaler", "metrics"]


@pytest.fixture(params=NAMES)
def api(request: pytest.FixtureRequest) -> Api:
    found: Api = request.getfixturevalue(request.param)
    return found


def closed_after(client: socket.socket, drip: Callable[[], None], limit_s: float) -> float:
    """Seconds until the other side ends the connection."""
    begin = time.monotonic()
    client.settimeout(0.25)
    while time.monotonic() - begin < limit_s:
        with contextlib.suppress(TimeoutError):
            try:
                if not client.recv(65536):
                    return time.monotonic() - begin
            except ConnectionError:
                return time.monotonic() - begin
        with contextlib.suppress(OSError):
            drip()
    return limit_s


def test_slow_clients_are_cut_off(
    manager: Api, scaler: Api, metrics: Api
) -> None:  # all at once: each takes as long as its limit
    begun = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    asked = begun + b"\r\n"

    def run(api: Api, first: bytes, dripped: bytes, limit_s: float) -> float:
        with api.connect() as client:
            client.sendall(first)
            return closed_after(
                client, lambda: client.sendall(dripped) if dripped else None, limit_s
            )

    jobs: dict[str, tuple[Api, bytes, bytes, float]] = {}
    for name, api in (("manager", manager), ("scaler", scaler), ("metrics", metrics)):
        jobs[f"{name}: a head that never ends"] = (api, begun, b"X-A: b\r\n", 30)
        jobs[f"{name}: a client that says nothing"] = (api, b"", b"", 30)
        jobs[f"{name}: a second head that never ends"] = (api, asked + begun, b"X-A: b\r\n", 30)
    for name, api in (("manager", manager), ("scaler", scaler)):
        jobs[f"{name}: a connection that is kept and not used"] = (api, asked, b"", 30)
        head = f"POST /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.token}\r\n"
        begun = f"{head}Content-Length: 900\r\n\r\n".encode()
        jobs[f"{name}: a body that drips"] = (api, begun, b"a", 30)
    jobs["manager: TLS that is never finished"] = (manager, b"\x16\x03\x01", b"", 30)
    with ThreadPoolExecutor(len(jobs)) as pool:
        took = dict(zip(jobs, pool.map(lambda job: run(*job), jobs.values()), strict=True))
    late = {what: f"{took[what]:.0f} s" for what in jobs if took[what] >= jobs[what][3]}
    assert late == {}


def test_many_silent_clients_keep_nobody_out(api: Api) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(api.connect()) for _ in range(300)]
        for number, client in enumerate(silent):
            if number % 2:
                with contextlib.suppress(OSError):
                    client.sendall(b"GET /health HTTP/1.1\r\n")
        for _ in range(5):
            begin = time.monotonic()
            assert api.status("GET", "/health") == 200
            assert time.monotonic() - begin < 2


def answer_to(api: Api, request: bytes) -> tuple[int, bytes]:
    with api.connect() as client:
        client.sendall(request)
        client.settimeout(20)
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(65536):
                received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * 20_000), 431),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % (b"a" * 20_000), 431),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 2_000 + b"\r\n", 431),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", 400),
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"
            b"Connection: close\r\n\r\n",
            403,
        ),
        (
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n"
            b"Sec-Fetch-Mode: no-cors\r\nConnection: close\r\n\r\n",
            403,
        ),
    ],
)
def test_what_is_refused(api: Api, what: bytes, status: int) -> None:
    found, body = answer_to(api, what)
    assert found == status
    assert b'{"error":' in body


def test_other_names_are_refused_where_something_is_told_without_a_token(
    manager: Api, metrics: Api
) -> None:
    for api in (manager, metrics):
        assert api.status("GET", "/health", Host=f"localhost:{api.port}") == 200
        assert api.status("GET", "/health", Host=f"[::1]:{api.port}") == 200
        assert api.status("GET", "/health", Host="192.0.2.7") == 200
        assert api.status("GET", "/health", Host="evil.example:9000") == 421
        assert api.status("GET", "/health", Host="127.0.0.1.evil.example") == 421


def test_a_large_body_is_refused(manager: Api, scaler: Api) -> None:
    for api in (manager, scaler):
        for how in ("Content-Length: 100000", "Transfer-Encoding: chunked"):
            body = b"a" * 100_000
            if "chunked" in how:
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            head = (
                f"POST /api/v1/hold HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{how}\r\n"
                f"Authorization: Bearer {api.token}\r\n\r\n"
            )
            assert answer_to(api, head.encode() + body)[0] == 413


def test_a_hundred_headers_are_enough(manager: Api, scaler: Api) -> None:
    for api in (manager, scaler):
        many = b"".join(b"X-%d: b\r\n" % number for number in range(120))
        request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n"
        with api.connect() as client:
            client.sendall(request)
            assert client.recv(4096).startswith(b"HTTP/1.1 431 ")


def test_a_client_that_reads_nothing_is_cut_off(scaler: Api) -> None:
    """Thousands of answers that nobody fetches: they fill the socket, then the limit counts."""
    with scaler.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = (
            b"GET /api/v1/ticks?limit=1000 HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer " + scaler.token.encode() + b"\r\n\r\n"
        )
        client.settimeout(1)
        begin = time.monotonic()
        while time.monotonic() - begin < 60:
            try:
                client.sendall(request * 20)
            except TimeoutError:
                continue
            except OSError:
                break
            time.sleep(0.2)
        assert time.monotonic() - begin < 45
