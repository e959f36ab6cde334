# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.load.recorder import CUT, MAX_ERRORS, Latencies, Recorder, describe, describe_answer


def test_percentiles_are_nearest_rank() -> None:
    latencies = Latencies()
    for ms in range(1, 101):
        latencies.add(float(ms))
    assert latencies.percentiles(50, 95, 99, 100) == [50, 95, 99, 100]


def test_no_latency_is_none() -> None:
    assert Latencies().percentiles(50, 99) == [None, None]


@given(st.lists(st.floats(0.01, 60_000), min_size=1, max_size=200), st.floats(1, 100))
def test_a_percentile_is_within_half_a_percent_of_the_exact_one(
    values: list[float], percent: float
) -> None:
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    rank = max(-(-len(values) * percent // 100), 1)
    exact = sorted(values)[int(rank) - 1]
    (found,) = latencies.percentiles(percent)
    assert found == pytest.approx(exact, rel=0.0051, abs=0.006)


def test_memory_does_not_grow_with_the_run() -> None:
    latencies = Latencies()
    rand = random.Random(1)
    for _ in range(50_000):
        latencies.add(rand.uniform(0.1, 10_000))
    assert len(latencies._buckets) < 5000


def test_summary_counts_answers_failures_and_statuses() -> None:
    recorder = Recorder()
    for _ in range(4):
        recorder.start()
    recorder.finish("GET a", 10, status=200, served_by="agent-1")
    recorder.finish("GET a", 20, status=502, error="status 502")
    recorder.finish("POST b", 5, error="connection reset")
    recorder.cut_unfinished()
    summary = recorder.summary(duration_s=2.0, users=3, generator_cpu=12.34)
    assert summary["requests"] == 4
    assert summary["failures"] == 3
    assert summary["requests_per_s"] == 2.0
    assert summary["statuses"] == {"200": 1, "502": 1}
    assert summary["latency_ms"] == {"p50": 10, "p95": 20, "p99": 20, "max": 20}
    assert {(e["error"], e["count"]) for e in summary["errors"]} == {
        ("GET a: status 502", 1), ("POST b: connection reset", 1), (CUT, 1)
    }  # fmt: skip
    assert summary["served_by"] == {"agent-1": 1}


def test_a_run_without_answers_has_no_latency() -> None:
    latency = Recorder().summary(duration_s=1, users=1, generator_cpu=0)["latency_ms"]
    assert latency == {"p50": None, "p95": None, "p99": None, "max": None}


def test_a_second_shows_its_own_latencies_and_all_counts() -> None:
    recorder = Recorder()
    recorder.finish("GET a", 100, status=200)
    first = recorder.second(1.0, 5, 1.0)
    recorder.finish("GET a", 10, status=200)
    recorder.finish("GET a", 10, error="connection reset")
    second = recorder.second(2.0, 5, 0.5)
    assert (first["p50"], first["requests"], first["rps"]) == (100, 1, 1)
    assert (second["p50"], second["requests"], second["rps"]) == (10, 3, 4)
    assert second["failures"] == 1
    assert recorder.second(3.0, 5, 1.0)["p50"] is None


def test_endless_kinds_of_errors_end_as_other() -> None:
    recorder = Recorder()
    for number in range(MAX_ERRORS + 10):
        recorder.finish("GET a", 1, error=f"odd {number}")
    assert recorder.errors["other"] == 10
    assert recorder.failures == MAX_ERRORS + 10


class HTTPConnectionClosed(Exception):
    """Named as geventhttpclient's, which unit tests must not import."""


class Wrapped(Exception):
    original = TimeoutError("timed out")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "refused"), "connection refused"),
        (ConnectionResetError(104, "reset"), "connection reset"),
        (BrokenPipeError(32, "pipe"), "connection reset"),
        (TimeoutError("timed out"), "no answer within 10 s"),
        (Wrapped("retries exceeded"), "no answer within 10 s"),
        (HTTPConnectionClosed(), "connection closed before the end of the answer"),
        (ValueError("a\n b"), "ValueError: a b"),
        (ValueError(), "ValueError"),
    ],
)
def test_failures_in_words(error: Exception, words: str) -> None:
    assert describe(error, 10) == words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "Queue is\\n unavailable"}', "status 503, Queue is unavailable"),
        (b'{"error": "' + b"a" * 300 + b'"}', "status 503, " + "a" * 100),
        (b'{"ready": false}', "status 503"),
        (b"[]", "status 503"),
        (b"<h1>503</h1>", "status 503"),
        (b"\xff", "status 503"),
        (b"[" * 100_000, "status 503"),
        (b"", "status 503"),
        (None, "status 503"),
    ],
)
def test_wrong_answers_in_words(body: bytes | None, words: str) -> None:
    assert describe_answer(503, body) == words
