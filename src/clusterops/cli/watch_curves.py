# SPDX-License-Identifier: GPL-3.0-or-later
"""The curves of `status --watch`: a line for each, or charts where there is room. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from clusterops.cli import text_charts
from clusterops.cli.watch_state import WatchState

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

SPAN_S = 300.0


class _Curve(NamedTuple):
    title: str
    series: str
    unit: str
    colour: str
    top: float | None = None


CURVES = (
    _Curve("Requests/s", "rate", "", "cyan"),
    _Curve("Latency p95", "p95", "ms", "magenta"),
    _Curve("CPU", "cpu", "%", "green", 100.0),
    _Curve("Memory", "memory", "%", "blue", 100.0),
    _Curve("In service", "serving", "", "yellow"),
)


def spark(points: Any, now: float, cells: int, top: float | None, colour: str) -> Text:
    from rich.text import Text

    values = text_charts.resample(points, now, SPAN_S, cells)
    return Text(text_charts.sparkline(values, top), style=colour)


def _last(state: WatchState, series: str, now: float) -> float | None:
    """The latest value, unless it is old."""
    points = state.series[series]
    return points[-1][1] if points and now - points[-1][0] < 30 else None


def _figures(state: WatchState, curve: _Curve, now: float) -> str:
    """What stands beside a curve: the value, and what it is to be compared with."""
    value = _last(state, curve.series, now)
    words = f"{number(value)} {curve.unit}".strip()
    if curve.series == "rate":
        errors = _last(state, "errors", now)
        words += f"   errors/s {number(errors)}"
        if state.traffic and state.traffic.get("in_flight") is not None:
            words += f"   in flight {state.traffic['in_flight']}"
    elif curve.series == "p95":
        p50, p99 = (number(_last(state, name, now)) for name in ("p50", "p99"))
        words = f"p50 {p50}  p95 {number(value)}  p99 {p99} ms" if value else "not known"
    elif curve.series == "serving":
        words += f" of {number(_last(state, 'wanted', now))} wanted"
    limits = [
        (str(rule).removeprefix(curve.series).lstrip("_").replace("_", " "), limit, fired)
        for rule, _value, limit, fired in state.verdicts
        if str(rule).split("_")[0].lower() == curve.series
    ]
    for rule, limit, fired in limits:
        word = {"above": "up above", "below": "down below"}.get(rule, rule)
        words += f"   {word} {limit:g} {curve.unit}" + (" ●" if fired else "")
    return words


def lines(state: WatchState, now: float, width: int) -> Table:
    """A line for each curve."""
    from rich.table import Table
    from rich.text import Text

    cells = max(min(width - 58, 60), 10)
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for least in (max(len(curve.title) for curve in CURVES), cells, None):
        table.add_column(no_wrap=True, overflow="ellipsis", min_width=least)
    for curve in CURVES:
        top = curve.top or (_of(state, "wanted", now) if curve.series == "serving" else None)
        table.add_row(
            Text(curve.title, style="bold"),
            spark(state.series[curve.series], now, cells, top, curve.colour),
            Text(_figures(state, curve, now)),
        )
    return table


def _of(state: WatchState, series: str, now: float) -> float:
    """The largest value that is shown of a series."""
    return highest(state.series[series], now)


def highest(points: text_charts.Points, now: float) -> float:
    return max((value for _, value in text_charts.since(points, now - SPAN_S)), default=0.0)


def charts(state: WatchState, now: float, width: int, rows: int) -> list[RenderableType]:
    """Curves in two columns; the last one stands alone, with the agents wanted beside it."""
    from rich.table import Table

    cells = (width - 2) // 2 - 8
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False, expand=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    drawn = [_chart(state, curve, now, cells, rows) for curve in CURVES]
    drawn.append(_chart(state, _Curve("Errors/s", "errors", "", "red"), now, cells, rows))
    for left, right in zip(drawn[::2], drawn[1::2], strict=True):
        grid.add_row(left, right)
    return ["", grid]


def _chart(state: WatchState, curve: _Curve, now: float, cells: int, rows: int) -> Text:
    from rich.text import Text

    largest = _of(state, curve.series, now)
    if curve.series == "serving":
        largest = max(largest, _of(state, "wanted", now))
    top = curve.top or text_charts.round_up(largest)
    values = text_charts.resample(state.series[curve.series], now, SPAN_S, cells)
    text = Text(curve.title, style="bold", no_wrap=True, overflow="ellipsis")
    text.append(f"  {_figures(state, curve, now)}\n", style="not bold")
    marks = {0: top, rows - 1: 0.0}
    limits = {rows - 1 - min(int(limit / top * rows), rows - 1): limit
              for rule, _value, limit, _fired in state.verdicts
              if str(rule).split("_")[0].lower() == curve.series}  # fmt: skip
    for place, line in enumerate(text_charts.chart(values, rows, top)):
        mark = limits.get(place, marks.get(place))
        text.append(f"{'' if mark is None else number(mark):>6} ", style="not bold dim")
        if place in limits:
            # The threshold shows where the curve is below it.
            for cell in line:
                style = "not bold dim" if cell == " " else f"not bold {curve.colour}"
                text.append("╌" if cell == " " else cell, style=style)
            text.append("\n")
        else:
            text.append(f"{line}\n", style=f"not bold {curve.colour}")
    return text


def number(value: float | None) -> str:
    if value is None:
        return "-"
    if value == int(value) or value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")
