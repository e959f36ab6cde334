# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run in open loop counts."""

from __future__ import annotations

from clusterops.load.open_recorder import NOT_SENT, OpenRecorder

AT = "2026-01-31T14:05:30.000Z"


def answer(recorder: OpenRecorder, late: float, service: float) -> None:
    recorder.sent(late)
    recorder.answered(service, late + service, waited=False)
    recorder.finish("GET", late + service, status=200)


def test_latency_is_from_when_it_was_due_and_service_from_when_it_was_sent() -> None:
    recorder = OpenRecorder()
    for _ in range(98):
        answer(recorder, 1, 2)
    for _ in range(2):
        answer(recorder, 900, 2)
    totals = recorder.totals(duration_s=10, generator_cpu=12)
    assert (totals["latency_ms"]["p50"], totals["latency_ms"]["p99"]) == (3, 902)
    assert totals["service_time_ms"]["p99"] == totals["service_time_ms"]["max"] == 2
    assert totals["generator_late_ms"] == {"p99": 900, "max": 900}
    assert totals["generator_kept_up"] is False
    assert list(totals["latency_ms"]) == ["p50", "p90", "p95", "p99", "p99.9", "max"]


def test_what_could_not_be_sent_is_a_failure_with_a_name() -> None:
    recorder = OpenRecorder()
    answer(recorder, 0, 1)
    recorder.left_out()
    recorder.left_out()
    totals = recorder.totals(duration_s=1, generator_cpu=0)
    assert (totals["requests"], totals["failures"], totals["not_sent"]) == (3, 2, 2)
    assert totals["errors"] == [{"error": NOT_SENT, "count": 2}]
    assert totals["generator_kept_up"] is True


def test_a_wait_in_vain_counts_as_a_latency_and_a_refusal_does_not() -> None:
    recorder = OpenRecorder()
    for waited, ms in ((True, 10_000.0), (False, 0.2)):
        recorder.sent(0)
        recorder.answered(ms, ms, waited=waited)
        recorder.finish("GET", ms, error="no answer")
    totals = recorder.totals(duration_s=1, generator_cpu=0)
    assert totals["latency_ms"]["p50"] == totals["latency_ms"]["max"] == 10_000
    assert totals["failures"] == 2


def test_a_run_without_an_answer_has_no_latency() -> None:
    totals = OpenRecorder().totals(duration_s=1, generator_cpu=0)
    assert set(totals["latency_ms"].values()) == {None}


def test_a_second_has_its_own_figures() -> None:
    recorder = OpenRecorder()
    answer(recorder, 5, 1)
    first = recorder.row(1.0, AT, 1.0, 49.96, 3)
    assert (first["at"], first["rate_wanted"], first["late_ms"]) == (AT, 50.0, 5)
    assert (first["requests"], first["users"], first["p50"]) == (1, 3, 6)
    second = recorder.row(2.0, AT, 1.0, 50, 0)
    assert (second["requests"], second["rps"], second["p50"], second["late_ms"]) == (
        1,
        0,
        None,
        None,
    )
