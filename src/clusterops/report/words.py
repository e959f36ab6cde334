# SPDX-License-Identifier: GPL-3.0-or-later
"""A run in plain words. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import tzinfo
from itertools import pairwise

from clusterops.report.run import Run, Scaling, Series
from clusterops.report.svg import clock
from clusterops.scaler.explain import GUARDS
from clusterops.scaler.guards import agents

#: Changes that follow each other within so many seconds are one movement.
_ONE_MOVEMENT_S = 60.0


def summary(run: Run, zone: tzinfo | None = None) -> list[str]:
    """Sentences, the most important first."""
    return [
        *_traffic(run, zone),
        *_latency(run, zone),
        *_agents(run),
        *(_movement(group, zone) for group in movements(run.scalings)),
        *_held_back(run),
        *_troubles(run, zone),
        *_load(run),
    ]


def _traffic(run: Run, zone: tzinfo | None) -> Iterator[str]:
    total = integral(run.rate)
    if total < 1:
        yield (
            f"In {duration(run.seconds)} the load balancer had no traffic worth mentioning."
            if (run.rate)
            else "Nobody recorded how much traffic there was."
        )
        return
    at, most = max(run.rate, key=lambda point: point[1])
    average = total / max(run.rate[-1][0] - run.rate[0][0], 1.0)
    failed = integral(run.errors)
    share = f"{failed / total * 100:.2g} %"
    yield (
        f"In {duration(run.seconds)} the load balancer answered about {count(total)} requests: "
        f"{_round(average)} a second on average, {_round(most)} at the most, at {clock(at, zone)}. "
        + (
            "None of them ended with an error (5xx)."
            if failed < 0.5
            else f"About {count(failed)} of them ({share}) ended with an error (5xx)."
        )
    )


def _latency(run: Run, zone: tzinfo | None) -> Iterator[str]:
    if not run.p99:
        return
    at, worst = max(run.p99, key=lambda point: point[1])
    usual = statistics.median(value for _, value in run.p99)
    where = ""
    for one in run.scalings:
        if one.at - 20 <= at <= one.at + (one.done_s or 0.0) + 20:
            where = f", while the cluster {'grew' if one.up else 'shrank'}"
            break
    yield (
        f"p99 never exceeded {_ms(worst)}: it was {_ms(usual)} most of the time, and highest at "
        f"{clock(at, zone)}{where}."
    )


def _agents(run: Run) -> Iterator[str]:
    if not run.serving:
        yield "The scaler recorded nothing in this time."
        return
    numbers = [int(value) for _, value in run.serving]
    low, high = min(numbers), max(numbers)
    if low == high:
        yield f"{agents(low).capitalize()} served all the time."
    else:
        yield f"Between {low} and {agents(high)} served, {_mean(run.serving):.1f} on average."
    if low == 0:
        yield "At times no agent was in service."


def movements(scalings: list[Scaling]) -> list[list[Scaling]]:
    """Changes in the same direction that follow each other closely, together."""
    groups: list[list[Scaling]] = []
    for one in scalings:
        last = groups[-1][-1] if groups else None
        if last and last.up == one.up and one.at - last.at <= _ONE_MOVEMENT_S:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _movement(group: list[Scaling], zone: tzinfo | None) -> str:
    first, last = group[0], group[-1]
    verb = "grew" if first.up else "shrank"
    when = f"at {clock(first.at, zone)}"
    if len(group) > 1:
        when = f"from {clock(first.at, zone)} to {clock(last.at, zone)}"
    text = (
        f"The cluster {verb} from {first.before} to {agents(last.after)} {when}, because "
        f"{first.reason}"
    )
    if last.done_s is not None:
        text += f"; that was done {duration(last.at - first.at + last.done_s)} later"
    return f"{text}."


def _held_back(run: Run) -> Iterator[str]:
    if not run.held_back:
        return
    parts = [
        f"{guard.replace('_', ' ')} ({duration(spent)})"
        for guard, spent in sorted(run.held_back.items(), key=lambda pair: -pair[1])
    ]
    worst = max(run.held_back, key=lambda guard: run.held_back[guard])
    why = f" {worst.replace('_', ' ').capitalize()}: {GUARDS[worst]}" if worst in GUARDS else ""
    yield f"A wish to scale was held back by {listed(parts)}.{why}"


def _troubles(run: Run, zone: tzinfo | None) -> Iterator[str]:
    for event in run.events:
        who = event.get("agent") or "an action"
        told = f"at {clock(event['at'], zone)}: {event['message']}."
        if event["kind"] == "ejected":
            yield f"{who} was taken out of service {told}"
        elif event["kind"] == "failed":
            yield f"Something failed with {who} {told}"
        elif event["kind"] == "alarm":
            yield f"There was an alarm {told}"


def _load(run: Run) -> Iterator[str]:
    if run.load is None:
        return
    head = run.load.head
    totals = head.get("totals")
    totals = totals if isinstance(totals, dict) else {}
    how = (
        "requests came at their times, whether answers had come or not (open loop)"
        if head.get("open_loop")
        else "each user waited for an answer before the next request (closed loop)"
    )
    text = f"The load generator ran the profile '{head.get('profile')}'"
    if isinstance(head.get("duration_s"), int | float):
        text += f" for {duration(float(head['duration_s']))}"
    text += f"; {how}."
    if isinstance(totals.get("requests"), int):
        failures = totals.get("failures") or 0
        text += f" Of {count(totals['requests'])} requests "
        text += "none failed" if not failures else f"{count(failures)} failed"
        latency = totals.get("latency_ms")
        if isinstance(latency, dict) and isinstance(latency.get("p99"), int | float):
            text += f", and the client saw a p99 of {_ms(latency['p99'])}"
        text += "."
    yield text


def integral(series: Series) -> float:
    """What a rate per second amounts to; where nothing was recorded, nothing is counted."""
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(series) if b[0] - a[0] <= 60)


def _mean(series: Series) -> float:
    return sum(value for _, value in series) / len(series)


def duration(seconds: float) -> str:
    """``45 s``, ``3 min``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def count(value: float) -> str:
    """``12,300``: not more digits than are known."""
    whole = round(value)
    return f"{whole:,}"


def listed(parts: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _round(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _ms(value: float) -> str:
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"
