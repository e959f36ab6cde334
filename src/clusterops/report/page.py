# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as one HTML page: nothing from elsewhere, light and dark, on screen and on paper. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from clusterops.report import svg, words
from clusterops.report.run import Run, text_of
from clusterops.report.svg import Limit, Mark

AGENTS_SHOWN = 8
_AGENT_KINDS = ("a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8")


@dataclass(frozen=True)
class Figure:
    """A chart, its title and the keys of its curves (class, name, dashed)."""

    title: str
    drawing: Markup
    keys: tuple[tuple[str, str, bool], ...]
    note: str = ""


class Number(NamedTuple):
    """A figure of the head of the page."""

    value: str
    unit: str
    words: str
    bad: bool = False


def page(run: Run, *, made_at: float, zone: tzinfo | None = None) -> str:
    """The whole file."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["clock"] = lambda at: svg.clock(at, zone)
    environment.filters["duration"] = words.duration
    text = files("clusterops.report").joinpath("report.html.j2").read_text("utf-8")
    return environment.from_string(text).render(
        run=run,
        title=f"Run of {run.cluster}, {_day(run.start, zone)}",
        span=_span(run, zone),
        made_at=f"{_day(made_at, zone)} {svg.clock(made_at, zone)}",
        zone=_local(run.end, zone).tzname() or "UTC",
        sentences=words.summary(run, zone),
        numbers=list(numbers(run)),
        figures=list(figures(run, zone)),
        labels=labels(run),
        load=load_facts(run),
        changed=[one for one in run.settings if not one.default],
        defaults=[one for one in run.settings if one.default],
    )


def numbers(run: Run) -> Iterator[Number]:
    """What somebody wants to know first."""
    total, failed = words.integral(run.rate), words.integral(run.errors)
    if total >= 1:
        peak = max(value for _, value in run.rate)
        yield Number(words.count(total), "", "requests")
        yield Number(f"{peak:.0f}", "/s", "requests at the most")
        share = failed / total * 100
        yield Number(f"{share:.2g}" if failed >= 0.5 else "0", "%", "errors (5xx)", share >= 1)
    for name, series in (("p50", run.p50), ("p99", run.p99)):
        if series:
            value = statistics.median(value for _, value in series)
            yield Number(f"{value:.3g}", "ms", f"{name}, most of the time")
    if run.serving:
        counts = [int(value) for _, value in run.serving]
        low, high = min(counts), max(counts)
        yield Number(f"{low}" if low == high else f"{low} to {high}", "", "agents in service")
    yield Number(str(len(run.scalings)), "", "changes of their number")


def load_facts(run: Run) -> list[tuple[str, str]]:
    """What the load generator says about its run, apart from its figures of each second."""
    if run.load is None:
        return []
    totals = run.load.head.get("totals")
    facts = {**run.load.head, **(totals if isinstance(totals, dict) else {})}
    facts.pop("totals", None)
    return [
        (key.replace("_", " "), text_of(key, value))
        for key, value in facts.items()
        if value not in (None, "", [], {})
    ]


def labels(run: Run) -> dict[float, str]:
    """Time of each change of the number -> its label in the charts and the table."""
    return {one.at: str(place) for place, one in enumerate(run.scalings, 1)}


def marks(run: Run) -> list[Mark]:
    """The changes of the number, and what went wrong, for the charts."""
    known = labels(run)
    found = [
        Mark(
            one.at,
            known[one.at],
            f"from {one.before} to {one.after}: {one.reason}",
            "mark up" if one.up else "mark down",
        )
        for one in run.scalings
    ]
    for event in run.events:
        if event["kind"] in ("failed", "ejected", "alarm"):
            who = f"{event['agent']} " if event.get("agent") else ""
            found.append(Mark(event["at"], "!", f"{who}{event['message']}", "mark bad"))
    return found


def figures(run: Run, zone: tzinfo | None = None) -> Iterator[Figure]:
    """The charts, all over the same time."""
    load = run.load

    def figure(title: str, *series: svg.Series, note: str = "", **more: object) -> Figure:
        drawing = svg.chart(
            title, series, run.start, run.end, marks=marks(run), zone=zone, **more  # type: ignore[arg-type]
        )  # fmt: skip
        keys = tuple((one.kind, one.name, one.dashed) for one in series)
        return Figure(title, Markup(drawing), keys, note)  # noqa: S704 - svg escapes all words

    wanted_rate = load.series("rate_wanted") if load else []
    yield figure(
        "Requests a second",
        svg.Series("answered", "rate", run.rate, "area"),
        *([svg.Series("sent by the load profile", "sent", wanted_rate, dashed=True)]
          if wanted_rate else []),
        *([svg.Series("errors (5xx)", "errors", run.errors)]
          if any(value for _, value in run.errors) else []),
        height=210,
    )  # fmt: skip
    if run.p99:
        yield figure(
            "Latency at the load balancer, ms",
            *(svg.Series(name, name, series)
              for name, series in (("p50", run.p50), ("p95", run.p95), ("p99", run.p99))),
            note=run.latency_from,
        )  # fmt: skip
    if load:
        yield figure(
            "Latency at the client, ms",
            *(svg.Series(name, name, load.series(f"{name}_ms")) for name in ("p50", "p95", "p99")),
            note="measured by the load generator"
            + (", from the moment a request was due" if load.head.get("open_loop") else ""),
        )
    yield figure(
        "Agents",
        svg.Series("in service", "serving", run.serving, "step"),
        svg.Series("wanted", "wanted", list(svg.stairs(run.wanted)), dashed=True),
        height=150,
        top=float(max([value for _, value in [*run.serving, *run.wanted]], default=1) + 1),
    )
    for title, series, metric in (("CPU", run.cpu, "cpu"), ("Memory", run.memory, "memory")):
        yield figure(
            f"{title} of the agents in service, %",
            svg.Series("average", metric, series, "area"),
            top=100.0,
            limits=_limits(run, metric),
            height=170,
        )
    if 1 < len(run.agent_cpu) <= AGENTS_SHOWN:
        curves = sorted(run.agent_cpu.items())
        yield figure(
            "CPU of each agent, %",
            *(svg.Series(name, kind, series)
              for (name, series), kind in zip(curves, _AGENT_KINDS, strict=False)),
            top=100.0,
            height=170,
        )  # fmt: skip


def _limits(run: Run, metric: str) -> list[Limit]:
    """The thresholds of the policy that is in force, if it has any."""
    if run.setting("scaling_policy") not in (None, "threshold") or run.setting("scaling_policies"):
        return []
    found = []
    for key, title in (("up", "up above"), ("down", "down below")):
        value = run.setting(f"scale_{key}_{metric}_percent")
        if isinstance(value, int | float):
            found.append(Limit(float(value), f"{title} {value:g} %"))
    return found


def _span(run: Run, zone: tzinfo | None) -> str:
    first, last = _day(run.start, zone), _day(run.end, zone)
    end = svg.clock(run.end, zone) if first == last else f"{last} {svg.clock(run.end, zone)}"
    return f"{first} {svg.clock(run.start, zone)} to {end}"


def _day(at: float, zone: tzinfo | None) -> str:
    return f"{_local(at, zone):%Y-%m-%d}"


def _local(at: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone(zone)
