# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground load``."""

from __future__ import annotations

import json
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import urlsplit

import typer

from clusterops import clients
from clusterops.cli import load_open, output
from clusterops.errors import ClusterOpsError, ExitCode, NotRunningError, UsageError
from clusterops.load.open_options import OpenOptions
from clusterops.load.options import LoadOptions, loopback_url, parse_think_time
from clusterops.load.process import LoadRun
from clusterops.load.profiles import PROFILES, REPLAY, SHAPES, Arrivals
from clusterops.load.results import Results
from clusterops.load.results import progress as progress_of
from clusterops.scaler.simulation.traces import TRACES
from clusterops.state import write_private

if TYPE_CHECKING:
    from rich.console import Group

Json = dict[str, Any]
INTERRUPTED = 130
OPEN, CLOSED = "Open loop", "Closed loop"


def load(
    profile: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(PROFILES)}.", show_default=False, rich_help_panel=OPEN),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            help="Highest rate, requests/s; default: 50, or a trace's own.",
            show_default=False,
            rich_help_panel=OPEN,
        ),
    ] = None,
    trace: Annotated[
        str | None,
        typer.Option(
            help=f"Load over time to replay: {', '.join(TRACES)}, or a CSV or JSON file of "
            "seconds,requests_per_s. It is fitted into --duration.",
            show_default=False,
            rich_help_panel=OPEN,
        ),
    ] = None,
    arrivals: Annotated[
        str, typer.Option(help="poisson (by chance) or uniform.", rich_help_panel=OPEN)
    ] = "poisson",
    seed: Annotated[
        int, typer.Option(help="The same one gives the same requests.", rich_help_panel=OPEN)
    ] = 1,
    outstanding: Annotated[
        int,
        typer.Option(
            help="Most requests without an answer; more are not sent, and are failures.",
            rich_help_panel=OPEN,
        ),
    ] = 1000,
    users: Annotated[int, typer.Option(help="Simulated users.", rich_help_panel=CLOSED)] = 50,
    ramp: Annotated[
        float, typer.Option(help="Seconds until all users are there.", rich_help_panel=CLOSED)
    ] = 0.0,
    think_time: Annotated[
        str,
        typer.Option(help="A user's pause, seconds: S or MIN-MAX.", rich_help_panel=CLOSED),
    ] = "0.02-0.06",
    duration: Annotated[
        float | None,
        typer.Option(
            help="Seconds, at most 3600; default: 60, or a trace's own.", show_default=False
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Loopback URL; default: the load balancer.", show_default=False),
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="GET this path only, for applications of your own.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Longest wait for an answer, seconds.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print only the result.")] = False,
    progress: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> int:
    """Put load on the application; count every answer that is wrong or missing.

    Open loop (--profile, --trace): requests are sent when they are due,
    answered or not, as visitors do who know nothing of each other. Latency
    counts from when each was due, so a stall is in the figures of all who
    came meanwhile. Closed loop (--users): each user waits for the answer,
    pauses, and sends again; a slow server slows them down, too.

    \b
    PROFILES

    \b
    ./playground load --profile spike --rate 100 --duration 180
    ./playground load --trace flash-crowd --rate 80 --duration 300
    ./playground load --users 50 --duration 120

    Connections stay open, nothing is sent twice. Ctrl-C ends it early, with
    the summary. Results are kept in .playground/load; see docs/load.md.
    """
    target = loopback_url(url) if url else _default_url()
    if profile is None and trace is None:
        # --rate was the users' pause before there were profiles.
        low, high = parse_think_time(think_time if rate is None else rate)
        return _closed(
            LoadOptions(
                url=target,
                users=users,
                duration_s=60.0 if duration is None else duration,
                ramp_s=ramp,
                think_min_s=low,
                think_max_s=high,
                path=path,
                timeout_s=timeout,
            ),
            as_json,
        )
    options = OpenOptions(
        url=target,
        profile=profile or REPLAY,
        trace=trace,
        rate=None if rate is None else _requests_per_s(rate),
        duration_s=duration,
        arrivals=cast(Arrivals, arrivals),
        seed=seed,
        outstanding=outstanding,
        path=path,
        timeout_s=timeout,
    )
    return _open(options, as_json, progress)


load.__doc__ = (load.__doc__ or "").replace(
    "    PROFILES", "\n".join(f"    {name:<9} {about}" for name, (_, about) in SHAPES.items())
)


def _closed(options: LoadOptions, as_json: bool) -> int:
    _reach(options.url)
    results = Results(
        profile="users", url=options.url, open_loop=False, started_at=datetime.now(UTC)
    )
    view = _view(as_json, second_text, lambda line, rates: screen(line, rates, options))
    summary, interrupted = _run(options, view, results.second)
    results.totals = summary
    _keep(results)
    if as_json:
        output.print_json(summary)
    else:
        print(summary_text(summary))
    return _exit_code(summary, interrupted)


