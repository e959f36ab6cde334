# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground report``."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from clusterops import __version__, clients, event_stream
from clusterops.cli.history import moment
from clusterops.clients import ScalerClient
from clusterops.errors import ClusterOpsError, UsageError
from clusterops.prometheus import ERROR_RATE, RATE, Prometheus, quantile
from clusterops.report.run import (
    Load,
    Run,
    add_events,
    add_ticks,
    add_traffic,
    load_from,
    newest_within,
    seconds,
    settings_of,
)
from clusterops.state import State, write_whole

Json = dict[str, Any]

_PAGE, _TICKS_MAX, _EVENTS_MAX = 1000, 20_000, 3000
_PROMETHEUS_POINTS = 600
_LOADS_MAX = 50


def report(
    last: Annotated[
        str | None, typer.Option("--last", help="The last 30m, 2h, …; default: 30m.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="From this time on: 14:05, 2026-01-31T14:05, 2h.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Until this time; default: now.")] = None,
    file: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write.")
    ] = Path("report.html"),
) -> None:  # fmt: skip
    """Write a run as one HTML file: load, latency, scaling and why, events, configuration.

    The file needs nothing else: it opens from disk, prints, and has no secret in it. Figures come
    from the scaler's record, Prometheus, and the results of ./playground load.
    """
    now = time.time()
    begin, until = span(last, start, end, now)
    manager = clients.server_manager()
    cluster, servers = manager.cluster(), manager.servers()
    run = gather(cluster, servers, begin, until, clients.current_state())
    from clusterops.report.page import page

    text = page(run, made_at=now)
    try:
        write_whole(file.absolute(), text, 0o644)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
    print(f"{file}: {len(run.scalings)} changes, {len(run.events)} events")
    for words in run.missing:
        print(f"Note: {words}")


def span(last: str | None, start: str | None, end: str | None, now: float) -> tuple[float, float]:
    """The time that is asked for, as Unix seconds.

    Raises:
        UsageError: it cannot be understood, or it is empty.
    """
    if last is not None and (start is not None or end is not None):
        raise UsageError("--last: not together with --from and --to")
    until = moment(end, now, option="--to") if end else now
    if start is None:
        return until - (now - moment(last or "30m", now, option="--last")), until
    begin = moment(start, now, option="--from")
    if begin >= until:
        raise UsageError(f"--from: {start!r} is not before the end ({end or 'now'})")
    return begin, until


def gather(cluster: Json, servers: list[Json], begin: float, until: float, state: State) -> Run:
    """Ask everybody who recorded something. Who does not answer is named in the report."""
    config = cluster.get("config") or {}
    run = Run(begin, until, str(cluster.get("name")), str(cluster.get("provider")))
    run.settings = settings_of(config, _defaults())
    scaler = clients.scaler(cluster, timeout_s=30)
    status: Json = {}
    try:
        status = scaler.status()
        usual_s = float(config.get("scaling_interval_s") or 10.0)
        add_ticks(run, _pages(scaler.ticks, _TICKS_MAX, begin, until), usual_s=usual_s)
        # An action that was begun in this time may have ended a little later.
        add_events(run, _pages(scaler.events, _EVENTS_MAX, begin, until + 300))
    except ClusterOpsError as error:
        run.missing.append(f"Scaling and its reasons: {error.message}")
    prometheus = Prometheus(config, timeout_s=15)
    _traffic(run, prometheus, scaler)
    run.alerts = prometheus.alerts() or []
    run.load = newest_within(loads(state.root / "load"), begin, until)
    run.versions = _versions(status, servers)
    return run


def _pages(
    read: Callable[..., list[Json]], most: int, begin: float, until: float
) -> Iterator[Json]:
    """What the scaler has recorded, newest first, page by page."""
    for _ in range(most // _PAGE):
        page = read(limit=_PAGE, after=begin, until=until)
        yield from page
        if len(page) < _PAGE:
            return
        until = seconds(page[-1]["at"]) - 0.001


def _traffic(run: Run, prometheus: Prometheus, scaler: ScalerClient) -> None:
    """The scaler keeps the last hour itself; Prometheus has more, at larger distances."""
    if time.time() - run.start < 3600:
        add_traffic(run, _told(scaler))
        covered = run.rate[0][0] - run.start if run.rate else run.seconds
        if covered < max(0.1 * run.seconds, 60):
            return
        for series in (run.rate, run.errors, run.p50, run.p95, run.p99):
            series.clear()
    step = max(run.seconds / _PROMETHEUS_POINTS, 5.0)
    run.rate = prometheus.span(RATE, run.start, run.end, step)
    if not run.rate:
        run.missing.append("Traffic: neither the scaler nor Prometheus recorded any in this time.")
        return
    run.errors = prometheus.span(ERROR_RATE, run.start, run.end, step)
    for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")):
        found = prometheus.span(quantile(share), run.start, run.end, step)
        setattr(run, name, [(at, value * 1000) for at, value in found])
    run.latency_from = "over 30 s each, from the load balancer's histograms"
    if not run.p99:
        run.missing.append("Latency at the load balancer: Prometheus has no histogram of it.")


def _told(scaler: ScalerClient) -> list[Json]:
    """The scaler's own points of the last hour; none where it does not tell any."""
    try:
        for name, data in event_stream.watch(scaler):
            return list(data.get("traffic_points") or []) if name == "snapshot" else []
    except ClusterOpsError:
        pass
    return []


def loads(folder: Path) -> list[Load]:
    """Results of `./playground load`; files that cannot be read are passed over."""
    found = []
    for path in sorted(folder.glob("*.json"))[-_LOADS_MAX:]:
        try:
            load = load_from(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
        if load is not None:
            found.append(load)
    return found


def _defaults() -> Json:
    from clusterops.config import ClusterConfig

    return ClusterConfig.model_construct().model_dump()


def _versions(status: Json, servers: list[Json]) -> list[tuple[str, str]]:
    application = status.get("application") or {}
    machines = [f"{each.get('name')}: {each.get('cpus')} CPUs, {each.get('memory_mb')} MiB"
                for each in servers]  # fmt: skip
    found = [
        ("playground", __version__),
        ("application", f"{application.get('name') or '-'} {application.get('release') or ''}"),
        ("machines", "; ".join(machines)),
        ("Python", platform.python_version()),
        ("host", f"{platform.system()} {platform.release()} {platform.machine()}"),
    ]
    for package in ("ansible-core", "docker"):
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return found
