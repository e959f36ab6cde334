# SPDX-License-Identifier: GPL-3.0-or-later
"""Curves made of characters. Pure."""

from __future__ import annotations

from collections.abc import Callable, Reversible, Sequence

Points = Reversible[tuple[float, float]]
Values = Sequence[float | None]

_BLOCKS = " ▁▂▃▄▅▆▇█"


def since(points: Points, start: float) -> list[tuple[float, float]]:
    """Points from a time on, and the last one before it; the others are not even looked at."""
    found = []
    for point in reversed(points):
        found.append(point)
        if point[0] <= start:
            break
    return found[::-1]


def resample(
    points: Points,
    now: float,
    span_s: float,
    cells: int,
    *,
    gap_s: float = 20.0,
    of: Callable[[list[float]], float] = lambda values: sum(values) / len(values),
) -> list[float | None]:
    """One value for each of ``cells`` equal parts of the last ``span_s`` seconds.

    Args:
        points: (time, value), oldest first.
        gap_s: a value holds for so long where no other one follows it.
        of: makes one value of several (their mean).
    """
    if cells < 1:
        return []
    step = span_s / cells
    start = now - span_s
    groups: list[list[float]] = [[] for _ in range(cells)]
    last: tuple[float, float] | None = None
    for at, value in since(points, start):
        if at <= start:
            last = (at, value)
        elif at <= now:
            groups[min(int((at - start) / step), cells - 1)].append(value)
    found: list[float | None] = []
    for place, group in enumerate(groups):
        end = start + (place + 1) * step
        if group:
            last = (end, group[-1])
            found.append(of(group))
        else:
            found.append(last[1] if last and end - last[0] <= gap_s + step else None)
    return found


def sparkline(values: Values, top: float | None = None) -> str:
    """One character for each value; the largest, or ``top``, is a full one."""
    highest = top or max((value for value in values if value is not None), default=0.0) or 1.0
    return "".join(
        " " if value is None else _BLOCKS[1 + min(max(int(value / highest * 8), 0), 7)]
        for value in values
    )


def chart(values: Values, height: int, top: float) -> list[str]:
    """Columns of blocks, as lines from the highest to the lowest; 0 stands on the ground."""
    lines = []
    for row in range(height - 1, -1, -1):
        cells = []
        for value in values:
            eighths = 0 if value is None else round(min(value / top, 1.0) * height * 8) - row * 8
            if row == 0 and value is not None:
                eighths = max(eighths, 1)
            cells.append(_BLOCKS[min(max(eighths, 0), 8)])
        lines.append("".join(cells))
    return lines


def round_up(value: float) -> float:
    """The next round number for the top of an axis: 1, 2, 5, 10, 20, 50, …"""
    if value <= 0:
        return 1.0
    size = 1.0
    while size * 10 <= value:
        size *= 10
    while size > value:
        size /= 10
    return next(size * step for step in (1, 2, 3, 5, 10) if size * step >= value * 0.999)
