# SPDX-License-Identifier: GPL-3.0-or-later
"""report: the time that is asked for, and who is asked."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterops import event_stream
from clusterops.cli import main, report
from clusterops.clients import AnswerError
from clusterops.errors import NotRunningError, UsageError
from tests.unit.report import builders

Json = dict[str, Any]
NOW = 1_795_644_600.0


@pytest.mark.parametrize(
    ("last", "start", "end", "expected"),
    [
        (None, None, None, (NOW - 1800, NOW)),
        ("2h", None, None, (NOW - 7200, NOW)),
        (None, "20m", "10m", (NOW - 1200, NOW - 600)),
        (None, None, "10m", (NOW - 600 - 1800, NOW - 600)),
        (None, "2026-11-25T22:00:00Z", None, (NOW - 600, NOW)),
    ],
)
def test_times(
    last: str | None, start: str | None, end: str | None, expected: tuple[float, float]
) -> None:
    assert report.span(last, start, end, NOW) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("last", "start", "end", "words"),
    [
        ("long", None, None, "--last: found 'long'"),
        ("2h", "1h", None, "--last: not together with"),
        (None, "10m", "20m", "--from: '10m' is not before the end"),
        (None, "soon", None, "--from: found 'soon'"),
        (None, None, "soon", "--to: found 'soon'"),
    ],
)
def test_times_that_make_no_sense(
    last: str | None, start: str | None, end: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        report.span(last, start, end, NOW)


class Scaler:
    url = "http://127.0.0.1:9000"

    def __init__(self) -> None:
        self.silent = False

    def status(self) -> Json:
        if self.silent:
            raise NotRunningError("The scaler does not answer")
        return {"application": {"name": "fibonacci", "release": "r1"}}

    def ticks(self, *, limit: int, after: float, until: float) -> list[Json]:
        return page(builders.ticks(), limit, after, until)

    def events(self, *, limit: int, after: float, until: float) -> list[Json]:
        return page(builders.events(), limit, after, until)


def page(rows: list[Json], limit: int, after: float, until: float) -> list[Json]:
    return [row for row in rows if after < builders_seconds(row) <= until][:limit]


def builders_seconds(row: Json) -> float:
    from clusterops.report.run import seconds

    return seconds(row["at"])


class Prometheus:
    points: tuple[tuple[float, float], ...] = ()

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def span(self, query: str, start: float, end: float, step_s: float) -> list[Any]:
        return [] if "quantile" in query else list(self.points)

    def alerts(self) -> None:
        return None


@pytest.fixture
def cluster(manager: Any, monkeypatch: pytest.MonkeyPatch) -> Scaler:
    scaler = Scaler()
    monkeypatch.setattr(report.clients, "scaler", lambda *_, **__: scaler)
    monkeypatch.setattr(report, "Prometheus", Prometheus)
    monkeypatch.setattr(report.time, "time", lambda: builders.END)
    monkeypatch.setattr(event_stream, "watch", told)
    Prometheus.points = ()
    return scaler


def told(_scaler: Any) -> Iterator[tuple[str, Any]]:
    yield "snapshot", {"traffic_points": builders.traffic()}


def test_a_file_is_written_that_others_may_read(
    cluster: Scaler, state: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state.root / "load").mkdir(parents=True)
    (state.root / "load/a.json").write_text(json.dumps(builders.load_document()))
    (state.root / "load/b.json").write_text("{")
    file = tmp_path / "run.html"
    assert main(["report", "--last", "10m", "--output", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: 2 changes, 5 events\n"
    text = file.read_text()
    assert "average CPU 85 % is above 70 %" in text
    assert "spike" in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_pages_of_the_record_are_put_together(
    cluster: Scaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_PAGE", 7)
    found = list(report._pages(cluster.ticks, report._TICKS_MAX, builders.START - 1, builders.END))  # type: ignore[arg-type]
    assert found == builders.ticks()


def test_an_old_scaler_is_no_reason_to_have_no_traffic(
    cluster: Scaler, state: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def none(_scaler: Any) -> Iterator[tuple[str, Any]]:
        raise AnswerError("no stream", 404)
        yield

    monkeypatch.setattr(event_stream, "watch", none)
    Prometheus.points = ((builders.START + 1, 10.0), (builders.START + 11, 20.0))
    file = tmp_path / "run.html"
    assert main(["report", "--last", "10m", "-o", str(file)]) == 0
    out = capsys.readouterr().out
    assert "Latency at the load balancer: Prometheus has no histogram" in out
    assert "requests at the most" in file.read_text()


def test_who_does_not_answer_is_named_and_the_rest_is_written(
    cluster: Scaler, state: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(event_stream, "watch", lambda _: iter(()))
    cluster.silent = True
    file = tmp_path / "run.html"
    assert main(["report", "-o", str(file)]) == 0
    out = capsys.readouterr().out
    assert "Note: Scaling and its reasons: The scaler does not answer" in out
    assert "Note: Traffic: neither the scaler nor Prometheus" in out
    assert "What is missing here" in file.read_text()


def test_a_file_that_cannot_be_written_is_one_clear_line(
    cluster: Scaler, state: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "-o", str(tmp_path / "nowhere" / "run.html")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
