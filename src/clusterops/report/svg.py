# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts over time as SVG, coloured by the page's style sheet. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from html import escape
from itertools import pairwise
from typing import Literal

Points = Sequence[tuple[float, float]]

WIDTH = 960
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 18, 24
POINTS_MAX = 480
_TIME_STEPS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)


@dataclass(frozen=True)
class Series:
    """One curve. ``kind`` is the class that gives it its colour."""

    name: str
    kind: str
    points: Points
    form: Literal["line", "area", "step"] = "line"
    dashed: bool = False


@dataclass(frozen=True)
class Limit:
    """A horizontal line with words."""

    value: float
    words: str


@dataclass(frozen=True)
class Mark:
    """A moment: a vertical line with a label above it, and words for whoever points at it."""

    at: float
    label: str
    words: str
    kind: str = "mark"


def chart(
    title: str,
    series: Sequence[Series],
    start: float,
    end: float,
    *,
    height: int = 180,
    top: float | None = None,
    limits: Sequence[Limit] = (),
    marks: Sequence[Mark] = (),
    zone: tzinfo | None = None,
) -> str:
    """The ``svg`` element of a chart from ``start`` to ``end`` (Unix seconds).

    Args:
        top: of the vertical axis; default: a round number above all values and limits.
        zone: of the times at the axis; default: this machine's.
    """
    values = [value for one in series for _, value in one.points]
    highest = max([*values, *(limit.value for limit in limits)], default=0.0)
    peak = top or nice_top(highest)
    floor, rise = height - _BOTTOM, height - _TOP - _BOTTOM

    def x(at: float) -> float:
        share = (at - start) / max(end - start, 1e-9)
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * min(max(share, 0.0), 1.0)

    def y(value: float) -> float:
        return floor - rise * min(max(value / peak, 0.0), 1.0)

    parts = [
        f'<path class="grid" d="M{_LEFT} {y(at):.1f}H{WIDTH - _RIGHT}"/>'
        f'<text class="tick" x="{_LEFT - 8}" y="{y(at) + 4:.1f}" text-anchor="end">{number(at)}'
        "</text>"
        for at in steps(peak, 4 if rise >= 100 else 2)
    ]
    parts += [
        f'<path class="grid soft" d="M{x(at):.1f} {_TOP}V{floor}"/>'
        f'<text class="tick" x="{x(at):.1f}" y="{height - 7}" text-anchor="middle">{words}</text>'
        for at, words in times(start, end, zone)
    ]
    parts += [_mark(mark, x(mark.at), floor, zone) for mark in marks if start <= mark.at <= end]
    for limit in limits:
        parts.append(
            f'<path class="limit" d="M{_LEFT} {y(limit.value):.1f}H{WIDTH - _RIGHT}"/>'
            f'<text class="limit" x="{WIDTH - _RIGHT - 4}" y="{y(limit.value) - 4:.1f}" '
            f'text-anchor="end">{escape(limit.words)}</text>'
        )
    for one in series:
        parts.append(_curve(one, start, end, x, y, floor))
    if not values:
        parts.append(
            f'<text class="none" x="{(WIDTH + _LEFT) / 2:.0f}" y="{_TOP + rise / 2:.0f}" '
            'text-anchor="middle">no figures</text>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _mark(mark: Mark, x: float, floor: float, zone: tzinfo | None) -> str:
    words = f"{clock(mark.at, zone)} {mark.words}"
    label = escape(mark.label)
    return (
        f'<g class="{escape(mark.kind)}"><title>{escape(words)}</title>'
        f'<path d="M{x:.1f} {_TOP - 4}V{floor}"/>'
        f'<circle cx="{x:.1f}" cy="{_TOP - 9}" r="8"/>'
        f'<text x="{x:.1f}" y="{_TOP - 5.5:.1f}" text-anchor="middle">{label}</text></g>'
    )


def _curve(
    one: Series,
    start: float,
    end: float,
    x: Callable[[float], float],
    y: Callable[[float], float],
    floor: float,
) -> str:
    inside = [(at, value) for at, value in one.points if start <= at <= end]
    kind = escape(one.kind) + (" dashed" if one.dashed else "")
    drawn = []
    for run in runs(thin(inside)):
        corners = list(stairs(run)) if one.form == "step" else list(run)
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in corners)
        if one.form != "line":
            left, right = x(corners[0][0]), x(corners[-1][0])
            drawn.append(
                f'<polygon class="{kind}" points="{left:.1f},{floor} {path} {right:.1f},{floor}"/>'
            )
        drawn.append(f'<polyline class="{kind}" points="{path}"/>')
    return "".join(drawn)


def thin(points: Points, most: int = POINTS_MAX) -> list[tuple[float, float]]:
    """At most about so many points: of each group the least and the greatest, in their order."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / (most / 2))
    kept: list[tuple[float, float]] = []
    for place in range(0, len(points), size):
        group = points[place : place + size]
        low, high = (choose(group, key=lambda point: point[1]) for choose in (min, max))
        kept += sorted({low, high})
    return kept


def runs(points: Points) -> Iterator[Points]:
    """Parts of a curve without a hole: four times the usual distance, and 20 s, is one."""
    if not points:
        return
    distances = sorted(b[0] - a[0] for a, b in pairwise(points))
    usual = distances[len(distances) // 2] if distances else 0.0
    hole = max(4 * usual, 20.0)
    begin = 0
    for place in range(1, len(points)):
        if points[place][0] - points[place - 1][0] > hole:
            yield points[begin:place]
            begin = place
    yield points[begin:]


def stairs(points: Points) -> Iterator[tuple[float, float]]:
    """Corners of a line that keeps its level."""
    level: float | None = None
    for at, value in points:
        if level is not None and value != level:
            yield at, level
        yield at, value
        level = value


def nice_top(value: float) -> float:
    """A round number above a value: 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    if value <= 0:
        return 1.0
    size: float = 10.0 ** math.floor(math.log10(value))
    return next(size * n for n in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12) if size * n >= value * 1.001)


def steps(top: float, about: int) -> list[float]:
    """Round numbers from 0 to the top, about so many."""
    size = 10.0 ** math.floor(math.log10(top / about))
    step = next(size * n for n in (1, 2, 2.5, 5, 10) if size * n * about >= top * 0.999)
    return [place * step for place in range(math.floor(top / step * 1.001) + 1)]


def times(start: float, end: float, zone: tzinfo | None = None) -> list[tuple[float, str]]:
    """Round times between two moments, and how they are written; at most ten."""
    span = max(end - start, 1.0)
    step = next((step for step in _TIME_STEPS if span / step <= 10), 86_400)
    # Round on the clock that is shown, whatever its zone.
    offset = _local(start, zone).utcoffset()
    shift = offset.total_seconds() if offset else 0.0
    first = math.ceil((start + shift) / step) * step - shift
    found = []
    at = first
    while at <= end:
        found.append((at, f"{_local(at, zone):{'%H:%M:%S' if step < 60 else '%H:%M'}}"))
        at += step
    # Words at the very edges would be cut.
    return [(at, words) for at, words in found if span * 0.02 < at - start < span * 0.985]


def clock(at: float, zone: tzinfo | None = None) -> str:
    """Hours, minutes and seconds."""
    return f"{_local(at, zone):%H:%M:%S}"


def _local(at: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone(zone)


def number(value: float) -> str:
    """A number as short as it can be read: 1200, 12.5, 0.25."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}" if value == 0 or abs(value) >= 0.01 else f"{value:.1e}"
