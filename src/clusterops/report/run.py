# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a run, put together from what the services recorded. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
Series = list[tuple[float, float]]

#: Events that are told one by one; the others are told by decisions and ticks.
TOLD = ("decision", "started", "finished", "failed", "cancelled", "ejected", "restored", "alarm",
        "alarm_cleared", "desired", "deployed", "paused", "resumed")  # fmt: skip
_URL_SECRET = re.compile(r"(?<=://)[^/@\s]*@")
_SECRET_KEY = re.compile(r"(password|passwd|secret|token|api_?key|credential)", re.IGNORECASE)


@dataclass(frozen=True)
class Scaling:
    """A change of the number of agents that are wanted."""

    at: float
    before: int
    after: int
    reason: str
    rules: tuple[str, ...] = ()
    done_s: float | None = None  # until the last agent of it had joined, or left

    @property
    def up(self) -> bool:
        return self.after > self.before


@dataclass
class Run:
    """A span of time (Unix seconds) of one cluster."""

    start: float
    end: float
    cluster: str
    provider: str
    rate: Series = field(default_factory=list)
    errors: Series = field(default_factory=list)
    p50: Series = field(default_factory=list)
    p95: Series = field(default_factory=list)
    p99: Series = field(default_factory=list)
    cpu: Series = field(default_factory=list)
    memory: Series = field(default_factory=list)
    serving: Series = field(default_factory=list)
    wanted: Series = field(default_factory=list)
    agent_cpu: dict[str, Series] = field(default_factory=dict)
    scalings: list[Scaling] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    held_back: dict[str, float] = field(default_factory=dict)  # guard -> seconds
    load: Load | None = None
    alerts: list[Json] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    versions: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    latency_from: str = ""

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def setting(self, key: str) -> Any:
        return next((one.raw for one in self.settings if one.key == key), None)


@dataclass(frozen=True)
class Setting:
    """An effective value of cluster.yml; ``text`` has no secret in it."""

    key: str
    text: str
    default: bool
    raw: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Load:
    """What `./playground load` measured: its head, and a row for each second."""

    head: Json
    rows: list[Json]
    start: float
    end: float

    def series(self, key: str) -> Series:
        """One figure over time."""
        return [
            (row["_at"], float(row[key]))
            for row in self.rows
            if isinstance(row.get(key), int | float)
        ]


def add_ticks(run: Run, ticks: Iterable[Mapping[str, Any]], *, usual_s: float = 10.0) -> None:
    """Take figures and decisions of recorded ticks, newest first or oldest first.

    Args:
        usual_s: the scaler's interval; for how long a tick stands at most is twice that.
    """
    known = sorted(((seconds(tick["at"]), tick) for tick in ticks), key=lambda pair: pair[0])
    for place, (at, tick) in enumerate(known):
        if not run.start <= at <= run.end:
            continue
        serving = [agent for agent in tick["agents"] if agent["pool"] == "in_service"]
        for series, key in ((run.cpu, "cpu_percent"), (run.memory, "memory_percent")):
            values = [agent[key] for agent in serving if agent[key] is not None]
            if values:
                series.append((at, sum(values) / len(values)))
        for agent in serving:
            if agent["cpu_percent"] is not None:
                run.agent_cpu.setdefault(agent["name"], []).append((at, agent["cpu_percent"]))
        decision, before = tick["decision"], tick["state"]["desired"]
        if run.wanted and before != run.wanted[-1][1]:
            asked = Scaling(at, int(run.wanted[-1][1]), before, "it was asked for by hand")
            run.scalings.append(asked)
        run.serving.append((at, len(serving)))
        run.wanted.append((at, decision["desired"]))
        if decision["desired"] != before:
            # Rules of the other direction say nothing about this one.
            other = "_below" if decision["desired"] > before else "_above"
            rules = tuple(
                _rule(one)
                for one in decision["verdicts"]
                if one["fired"] and not one["rule"].endswith(other)
            )
            scaling = Scaling(at, before, decision["desired"], decision["reason"], rules)
            run.scalings.append(scaling)
        guard = decision["blocked_by"]
        wished = decision.get("wished")
        # An idle cluster at its minimum is held back by nothing that anybody wonders about.
        if guard not in (None, "min") and isinstance(wished, int) and wished != decision["desired"]:
            until = known[place + 1][0] if place + 1 < len(known) else at + usual_s
            run.held_back[guard] = run.held_back.get(guard, 0.0) + min(until - at, 2 * usual_s)