def _open(options: OpenOptions, as_json: bool, progress: Path | None) -> int:
    profile = options.made()
    _reach(options.url)
    results = Results(
        profile=profile.name, url=options.url, open_loop=True, started_at=datetime.now(UTC)
    )

    def second(line: Json) -> None:
        results.second(line)
        if progress is not None:
            write_private(progress, json.dumps(progress_of(line, profile.duration_s)) + "\n")

    view = _view(
        as_json,
        load_open.second_text,
        lambda line, rates: load_open.screen(line, rates, options, profile),
    )
    totals, interrupted = _run(options, view, second)
    results.totals = totals
    kept = _keep(results)
    if as_json:
        output.print_json(results.document())
    else:
        print(load_open.totals_text(totals, profile))
        if kept:
            print(f"Kept as   {kept}")
    if progress is not None:
        print(load_open.headline(totals))
    return _exit_code(totals, interrupted)


def _exit_code(summary: Json, interrupted: bool) -> int:
    if interrupted:
        return INTERRUPTED
    return int(ExitCode.DONE if summary["failures"] < summary["requests"] else ExitCode.FAILED)


def _keep(results: Results) -> Path | None:
    """Keep the results beside the cluster, where there is one."""
    state = clients.current_state()
    return results.keep(state) if state.root.is_dir() else None


def _requests_per_s(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"--rate: found {text!r}, allowed: requests per second") from error


def _default_url() -> str:
    from clusterops.config_file import load_config

    config = load_config(clients.current_state().cluster_file).model_dump()
    return loopback_url(clients.host_url(config, "port_load_balancer", 8080))


def _reach(url: str) -> None:
    """One connection, so that a cluster that is off is one line and not a run of failures."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=5).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise NotRunningError(
            f"Nothing answers at {url}: {reason}", remedy=clients.START
        ) from error


def _run(
    options: LoadOptions | OpenOptions, view: _View, second: Callable[[Json], None]
) -> tuple[Json, bool]:
    """The summary, and whether the user ended the run early."""
    interrupted = False
    with LoadRun(options) as run, view:
        lines: Iterator[Json] = run.lines()
        while True:
            try:
                line = next(lines)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                run.interrupt()
                lines = run.lines()
                continue
            except StopIteration as error:
                raise ClusterOpsError("the load generator said nothing") from error
            if line.get("type") == "summary":
                line.pop("type")
                return line, interrupted
            second(line)
            view.show(line)


class _View:
    """Shows nothing: the base of the views."""

    def __enter__(self) -> _View:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, line: Json) -> None:
        """A second went by."""


class _Lines(_View):
    """A line every five seconds, for logs."""

    def __init__(self, text: Callable[[Json], str]) -> None:
        self._text = text
        self._next = 0.0

    def show(self, line: Json) -> None:
        if line["t"] >= self._next:
            self._next = line["t"] + 4.5
            print(self._text(line), flush=True)


class _Screen(_View):
    """Figures of this second and a curve of the last minute."""

    def __init__(self, draw: Callable[[Json, list[float]], Group]) -> None:
        from rich.live import Live

        self._draw = draw
        self._rates: deque[float] = deque(maxlen=60)
        self._live = Live(auto_refresh=False, transient=True, console=output.console())

    def __enter__(self) -> _View:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, line: Json) -> None:
        self._rates.append(float(line["rps"]))
        self._live.update(self._draw(line, list(self._rates)), refresh=True)


def _view(
    quiet: bool, text: Callable[[Json], str], draw: Callable[[Json, list[float]], Group]
) -> _View:
    if quiet:
        return _View()
    return _Screen(draw) if sys.stdout.isatty() else _Lines(text)


def screen(line: Json, rates: list[float], options: LoadOptions) -> Group:
    """The live view of one second."""
    return load_open.second_view(
        f"{options.url}   {line['t']:.0f} of {options.duration_s:g} s",
        {
            "Users": str(line["users"]),
            "Requests/s": f"{line['rps']:<8} {output.sparkline(rates)}",
            "Latency": load_open.latency(line),
        },
        line,
    )


def second_text(line: Json) -> str:
    """One second in one line."""
    return (
        f"{line['t']:5.0f} s  {line['users']} users  {line['rps']:g} requests/s  "
        f"{load_open.latency(line)}  {line['failures']} failures"
    )


def summary_text(summary: Json) -> str:
    """The end of a run in words."""
    statuses = ", ".join(f"{status}: {count}" for status, count in summary["statuses"].items())
    lines = [
        f"{summary['requests']} requests in {summary['duration_s']:g} s by {summary['users']} "
        f"users: {summary['requests_per_s']:g} requests/s",
        f"Latency   {load_open.latency(summary['latency_ms'])}",
        f"Statuses  {statuses or 'none'}",
    ]
    if summary.get("served_by"):
        served = ", ".join(f"{name}: {count}" for name, count in summary["served_by"].items())
        lines.append(f"Served by {served}")
    lines.append(f"Failures  {summary['failures']}")
    lines += [f"  {each['count']:>6} x {each['error']}" for each in summary["errors"]]
    if summary.get("generator_cpu_percent", 0) >= 90:
        lines.append(
            "Note: the generator itself used a whole core; its figures are a lower bound of "
            "what the cluster can do."
        )
    return "\n".join(lines)
