# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from clusterops.cli import load, load_open, main
from clusterops.load.open_options import OpenOptions
from clusterops.load.options import LoadOptions
from clusterops.load.profiles import SHAPES, named

SECOND = {
    "type": "second", "t": 1.0, "users": 5, "rps": 100.0, "p50": 2.0, "p95": 3.0, "p99": None,
    "requests": 100, "failures": 1, "served_by": {"agent-1": 99},
}  # fmt: skip
SUMMARY = {
    "type": "summary", "duration_s": 3.0, "users": 5, "requests": 300, "failures": 1,
    "requests_per_s": 100.0,
    "latency_ms": {"p50": 2.0, "p95": 3.0, "p99": 4.0, "max": 9.0},
    "errors": [{"error": "POST calculate: connection reset", "count": 1}],
    "statuses": {"200": 299}, "served_by": {}, "generator_cpu_percent": 97.0,
}  # fmt: skip


class FakeRun:
    """Says what the test wants; Ctrl-C comes where a KeyboardInterrupt is among the lines."""

    script: list[Any] = []  # noqa: RUF012
    options: LoadOptions
    interrupted = False

    def __init__(self, options: LoadOptions) -> None:
        type(self).options = options
        type(self).interrupted = False
        self._left = list(self.script)

    def __enter__(self) -> FakeRun:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def interrupt(self) -> None:
        type(self).interrupted = True

    def lines(self) -> Iterator[dict[str, Any]]:
        while self._left:
            line = self._left.pop(0)
            if isinstance(line, type) and issubclass(line, BaseException):
                raise line
            yield dict(line)


@pytest.fixture
def run(state: Any, monkeypatch: pytest.MonkeyPatch) -> type[FakeRun]:
    class Run(FakeRun):
        script = [SECOND, SUMMARY]  # noqa: RUF012

    class Connection:
        def close(self) -> None:
            pass

    monkeypatch.setattr(load, "LoadRun", Run)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: Connection())
    return Run


def test_json_prints_only_the_summary(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "--json", "--duration", "3"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {key: value for key, value in SUMMARY.items() if key != "type"}


def test_the_default_url_is_the_load_balancer_of_cluster_yml(run: Any, state: Any) -> None:
    state.cluster_file.write_text("port_load_balancer: 8123\n")
    main(["load", "--json"])
    assert run.options.url == "http://127.0.0.1:8123"
    assert (run.options.users, run.options.duration_s) == (50, 60)
    assert (run.options.think_min_s, run.options.think_max_s) == (0.02, 0.06)


def test_people_read_lines_and_a_summary(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load"]) == 0
    out = capsys.readouterr().out
    assert "100 requests/s" in out.splitlines()[0]
    assert "1 x POST calculate: connection reset" in out
    assert "generator itself used a whole core" in out


def test_ctrl_c_ends_the_run_with_its_summary(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run.script = [SECOND, KeyboardInterrupt, SECOND, SUMMARY]
    assert main(["load", "--json"]) == 130
    assert run.interrupted
    assert json.loads(capsys.readouterr().out)["requests"] == 300


def test_a_second_ctrl_c_does_not_wait(run: Any) -> None:
    run.script = [KeyboardInterrupt, KeyboardInterrupt, SUMMARY]
    assert main(["load"]) == 130


def test_no_right_answer_at_all_is_a_failure(run: Any) -> None:
    run.script = [{**SUMMARY, "requests": 9, "failures": 9}]
    assert main(["load", "--json"]) == 1


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1:80", "http://example.org", "http://127.0.0.1@example.org/"]
)
def test_other_machines_are_refused(run: Any, capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["load", "--url", url]) == 2
    assert "http://127.0.0.1:PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--duration", "4000"],
        ["--duration", "0"],
        ["--duration", "nan"],
        ["--users", "0"],
        ["--ramp", "90"],
        ["--think-time", "fast"],
        ["--think-time", "0.5-0.1"],
        ["--path", "health"],
        ["--path", "//example.org/"],
        ["--path", "/a b"],
    ],
)
def test_bad_options_are_exit_2(
    run: Any, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["load", *arguments]) == 2
    assert "allowed:" in capsys.readouterr().err


