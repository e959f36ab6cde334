# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

from clusterops.scaler.model import Limits
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.simulation.model import AgentModel
from clusterops.scaler.simulation.plot import POINTS_MAX, page, sample
from clusterops.scaler.simulation.run import Result, Tick, simulate
from clusterops.scaler.simulation.traces import Trace, named_trace

LIMITS = Limits(1, 4, 30.0, 30.0)
MODEL = AgentModel()


def run(trace: Trace, **options: Any) -> Result:
    return simulate(ThresholdPolicy(), LIMITS, trace, **options)


def series(text: str, kind: str) -> list[list[tuple[float, float]]]:
    """The points of every line of a kind, in the order of the page."""
    root = ElementTree.fromstring(text)  # noqa: S314 - the page was made here
    return [
        [
            (float(x), float(y))
            for x, y in (pair.split(",") for pair in line.attrib["points"].split())
        ]
        for line in root.iter("{http://www.w3.org/2000/svg}polyline")
        if line.attrib["class"] == kind
    ]


def test_a_page_is_well_formed_and_has_every_series_of_every_policy() -> None:
    trace = named_trace("step", 120.0)
    text = page([("a<b>", run(trace)), ("b&c", run(trace))], trace, MODEL)
    for kind in ("offered", "capacity", "agents", "desired", "errors"):
        assert len(series(text, kind)) == 2, kind
    agents = series(text, "agents")[0]
    # Heights on the page fall where numbers rise: one step up for each of three more agents.
    heights = [y for _, y in agents]
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == 4
    errors = [y for _, y in series(text, "errors")[0]]
    assert errors[0] == errors[-1] > min(errors)


def test_a_page_needs_nothing_from_elsewhere() -> None:
    trace = named_trace("spike", 120.0)
    text = page([("one", run(trace))], trace, MODEL)
    assert "prefers-color-scheme: dark" in text
    assert "<script" not in text and "<link" not in text and "@import" not in text
    addresses = set(re.findall(r"https?://[^\"]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "url(" not in text and "src=" not in text


def test_a_day_of_seconds_is_thinned_out_and_keeps_its_errors() -> None:
    quiet = [Tick(float(t), 10.0, 1, 1, 0.2, 0.0) for t in range(86_400)]
    quiet[50_001] = Tick(50_001.0, 99.0, 1, 1, 1.0, 49.0)
    points = sample(quiet)
    assert len(points) <= POINTS_MAX
    assert quiet[50_001] in points
    assert [tick.t for tick in points] == sorted(tick.t for tick in points)
    assert sample(quiet[:10]) == quiet[:10]


def test_a_trace_without_load_can_be_drawn() -> None:
    trace = Trace("none", (0.0,), (0.0,), 5.0)
    assert series(page([("one", run(trace))], trace, MODEL), "errors")


def test_a_page_tells_failures_where_agents_may_fail() -> None:
    trace = named_trace("step", 120.0)
    failing = AgentModel(failures_per_hour=10.0)
    result = run(trace, model=failing)
    assert result.totals.failures > 0
    assert f"<td>{result.totals.failures}</td></tr>" in page([("one", result)], trace, failing)
    assert "Failures" in page([("one", result)], trace, failing)
    assert "Failures" not in page([("one", run(trace))], trace, MODEL)


def test_a_page_of_a_run_without_ticks_has_empty_lines() -> None:
    trace = named_trace("step", 120.0)
    whole = run(trace)
    text = page([("nothing", replace(whole, ticks=()))], trace, MODEL)
    assert ElementTree.fromstring(text) is not None  # noqa: S314 - the page was made here
    assert series(text, "agents") in ([], [[]])
