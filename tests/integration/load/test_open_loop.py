# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator in open loop against a server that stalls, hangs and goes away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterops.cli import main
from clusterops.load.open_options import OpenOptions
from clusterops.load.options import LoadOptions
from clusterops.load.process import LoadRun
from tests.integration.load.test_runner import OK, Server

pytestmark = pytest.mark.integration

STALL_S = 1.0
STALL_MS = STALL_S * 1000


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


class Stalling:
    """A second after its first request, and every 5 s then, nothing is answered for 1 s."""

    def __init__(self) -> None:
        self.next: float | None = None

    def __call__(self, number: int, method: str, path: str) -> bytes:
        now = time.monotonic()
        if self.next is None:
            self.next = now + 1
        if now >= self.next:
            self.next = now + 5
            time.sleep(STALL_S)  # the whole server, whoever asks
        return OK


def run(server: Server, **more: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    given: dict[str, Any] = {"rate": 50, "duration_s": 2.0, **more}
    options = OpenOptions(f"http://127.0.0.1:{server.port}", **given)
    with LoadRun(options) as load:
        lines = list(load.lines())
    return lines[:-1], lines[-1]


def test_a_stall_is_in_the_figures_of_all_who_came_meanwhile(server: Server) -> None:
    server.behave = Stalling()
    rows, open_loop = run(server, duration_s=5.0)
    assert open_loop["failures"] == 0
    assert open_loop["requests"] == len(server.requests)
    assert 800 <= open_loop["latency_ms"]["p99"] <= 2 * STALL_MS
    assert open_loop["latency_ms"]["p90"] >= 100
    assert open_loop["latency_ms"]["p50"] < 100
    # Those that wait are no reason to send less, or later.
    assert max(row["users"] for row in rows) >= 20
    assert open_loop["generator_late_ms"]["p99"] < STALL_MS / 2

    server.behave = Stalling()
    closed = LoadOptions(
        f"http://127.0.0.1:{server.port}", users=1, duration_s=5.0, think_min_s=0.02,
        think_max_s=0.02,
    )  # fmt: skip
    with LoadRun(closed) as load:
        *_, user = load.lines()
    assert user["latency_ms"]["max"] >= 900, "it met the stall"
    assert user["latency_ms"]["p95"] < 200, "and hardly tells of it"


def test_the_load_follows_its_profile(server: Server) -> None:
    rows, totals = run(server, profile="step", rate=100, duration_s=4.0, arrivals="uniform")
    assert totals["requests"] == len(server.requests) == pytest.approx(1 * 20 + 3 * 100, abs=3)
    assert totals["requests_per_s"] == pytest.approx(320 / 4, rel=0.1)
    assert rows[0]["rate_wanted"] == 20
    assert rows[-1]["rate_wanted"] == 100
    assert len(rows) == pytest.approx(4, abs=1)
    assert rows[-1]["requests"] == totals["requests"]
    assert server.connections < len(server.requests) / 4, "connections are used again"


def test_what_is_not_sent_is_told(server: Server) -> None:
    server.behave = lambda number, method, path: 30.0
    _, totals = run(server, outstanding=5, timeout_s=1.0, duration_s=2.0, arrivals="uniform")
    assert totals["requests"] == totals["failures"] == pytest.approx(100, abs=1)
    assert totals["not_sent"] == totals["requests"] - len(server.requests) > 50
    told = {each["error"]: each["count"] for each in totals["errors"]}
    assert told["not sent: too many requests without an answer"] == totals["not_sent"]
    # Waiting in vain is a latency.
    assert totals["latency_ms"]["p50"] >= 1000
    assert server.connections >= 5


def test_a_server_that_goes_away_is_counted_and_nothing_is_sent_again(server: Server) -> None:
    server.behave = lambda number, method, path: None if number % 4 == 0 else OK
    _, totals = run(server)
    assert totals["requests"] == len(server.requests)
    assert totals["failures"] == len(server.requests) // 4


def test_500_requests_a_second_come_from_one_process(server: Server) -> None:
    _, totals = run(server, rate=500, duration_s=3.0)
    assert totals["requests"] == len(server.requests) == pytest.approx(1500, rel=0.1)
    assert totals["requests_per_s"] > 300, "even where others use the processor, too"
    assert totals["failures"] == totals["not_sent"] == 0


def test_the_command_keeps_its_result_and_tells_how_far_it_is(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PLAYGROUND_CLUSTER_FILE", str(tmp_path / "cluster.yml"))
    (tmp_path / ".playground").mkdir()
    (tmp_path / "t.csv").write_text("0,20\n1,60\n2,0\n")
    progress = tmp_path / "progress.json"
    url = f"http://127.0.0.1:{server.port}"
    command = ["load", "--url", url, "--trace", str(tmp_path / "t.csv"), "--arrivals", "uniform"]
    assert main([*command, "--json", "--progress", str(progress)]) == 0
    out, headline = capsys.readouterr().out.rstrip().rsplit("\n", 1)
    document = json.loads(out)
    assert document == json.loads((tmp_path / ".playground/load/LATEST.json").read_text())
    assert (document["profile"], document["open_loop"]) == ("replay t.csv", True)
    assert document["totals"]["requests"] == len(server.requests) == 80
    assert sum(row["requests"] for row in document["seconds"]) == 80
    assert headline.startswith("80 requests in 2")
    told = json.loads(progress.read_text())
    assert (told["requests"], told["duration_s"]) == (80, 2)

    assert main(command) == 0
    out = capsys.readouterr().out
    assert "coordinated omission corrected" in out
    assert "Kept as" in out