def test_a_refused_connection_is_not_running(
    state: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert main(["load"]) == 3
    err = capsys.readouterr().err
    assert "Nothing answers at http://127.0.0.1:8080: Connection refused" in err


def test_the_live_view_shows_the_curve() -> None:
    from rich.console import Console

    console = Console(width=100)
    with console.capture() as shown:
        console.print(load.screen(SECOND, [10, 50, 100], LoadOptions("http://x", 5, 60)))
    assert "▁▅█" in shown.get()
    assert "agent-1 99" in shown.get()


# --- open loop -------------------------------------------------------------------------------

OPEN_SECOND = {**SECOND, "at": "2026-01-31T14:05:31.000Z", "rate_wanted": 99.0, "late_ms": 1.0}
LATENCIES = dict.fromkeys(("p50", "p90", "p95", "p99", "p99.9", "max"), 2.0)
TOTALS = {
    **SUMMARY, "latency_ms": LATENCIES, "service_time_ms": LATENCIES, "not_sent": 0,
    "generator_late_ms": {"p99": 1.0, "max": 2.0}, "generator_kept_up": True,
}  # fmt: skip


@pytest.fixture
def open_run(run: type[FakeRun], state: Any) -> type[FakeRun]:
    state.create()
    run.script = [OPEN_SECOND, TOTALS]
    return run


def test_a_profile_is_an_open_loop(
    open_run: Any, state: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", "--profile", "spike", "--rate", "80", "--duration", "30"]) == 0
    options = open_run.options
    assert isinstance(options, OpenOptions)
    assert (options.profile, options.rate, options.duration_s) == ("spike", 80, 30)
    assert (options.arrivals, options.outstanding, options.trace) == ("poisson", 1000, None)
    out = capsys.readouterr().out
    assert "99 wanted  100 requests/s" in out
    assert "coordinated omission corrected" in out
    assert "late by" not in out and "--outstanding" not in out
    kept = json.loads((state.root / "load/LATEST.json").read_text())
    assert (kept["profile"], kept["open_loop"]) == ("spike", True)


def test_json_of_a_profile_is_what_is_kept(
    open_run: Any, state: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", "--trace", "flash-crowd", "--duration", "60", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((state.root / "load/LATEST.json").read_text())
    assert document["profile"] == "replay flash-crowd"
    assert document["seconds"][0]["rate_wanted"] == 99
    assert open_run.options.rate is None and open_run.options.made().rate == 50


def test_a_generator_that_is_late_and_requests_not_sent_are_told(
    open_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    late = {"p99": 400.0, "max": 1500.0}
    open_run.script = [
        {**TOTALS, "generator_kept_up": False, "generator_late_ms": late, "not_sent": 7}
    ]
    assert main(["load", "--profile", "constant"]) == 0
    out = capsys.readouterr().out
    assert "the generator was late by up to 1.5 s (one request of a hundred by 0.4 s)" in out
    assert "7 requests were due and not sent" in out


def test_whoever_started_it_as_a_job_is_told_how_far_it_is(
    open_run: Any, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = tmp_path / "progress.json"
    assert main(["load", "--profile", "wave", "--progress", str(progress)]) == 0
    told = json.loads(progress.read_text())
    assert (told["elapsed_s"], told["duration_s"], told["requests"]) == (1, 60, 100)
    assert capsys.readouterr().out.splitlines()[-1].startswith("300 requests in 3 s: 1 failures")


def test_ctrl_c_ends_a_profile_with_its_result(open_run: Any, state: Any) -> None:
    open_run.script = [OPEN_SECOND, KeyboardInterrupt, TOTALS]
    assert main(["load", "--profile", "constant"]) == 130
    assert open_run.interrupted
    assert (state.root / "load/LATEST.json").exists()


def test_the_rate_of_users_is_their_pause_as_before(run: Any) -> None:
    assert main(["load", "--json", "--rate", "0.2-0.4"]) == 0
    assert (run.options.think_min_s, run.options.think_max_s) == (0.2, 0.4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--profile", "flood"], "--profile: found 'flood'; allowed: constant, step"),
        (["--profile", "constant", "--rate", "fast"], "--rate: found 'fast'"),
        (["--profile", "constant", "--rate", "6000"], "--rate: found 6000"),
        (["--profile", "replay"], "--trace: belongs to --profile replay"),
        (["--trace", "nothing"], "--trace:"),
        (["--profile", "step", "--arrivals", "often"], "--arrivals: found 'often'"),
    ],
)
def test_bad_profiles_are_exit_2(
    run: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["load", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_the_picture_of_a_profile_has_a_mark_where_it_is_now() -> None:
    profile = named("spike", 100, 60)
    assert load_open.curve(profile, 0, 10) == "|▂▂▂██▂▂▂▂"
    assert load_open.curve(profile, 59.9, 10) == "▂▂▂▂██▂▂▂|"
    assert load_open.curve(profile, 60, 10)[-1] == "|"


def test_help_explains_the_profiles(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "--help"]) == 0
    out = capsys.readouterr().out
    for name, (_, about) in SHAPES.items():
        assert name in out and about in out
