# SPDX-License-Identifier: GPL-3.0-or-later
"""How much load when, and the moments at which requests are due."""

from __future__ import annotations

import json
from bisect import bisect_left
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clusterops.errors import UsageError
from clusterops.load import profiles
from clusterops.load.open_options import OpenOptions
from clusterops.load.profiles import SHAPES, Profile, arrivals, named
from clusterops.scaler.simulation.traces import TRACES, Trace

names = st.sampled_from(sorted(SHAPES))
rates = st.floats(0.1, 500)
durations = st.floats(1, 60)
URL = "http://127.0.0.1:1"


def wanted(profile: Profile, until: float, steps: int = 4_000) -> float:
    """How many requests should have come by then: the rate, summed up finely."""
    step = until / steps
    return sum(profile.at((place + 0.5) * step) for place in range(steps)) * step


@given(names, rates, durations, st.floats(-10, 100))
def test_a_rate_is_never_above_what_was_asked_for(
    name: str, rate: float, duration: float, at: float
) -> None:
    found = named(name, rate, duration).at(at)
    assert 0 <= found <= rate * (1 + 1e-12)
    assert (found == 0) == (not 0 <= at < duration)


@pytest.mark.parametrize("name", SHAPES)
def test_a_profile_reaches_the_rate_that_was_asked_for(name: str) -> None:
    profile = named(name, 200, 100)
    assert max(profile.at(t / 10) for t in range(1000)) == pytest.approx(200, rel=0.001)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("constant", [100, 100, 100, 100, 100]),
        ("step", [20, 20, 100, 100, 100]),
        ("spike", [20, 20, 100, 20, 20]),
        ("ramp", [10, 32.5, 66.25, 88.75, 100]),
        ("wave", [10, 91.4, 10, 91.4, 10]),
    ],
)
def test_the_shapes(name: str, found: list[float]) -> None:
    profile = named(name, 100, 100)
    at = [0, 20, 50, 70, 99.99]
    assert [profile.at(t) for t in at] == pytest.approx(found, rel=0.02)


@settings(deadline=None, max_examples=40)
@given(names, rates, durations, st.integers())
@example("spike", 500, 60, 1)
def test_even_arrivals_follow_the_rate(name: str, rate: float, duration: float, seed: int) -> None:
    profile = named(name, rate, duration)
    due = list(arrivals(profile, "uniform", seed))
    assert all(before <= after for before, after in pairwise(due))
    assert not due or (due[0] >= 0 and due[-1] <= duration)
    slack = 1 + rate * profiles.SLOT_S
    for share in (0.25, 0.5, 1.0):
        come = bisect_left(due, share * duration)
        assert abs(come - wanted(profile, share * duration)) <= slack


@settings(deadline=None, max_examples=40)
@given(names, st.floats(50, 500), st.integers(0, 1000))
def test_arrivals_by_chance_are_as_many_and_irregular(name: str, rate: float, seed: int) -> None:
    profile = named(name, rate, 20)
    due = list(arrivals(profile, "poisson", seed))
    mean = wanted(profile, 20)
    assert abs(len(due) - mean) < 6 * mean**0.5  # once in 10**9
    assert due == sorted(due)
    assert due == list(arrivals(profile, "poisson", seed))
    assert due != list(arrivals(profile, "poisson", seed + 1))


def test_gaps_by_chance_vary_as_those_of_strangers() -> None:
    due = list(arrivals(named("constant", 500, 60), "poisson", 1))
    gaps = [after - before for before, after in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation / mean == pytest.approx(1, abs=0.03)  # of even ones it is 0


def test_a_profile_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="constant, step, ramp, spike, wave, replay"):
        named("flood", 1, 1)


# --- traces ----------------------------------------------------------------------------------


def test_a_trace_is_fitted_into_another_time_and_rate() -> None:
    trace = Trace("t", (0.0, 100.0, 150.0), (10.0, 40.0, 20.0), 200.0)
    as_it_is = profiles.replayed(trace, None, None)
    assert (as_it_is.rate, as_it_is.duration_s) == (40, 200)
    assert [as_it_is.at(t) for t in (0, 99, 100, 149, 199, 200)] == [10, 10, 40, 40, 20, 0]
    fitted = profiles.replayed(trace, 80, 20)
    assert [fitted.at(t) for t in (0, 9.9, 10, 14.9, 19.9, 20)] == [20, 20, 80, 80, 40, 0]
    with pytest.raises(UsageError, match="no load in it"):
        profiles.replayed(Trace("t", (0.0,), (0.0,), 1.0), None, None)


def test_traces_come_from_names_and_files(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("seconds,requests_per_s\n0,5\n30,9\n60,1\n")
    (tmp_path / "t.json").write_text(json.dumps([[0, 5], [30, 9], [60, 1]]))
    for file in ("t.csv", "t.json"):
        made = OpenOptions(URL, "replay", str(tmp_path / file)).made()
        assert (made.rate, made.duration_s, made.at(31)) == (9, 60, 9)
    flash = OpenOptions(URL, "replay", "flash-crowd", 80.0, 120.0).made()
    assert (flash.rate, flash.duration_s, flash.name) == (80, 120, "replay flash-crowd")
    assert set(TRACES) >= {"flash-crowd", "daily"}


@pytest.mark.parametrize(
    "text", ["{", "{}", "[]", "[[0]]", '[["0", 1]]', "[[0, -1]]", "[[5, 1], [5, 2]]", "[[0, true]]"]
)
def test_a_json_trace_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"t\.json"):
        OpenOptions(URL, "replay", str(path)).made()


# --- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"rate": 0}, "--rate: found 0, allowed: 0.1 to 5000"),
        ({"rate": float("nan")}, "--rate: found nan"),
        ({"duration_s": 3601}, "--duration: found 3601"),
        ({"outstanding": 0}, "--outstanding"),
        ({"arrivals": "often"}, "--arrivals: found 'often', allowed: poisson, uniform"),
        ({"profile": "replay"}, "--trace: belongs to --profile replay"),
        ({"trace": "daily"}, "--trace: belongs to --profile replay"),
        ({"path": "health"}, "--path"),
    ],
)
def test_options_out_of_range(given_: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError) as found:
        OpenOptions(URL, **given_)  # type: ignore[arg-type]
    assert told in found.value.message


def test_a_day_is_too_long_to_replay_as_it_is() -> None:
    with pytest.raises(UsageError, match="--duration: found 86400") as found:
        OpenOptions(URL, "replay", "daily").made()
    assert "--duration fit a trace" in (found.value.remedy or "")


@pytest.mark.parametrize(
    "options",
    [
        OpenOptions(URL),
        OpenOptions(URL, "spike", rate=20, duration_s=5, arrivals="uniform", seed=7, path="/a=b"),
        OpenOptions(URL, "replay", "daily", outstanding=3, timeout_s=0.5, duration_s=30),
    ],
)
def test_the_runner_gets_the_same_options(options: OpenOptions) -> None:
    assert OpenOptions.from_arguments(options.command_line()) == options
    assert all(each.startswith("--") for each in options.command_line())
