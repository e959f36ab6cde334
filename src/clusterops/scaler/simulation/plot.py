# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulations as one HTML file: drawn as SVG, light or dark, nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from clusterops.scaler.simulation.model import AgentModel
from clusterops.scaler.simulation.report import Named, conditions, rows
from clusterops.scaler.simulation.run import Tick
from clusterops.scaler.simulation.traces import Trace

POINTS_MAX = 1500
_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 64, 16, 12, 28
_STEPS_OF_TIME = (10, 30, 60, 300, 600, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200)

_STYLE = """
:root { color-scheme: light dark; --back: #fcfcfb; --ink: #1b1b1a; --dim: #63625e; --grid: #e4e3df;
  --offered: #2a78d6; --capacity: #1a8a5c; --agents: #6a4fc4; --desired: #b06a00;
  --errors: #c93632; }
@media (prefers-color-scheme: dark) {
  :root { --back: #191918; --ink: #f2f1ee; --dim: #a3a29c; --grid: #383834;
    --offered: #5a9fee; --capacity: #3fb984; --agents: #a18bf0; --desired: #e0a040;
    --errors: #f0716c; } }
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; background: var(--back);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
p { color: var(--dim); }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin: 2rem 0 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; color: var(--dim); }
.key { display: inline-block; width: 1.4em; height: 0; margin: 0 .4em 0 .8em;
  border-top: 2.5px solid; vertical-align: middle; }
.key.desired { border-top-style: dashed; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--dim); font-size: 12px; } svg .grid { stroke: var(--grid); }
polyline { fill: none; stroke: currentColor; stroke-width: 1.6; stroke-linejoin: round; }
polyline.desired { stroke-dasharray: 5 4; }
.offered { color: var(--offered); } .capacity { color: var(--capacity); }
.agents { color: var(--agents); } .desired { color: var(--desired); }
.errors { color: var(--errors); }
"""


class _Series(NamedTuple):
    kind: str
    label: str
    value: Callable[[Tick], float]


def page(results: Named, trace: Trace, model: AgentModel) -> str:
    """The text of the file; it is XML, too."""
    title = f"Simulation: {trace.name}"
    body = [f"<h1>{escape(title)}</h1>", f"<p>{escape(conditions(trace, model))}</p>"]
    body.append(_table(rows(results, model)))
    charts = _charts(model)
    tops = [_top(results, chart) for _, chart in charts]  # policies are compared by eye
    for name, result in results:
        body.append(f"<h2>{escape(name)}</h2>")
        ticks = sample(result.ticks)
        for (height, chart), top in zip(charts, tops, strict=True):
            body.append(_figure(ticks, chart, height, trace.duration_s, top))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def sample(ticks: Sequence[Tick], most: int = POINTS_MAX) -> list[Tick]:
    """At most so many ticks; of each group the one with the most errors, then the most load."""
    size = math.ceil(len(ticks) / most) or 1
    return [
        max(ticks[place : place + size], key=lambda tick: (tick.errors_per_s, tick.offered_rps))
        for place in range(0, len(ticks), size)
    ]


def _charts(model: AgentModel) -> list[tuple[int, list[_Series]]]:
    """Height and series of each."""
    return [
        (
            240,
            [
                _Series("offered", "offered load, requests/s", lambda tick: tick.offered_rps),
                _Series(
                    "capacity",
                    "capacity in service, requests/s",
                    lambda tick: tick.in_service * model.capacity_rps,
                ),
            ],
        ),
        (
            170,
            [
                _Series("agents", "agents in service", lambda tick: tick.in_service),
                _Series("desired", "agents wanted", lambda tick: tick.desired),
            ],
        ),
        (120, [_Series("errors", "errors, requests/s", lambda tick: tick.errors_per_s)]),
    ]


def _top(results: Named, chart: Sequence[_Series]) -> float:
    """The largest value of a chart over all policies; 1 if there is none above 0."""
    return (
        max(
            (one.value(tick) for _, result in results for tick in result.ticks for one in chart),
            default=0.0,
        )
        or 1.0
    )


def _table(lines: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in lines[0])
    body = (
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>"
        for line in lines[1:]
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _figure(
    ticks: Sequence[Tick], chart: Sequence[_Series], height: int, duration_s: float, top: float
) -> str:
    keys = "".join(
        f'<span class="key {one.kind}"></span><span>{escape(one.label)}</span>' for one in chart
    )
    names = " and ".join(one.label for one in chart)
    rise = height - _TOP - _BOTTOM

    def x(seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / duration_s

    def y(value: float) -> float:
        return _TOP + rise * (1 - value / top)

    grid = "".join(
        f'<path class="grid" d="M{_LEFT} {y(at):.1f}H{_WIDTH - _RIGHT}"/>'
        f'<text x="{_LEFT - 8}" y="{y(at) + 4:.1f}" text-anchor="end">{at:g}</text>'
        for at in _marks(top, 4 if rise > 100 else 2)
    )
    grid += "".join(
        f'<text x="{x(at):.1f}" y="{height - 8}" text-anchor="middle">{_clock(at)}</text>'
        for at in _times(duration_s)
    )
    lines = "".join(
        f'<polyline class="{one.kind}" points="'
        + " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in _stairs(ticks, one, duration_s))
        + '"/>'
        for one in chart
    )
    return (
        f"<figure><figcaption>{keys}</figcaption>"
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f"<title>{escape(names)} over time</title>{grid}{lines}</svg></figure>"
    )


def _stairs(
    ticks: Sequence[Tick], series: _Series, duration_s: float
) -> Iterator[tuple[float, float]]:
    """Corners of a line that keeps its level from one change to the next."""
    level: float | None = None
    for tick in ticks:
        value = series.value(tick)
        if value != level:
            if level is not None:
                yield tick.t, level
            yield tick.t, value
            level = value
    if level is not None:
        yield duration_s, level


def _marks(top: float, about: int) -> list[float]:
    """Round numbers from 0 to the top."""
    size = 10 ** math.floor(math.log10(top / about))
    step = next(size * n for n in (1, 2, 5, 10) if size * n * about >= top * 0.999)
    return [place * step for place in range(math.floor(top / step * 1.001) + 1)]


def _times(duration_s: float) -> list[float]:
    fitting = (step for step in _STEPS_OF_TIME if duration_s / step <= 12)
    step = next(fitting, 86_400 * math.ceil(duration_s / 86_400 / 12))
    return [float(at) for at in range(0, math.floor(duration_s) + 1, step)]


def _clock(seconds: float) -> str:
    """Hours and minutes from the start, and seconds where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    text = f"{minutes // 60}:{minutes % 60:02}"
    return f"{text}:{rest:02}" if rest else text
