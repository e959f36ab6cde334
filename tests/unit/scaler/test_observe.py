# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import json
import os
import resource
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.scaler.answers import ProbeError, parse_metrics, parse_pool, parse_servers
from clusterops.scaler.deployment import DeploymentFile
from clusterops.scaler.sweep import (
    BODY_LIMIT,
    HEAD_LIMIT,
    Answer,
    AnswerParser,
    connections_allowed,
    request_bytes,
)

NOW = 1_700_000_000.0


def body(**changes: object) -> bytes:
    document = {"cpu_utilization_percent": 12.5, "memory_utilization_percent": 40, **changes}
    return json.dumps(document).encode()


def test_good_metrics() -> None:
    assert parse_metrics(body(), None, NOW) == (12.5, 40.0)
    assert parse_metrics(body(cpu_utilization_percent=104.0), None, NOW) == (100.0, 40.0)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"\xff\xfe",
        b"[" * 60_000,
        body(cpu_utilization_percent=None),
        body(cpu_utilization_percent=True),
        body(cpu_utilization_percent="high"),
        body(cpu_utilization_percent=-1),
        body(memory_utilization_percent=1e9),
        b'{"cpu_utilization_percent": NaN, "memory_utilization_percent": 1}',
        b'{"cpu_utilization_percent": 1e999, "memory_utilization_percent": 1}',
    ],
)
def test_bad_metrics_count_as_missing(bad: bytes) -> None:
    assert parse_metrics(bad, None, NOW) is None


@given(st.binary(max_size=300) | st.recursive(st.none() | st.floats() | st.text(), st.lists))
def test_nothing_in_a_body_raises(junk: object) -> None:
    raw = junk if isinstance(junk, bytes) else json.dumps(junk).encode()
    parse_metrics(raw, None, NOW)


def test_old_samples_count_as_missing_by_the_agents_own_clock() -> None:
    sampled = "2023-11-14T22:13:20Z"  # NOW
    assert parse_metrics(body(sampled_at=sampled), None, NOW + 29)
    assert parse_metrics(body(sampled_at=sampled), None, NOW + 31) is None
    date = formatdate(NOW + 5, usegmt=True)  # the agent's clock is an hour behind
    assert parse_metrics(body(sampled_at=sampled), date, NOW + 3600)


def test_servers_and_pool_keep_what_they_understand() -> None:
    good = {"name": "agent-1", "state": "running"}
    control, nameless = {"name": "control-1"}, {"state": "running"}
    assert parse_servers([good, control, nameless, 7]) == {"agent-1": good}
    assert parse_servers({"servers": [good]}) == {"agent-1": good}
    assert parse_pool({"agents": [good, "x"]}) == {"agent-1": good}
    assert parse_pool({"agents": {}}) == {}
    for wrong in (None, "x", {"agents": 7}, {"error": "x"}):
        with pytest.raises(ProbeError):
            parse_pool(wrong)
        with pytest.raises(ProbeError):
            parse_servers(wrong)


def test_the_deployment_document_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    reader = DeploymentFile(path)
    assert reader.read() is None
    document = {"application": {"name": "f", "port": 5000, "ready_path": "/r"}, "release": "r1"}
    path.write_text(json.dumps(document))
    first = reader.read()
    assert first and (first.release, first.ready_path) == ("r1", "/r")
    assert first.metrics_path is None
    path.write_text(json.dumps({**document, "release": "r2"}))
    os.utime(path, (1, 1))
    second = reader.read()
    assert second and second.release == "r2"
    application = {**document["application"], "metrics_path": "/m"}  # type: ignore[dict-item]
    path.write_text(json.dumps({**document, "application": application}))
    third = reader.read()
    assert third and third.metrics_path == "/m"
    path.write_text("{")
    with pytest.raises(ProbeError, match="no deployment document"):
        reader.read()
    path.unlink()
    assert reader.read() is None


# --- answers to the sweep's requests -----------------------------------------------------------


def parsed(*pieces: bytes) -> Answer | None:
    """What the parser makes of an answer that arrives in pieces, before its connection ends."""
    parser = AnswerParser()
    return next((answer for piece in pieces if (answer := parser.feed(piece))), None)


def parsed_at_the_end(raw: bytes) -> Answer:
    parser = AnswerParser()
    assert parser.feed(raw) is None
    return parser.end()


HELLO = {
    "length": b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\nhello",
    "chunks": b"HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"2\r\nhe\r\n003;a=b\r\nllo\r\n0\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: y\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nDATE:x \r\ncontent-length:5\r\n\r\nhello",
}


@given(
    kind=st.sampled_from(sorted(HELLO)),
    cuts=st.lists(st.integers(0, max(map(len, HELLO.values())))),
)
def test_an_answer_may_arrive_in_any_pieces(kind: str, cuts: list[int]) -> None:
    raw = HELLO[kind]
    edges = [0, *sorted(cuts), len(raw)]
    answer = parsed(*(raw[a:b] for a, b in itertools.pairwise(edges)))
    assert answer and (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["date"] == "x"


@pytest.mark.parametrize("kind", ["length", "chunks"])
def test_an_answer_that_ends_early_is_none(kind: str) -> None:
    whole = HELLO[kind]
    for length in range(len(whole) - 4):  # the last chunk may lack its empty line
        parser = AnswerParser()
        assert parser.feed(whole[:length]) is None
        with pytest.raises(ValueError, match="too early"):
            parser.end()


def test_bodies_may_end_with_the_connection_or_be_missing() -> None:
    assert parsed_at_the_end(b"HTTP/1.0 200 OK\r\n\r\nhello").body == b"hello"
    empty = parsed(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert empty and (empty.status, empty.body) == (204, b"")
    refused = parsed(b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n")
    assert refused and refused.status == 503
    more = parsed(HELLO["length"] + b"what nobody asked for")
    assert more and more.body == b"hello"


@pytest.mark.parametrize(
    "bad",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nlong\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 300,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"800\r\n%2048d\r\n" % 0 * 33,
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * HEAD_LIMIT,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"b" * (BODY_LIMIT + 1),
        b"\x00" * HEAD_LIMIT,
    ],
)
def test_bad_answers_are_refused(bad: bytes) -> None:
    with pytest.raises(ValueError):
        parsed(bad)


@given(
    st.lists(
        st.binary(max_size=40)
        | st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n"])
    )
)
def test_nothing_that_arrives_raises_anything_else(pieces: list[bytes]) -> None:
    parser = AnswerParser()
    try:
        if not any(parser.feed(piece) for piece in pieces):
            parser.end()
    except ValueError:
        pass


def test_requests_cannot_be_forged_by_a_path() -> None:
    raw = request_bytes("10.0.0.7", 5000, "/r?a=b&c=%20\r\nX: y z\u00fc#part")
    line, host, *_ = raw.decode().split("\r\n")
    assert line == "GET /r?a=b&c=%20%0D%0AX:%20y%20z%C3%BC HTTP/1.1"
    assert host == "Host: 10.0.0.7:5000" and raw.count(b"\r\n\r\n") == 1
    assert b"\r\nConnection: close\r\n" in raw
    assert b"Host: [fd00::7]:80\r\n" in request_bytes("fd00::7", 80, "/")


@pytest.mark.parametrize(
    ("files", "connections"),
    [(1024, 768), (256, 128), (20_000, 1000), (resource.RLIM_INFINITY, 1000)],
)
def test_a_sweep_leaves_files_for_others(
    files: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (files, files))
    assert connections_allowed() == connections