def _rule(verdict: Mapping[str, Any]) -> str:
    value = "unknown" if verdict["value"] is None else f"{verdict['value']:.0f}"
    return f"{verdict['rule'].replace('_', ' ')} {verdict['limit']:g} (it was {value})"


def add_events(run: Run, events: Iterable[Mapping[str, Any]]) -> None:
    """Take events, and find out how long each change of the number took."""
    rows = sorted(({**event, "at": seconds(event["at"])} for event in events),
                  key=lambda event: event["at"])  # fmt: skip
    inside = [event for event in rows if run.start <= event["at"] <= run.end]
    run.events = [event for event in inside if event["kind"] in TOLD]
    if not run.scalings:  # ticks are kept for a day, events for longer
        run.scalings = [found for event in inside if (found := _scaling(event))]
    for place, one in enumerate(run.scalings):
        until = run.scalings[place + 1].at if place + 1 < len(run.scalings) else run.end
        kind = "scale_up" if one.up else "scale_down"
        done = [event["at"] for event in rows if event["kind"] == "finished"
                and event.get("action") == kind and one.at <= event["at"] <= until]  # fmt: skip
        if done:
            last = max(done[: abs(one.after - one.before)])
            run.scalings[place] = replace(one, done_s=last - one.at)


def _scaling(event: Mapping[str, Any]) -> Scaling | None:
    """A decision, out of its event: ``from 1 to 2: average CPU …``."""
    found = re.match(r"from (\d+) to (\d+): (.*)", str(event.get("message", "")), re.DOTALL)
    if event["kind"] != "decision" or not found:
        return None
    return Scaling(event["at"], int(found[1]), int(found[2]), found[3])


def add_traffic(run: Run, points: Iterable[Mapping[str, Any]]) -> None:
    """Take points of traffic in the form in which the scaler tells them."""
    for point in sorted(points, key=lambda point: float(point["at"])):
        at = float(point["at"])
        if run.start <= at <= run.end:
            for series, key in (
                (run.rate, "requests_per_s"),
                (run.errors, "errors_per_s"),
                (run.p50, "p50_ms"),
                (run.p95, "p95_ms"),
                (run.p99, "p99_ms"),
            ):
                if isinstance(point.get(key), int | float):
                    series.append((at, float(point[key])))


def load_from(document: Any) -> Load | None:
    """A results file of `./playground load`; None for anything else."""
    if not isinstance(document, dict):
        return None
    head = {key: value for key, value in document.items() if key != "seconds"}
    try:
        start = seconds(head["started_at"])
        found = [{**row, "_at": seconds(row["at"])} for row in document.get("seconds") or []]
        length = float(head.get("duration_s") or (found[-1]["_at"] - start if found else 0.0))
    except (KeyError, TypeError, ValueError):
        return None
    return Load(head, found, start, max([start + length, *(row["_at"] for row in found[-1:])]))


def newest_within(loads: Sequence[Load], start: float, end: float) -> Load | None:
    """The last run of load that was under way in a span of time."""
    inside = [one for one in loads if one.start < end and one.end > start]
    return max(inside, key=lambda one: one.start, default=None)


def settings_of(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Setting]:
    """Effective values, those that were changed first. Nothing secret is left in them."""
    rows = [
        Setting(key, text_of(key, value), key in defaults and defaults[key] == value, value)
        for key, value in config.items()
    ]
    return sorted(rows, key=lambda one: one.default)


def text_of(key: str, value: Any) -> str:
    """A value as it is shown. Variables of the application may be secrets: names are enough."""
    if value is None or value == "" or value == {} or value == []:
        return "-"
    if _SECRET_KEY.search(key):
        return "(hidden)"
    if key == "application_env" and isinstance(value, Mapping):
        return ", ".join(f"{name} (hidden)" for name in sorted(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {text_of(str(name), one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(text_of("", one) for one in value)
    return _URL_SECRET.sub("(hidden)@", str(value))


def seconds(at: Any) -> float:
    """Unix seconds of a number, or of an ISO 8601 text (UTC where it has no zone)."""
    if isinstance(at, int | float):
        return float(at)
    moment = datetime.fromisoformat(str(at))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
