# SPDX-License-Identifier: GPL-3.0-or-later
"""The offered load over time: made by name, or read from a CSV or JSON file."""

from __future__ import annotations

import csv
import json
import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from clusterops.errors import UsageError

#: Named traces have a value for each of these steps, seconds.
STEP_S = 10.0
HOURS_MAX = 24.0 * 31
_FORM = "each line is seconds,requests_per_s, such as 600,120"


@dataclass(frozen=True)
class Trace:
    """Requests per second over time.

    A step function: each rate holds from its time to the next one, the last one for ever. Before
    the first time there is no load.

    Attributes:
        times: seconds from the start, ascending.
        rates: requests per second, one for each time.
        duration_s: how long a simulation of it lasts, seconds.
    """

    name: str
    times: tuple[float, ...]
    rates: tuple[float, ...]
    duration_s: float

    def at(self, seconds: float) -> float:
        """Requests per second at that time."""
        place = bisect_right(self.times, seconds)
        return self.rates[place - 1] if place else 0.0

    def next_change(self, seconds: float) -> float:
        """When the next rate begins; infinity if none does."""
        place = bisect_right(self.times, seconds)
        return self.times[place] if place < len(self.times) else math.inf


# Each yields shares of the peak, one for each of STEP_S, without end.
Shape = Callable[[], Iterator[float]]


def _of_time(share: Callable[[float], float]) -> Shape:
    def values() -> Iterator[float]:
        place = 0
        while True:
            yield share(place * STEP_S)
            place += 1

    return values


def _step(at: float) -> float:
    return 0.2 if at < 600 else 1.0


def _ramp(at: float) -> float:
    return 0.1 + 0.9 * min(at / 3600, 1.0)


def _spike(at: float) -> float:
    return 1.0 if 1200 <= at < 1320 else 0.2


def _daily(at: float) -> float:
    return 0.1 + 0.9 * (1 - math.cos(2 * math.pi * at / 86_400)) / 2


def _flash_crowd(at: float) -> float:
    since = at - 600
    if since < 0:
        return 0.1
    return 0.1 + 0.9 * (since / 60 if since < 60 else math.exp(-(since - 60) / 1200))


def _noise() -> Iterator[float]:
    generator = random.Random(1)  # noqa: S311 - the same noise every time
    while True:
        yield min(max(generator.gauss(0.5, 0.15), 0.0), 1.0)


#: Name -> what it is, its shape, and its usual length in hours.
TRACES: dict[str, tuple[str, Shape, float]] = {
    "step": ("a fifth of the peak, after 10 minutes all of it", _of_time(_step), 1.0),
    "ramp": ("from a tenth to the peak within an hour, then level", _of_time(_ramp), 1.5),
    "spike": ("a fifth, with two minutes at the peak", _of_time(_spike), 1.0),
    "daily": ("a wave: a tenth at midnight, the peak at noon", _of_time(_daily), 24.0),
    "flash-crowd": ("up within a minute, away within an hour", _of_time(_flash_crowd), 2.0),
    "noise": ("around a half, another value every 10 seconds", _noise, 2.0),
}


def named_trace(name: str, peak_rps: float, hours: float | None = None) -> Trace:
    """The trace of that name.

    Args:
        peak_rps: the highest rate of it, requests per second.
        hours: how long; None for its usual length.

    Raises:
        UsageError: there is no such trace (the message lists those that exist).
    """
    if name not in TRACES:
        raise UsageError(
            f"--trace: found {name!r}; allowed: {', '.join(TRACES)}, or the path of a CSV file",
            remedy=f"in such a file, {_FORM}",
        )
    _, shape, usual = TRACES[name]
    duration = (usual if hours is None else hours) * 3600
    count = math.ceil(duration / STEP_S)
    shares = shape()
    rates = tuple(next(shares) * peak_rps for _ in range(count))
    return Trace(name, tuple(place * STEP_S for place in range(count)), rates, duration)


def read_trace(path: Path, hours: float | None = None) -> Trace:
    """A trace from a file of seconds and requests per second.

    CSV, where a header may be first, or (NAME.json) a JSON list of pairs.

    Args:
        hours: how long; None for the time of the last line.

    Raises:
        UsageError: the file cannot be used; one line that says where and why.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text", remedy=_FORM) from error
    points = _pairs(text, path) if path.suffix == ".json" else _points(text, path)
    _check_ascending(points, path)
    if not points:
        raise UsageError(f"{path}: has no values", remedy=_FORM)
    times, rates = (tuple(column) for column in zip(*points, strict=True))
    duration = times[-1] if hours is None else hours * 3600
    if not 0 < duration <= HOURS_MAX * 3600:
        raise UsageError(
            f"{path}: the last line is at {times[-1]:g} s; "
            f"allowed: more than 0, at most {HOURS_MAX * 3600:g} s",
            remedy="give --hours, or a last line with the time of the end",
        )
    return Trace(path.name, times, rates, duration)


def _points(text: str, path: Path) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    reader = csv.reader(text.splitlines())
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UsageError(f"{path}: is not valid CSV: {error}", remedy=_FORM) from error
    for place, (line, row) in enumerate(rows):
        try:
            values = [float(cell) for cell in row]
        except ValueError:
            values = []
        good = len(values) == 2 and all(math.isfinite(value) and value >= 0 for value in values)
        if good:
            points.append((values[0], values[1]))
        elif place or len(row) != 2 or values:  # the first line may be a header
            shown = ",".join(row)[:60]
            raise UsageError(
                f"{path} line {line}: found {shown!r}; expected two numbers that are not negative",
                remedy=_FORM,
            )
    return points


def _pairs(text: str, path: Path) -> list[tuple[float, float]]:
    form = "expected pairs such as [[0, 10], [600, 120]], no number of them negative"
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is not valid JSON", remedy=form) from error
    if not isinstance(found, list) or not all(map(_is_pair, found)):
        raise UsageError(f"{path}: is not a list of pairs of numbers", remedy=form)
    return [(float(at), float(rate)) for at, rate in found]


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(
            isinstance(each, int | float) and not isinstance(each, bool) and 0 <= each < math.inf
            for each in value
        )
    )


def _check_ascending(points: list[tuple[float, float]], path: Path) -> None:
    for (before, _), (after, _) in pairwise(points):
        if after <= before:
            raise UsageError(
                f"{path}: {after:g} s comes after {before:g} s; allowed: ascending times"
            )
