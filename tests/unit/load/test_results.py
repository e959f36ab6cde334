# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as they are kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clusterops.load.results import KEPT, Results, progress
from clusterops.state import State

START = datetime(2026, 1, 31, 14, 5, 30, tzinfo=UTC)


def line(requests: int, failures: int, **more: Any) -> dict[str, Any]:
    return {
        "t": 1.0, "requests": requests, "failures": failures, "rps": 9.0, "p50": 1.0, "p95": 2.0,
        "p99": 3.0, "rate_wanted": 10.0, "at": "2026-01-31T14:05:31.000Z", **more,
    }  # fmt: skip


def results(at: datetime = START) -> Results:
    made = Results(profile="replay daily", url="http://127.0.0.1:8080", open_loop=True,
                   started_at=at)  # fmt: skip
    made.second(line(9, 1))
    made.second(line(20, 1))
    made.totals = {"duration_s": 2.0, "requests": 20, "failures": 1}
    return made


def test_the_form_of_a_result() -> None:
    document = results().document()
    started = document.pop("started_at")
    assert datetime.fromisoformat(started).tzinfo == UTC and started.endswith("Z")
    assert document == {
        "profile": "replay daily", "url": "http://127.0.0.1:8080", "open_loop": True,
        "duration_s": 2.0, "totals": {"duration_s": 2.0, "requests": 20, "failures": 1},
        "seconds": [
            {"at": "2026-01-31T14:05:31.000Z", "requests": requests, "failures": failures,
             "rate_wanted": 10.0, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0}
            for requests, failures in ((9, 1), (11, 0))
        ],
    }  # fmt: skip


def test_the_newest_has_a_name_and_the_oldest_go(tmp_path: Path) -> None:
    state = State.beside(tmp_path / "cluster.yml")
    for number in range(KEPT + 3):
        path = results(START + timedelta(minutes=number)).keep(state)
    folder = state.root / "load"
    latest = folder / "LATEST.json"
    assert latest.is_symlink() and latest.resolve() == path
    assert path.name == "20260131T142730-replay.json"
    assert json.loads(latest.read_text())["open_loop"] is True
    assert path.stat().st_mode & 0o777 == 0o600
    files = sorted(each.name for each in folder.iterdir())
    assert len(files) == KEPT + 1
    assert files[0] == "20260131T140830-replay.json"


def test_how_far_a_run_is() -> None:
    assert progress(line(9, 1), 60) == {
        "elapsed_s": 1.0, "duration_s": 60, "requests": 9, "failures": 1, "requests_per_s": 9.0,
        "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0,
    }  # fmt: skip
