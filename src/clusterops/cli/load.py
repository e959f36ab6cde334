# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground load``."""

from __future__ import annotations

import socket
import sys
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from clusterops import clients
from clusterops.cli import output
from clusterops.errors import ClusterOpsError, ExitCode, NotRunningError
from clusterops.load.options import LoadOptions, loopback_url, parse_think_time
from clusterops.load.process import LoadRun

if TYPE_CHECKING:
    from rich.console import Group

Json = dict[str, Any]
INTERRUPTED = 130


def load(
    duration: Annotated[float, typer.Option(help="Seconds, at most 3600.")] = 60.0,
    users: Annotated[int, typer.Option(help="Simulated users.")] = 50,
    ramp: Annotated[float, typer.Option(help="Seconds until all users are there.")] = 0.0,
    think_time: Annotated[
        str, typer.Option("--think-time", "--rate", help="A user's pause, seconds: S or MIN-MAX.")
    ] = "0.02-0.06",
    url: Annotated[
        str | None,
        typer.Option(help="Loopback URL; default: the load balancer.", show_default=False),
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="GET this path only, for applications of your own.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Longest wait for an answer, seconds.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print only the summary.")] = False,
) -> int:
    """Put load on the application, and count every answer that is wrong or missing.

    Connections stay open and nothing is sent twice. Ctrl-C ends it early, with the summary.
    """
    low, high = parse_think_time(think_time)
    options = LoadOptions(
        url=loopback_url(url) if url else _default_url(),
        users=users,
        duration_s=duration,
        ramp_s=ramp,
        think_min_s=low,
        think_max_s=high,
        path=path,
        timeout_s=timeout,
    )
    _reach(options.url)
    summary, interrupted = _run(options, quiet=as_json)
    if as_json:
        output.print_json(summary)
    else:
        print(summary_text(summary))
    if interrupted:
        return INTERRUPTED
    return int(ExitCode.DONE if summary["failures"] < summary["requests"] else ExitCode.FAILED)


def _default_url() -> str:
    from clusterops.config import load_config

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


def _run(options: LoadOptions, *, quiet: bool) -> tuple[Json, bool]:
    """The summary, and whether the user ended the run early."""
    view = _view(options, quiet=quiet)
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

    def __init__(self) -> None:
        self._next = 0.0

    def show(self, line: Json) -> None:
        if line["t"] >= self._next:
            self._next = line["t"] + 4.5
            print(second_text(line), flush=True)


class _Screen(_View):
    """Figures of this second and a curve of the last minute."""

    def __init__(self, options: LoadOptions) -> None:
        from rich.live import Live

        self._options = options
        self._rates: deque[float] = deque(maxlen=60)
        self._live = Live(auto_refresh=False, transient=True, console=output.console())

    def __enter__(self) -> _View:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, line: Json) -> None:
        self._rates.append(float(line["rps"]))
        self._live.update(screen(line, list(self._rates), self._options), refresh=True)


def _view(options: LoadOptions, *, quiet: bool) -> _View:
    if quiet:
        return _View()
    return _Screen(options) if sys.stdout.isatty() else _Lines()


def screen(line: Json, rates: list[float], options: LoadOptions) -> Group:
    """The live view of one second."""
    from rich.console import Group
    from rich.text import Text

    failures = int(line["failures"])
    served = ", ".join(f"{name} {count}" for name, count in line.get("served_by", {}).items())
    parts = [
        Text(f"{options.url}   {line['t']:.0f} of {options.duration_s:g} s   Ctrl-C ends it"),
        Text(""),
        Text(f"Users       {line['users']}"),
        Text(f"Requests/s  {line['rps']:<8} {output.sparkline(rates)}", style="bold"),
        Text(f"Latency     {_latency(line)}"),
        Text(f"Requests    {line['requests']}"),
        Text(f"Failures    {failures}", style="bold red" if failures else "green"),
    ]
    if served:
        parts.append(Text(f"Served by   {served}"))
    return Group(*parts)


def second_text(line: Json) -> str:
    """One second in one line."""
    return (
        f"{line['t']:5.0f} s  {line['users']} users  {line['rps']:g} requests/s  "
        f"{_latency(line)}  {line['failures']} failures"
    )


def _latency(figures: Json) -> str:
    return "  ".join(
        f"{name} {'-' if figures.get(name) is None else format(figures[name], '.1f')} ms"
        for name in ("p50", "p95", "p99", "max")
        if name in figures
    )


def summary_text(summary: Json) -> str:
    """The end of a run in words."""
    statuses = ", ".join(f"{status}: {count}" for status, count in summary["statuses"].items())
    lines = [
        f"{summary['requests']} requests in {summary['duration_s']:g} s by {summary['users']} "
        f"users: {summary['requests_per_s']:g} requests/s",
        f"Latency   {_latency(summary['latency_ms'])}",
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
