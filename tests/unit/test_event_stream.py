# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest

from clusterops import event_stream
from clusterops.clients import AnswerError, ScalerClient
from clusterops.errors import NotRunningError


def told(text: str) -> list[tuple[str, object]]:
    return list(event_stream.messages(line.encode() for line in text.splitlines(keepends=True)))


def test_events_have_a_name_and_data() -> None:
    text = 'retry: 1000\n\nevent: state\ndata: {"a": 1}\n\n: comment\ndata: [1,\ndata: 2]\n\n'
    assert told(text) == [("state", {"a": 1}), ("message", [1, 2])]


def test_what_is_no_json_or_cut_off_is_passed_over() -> None:
    assert told('event: x\ndata: {\n\nevent: y\ndata: 1\r\n\r\nevent: z\ndata: {"cut": 1}\n') == [
        ("y", 1)
    ]


class Handler(http.server.BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str | None]]]
    status = 200

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Authorization"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b'event: state\ndata: {"n": 1}\n\n')

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def scaler() -> Iterator[ScalerClient]:
    Handler.seen, Handler.status = [], 200
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ScalerClient(f"http://127.0.0.1:{server.server_port}", "secret")
        server.shutdown()


def test_it_is_read_with_the_readers_token(scaler: ScalerClient) -> None:
    assert list(event_stream.watch(scaler)) == [("state", {"n": 1})]
    assert Handler.seen == [("/api/v1/stream", "Bearer secret")]


def test_a_scaler_without_a_stream_says_so(scaler: ScalerClient) -> None:
    Handler.status = 404
    with pytest.raises(AnswerError) as caught:
        list(event_stream.watch(scaler))
    assert caught.value.status == 404


def test_a_scaler_that_is_gone_is_not_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("socket.create_connection", refuse)
    with pytest.raises(NotRunningError, match="Connection refused"):
        list(event_stream.watch(ScalerClient("http://127.0.0.1:9")))
