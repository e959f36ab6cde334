# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from pathlib import Path

import pytest

from clusterops.errors import UsageError
from clusterops.scaler.simulation.traces import TRACES, named_trace, read_trace


@pytest.mark.parametrize("name", TRACES)
def test_named_traces_stay_within_their_peak_and_are_the_same_every_time(name: str) -> None:
    trace = named_trace(name, 120.0)
    assert min(trace.rates) >= 0
    assert 100 <= max(trace.rates) <= 120
    assert trace.rates != (trace.rates[0],) * len(trace.rates)
    assert trace == named_trace(name, 120.0)


def test_named_traces_have_the_shape_of_their_names() -> None:
    step = named_trace("step", 100.0)
    assert (step.at(599), step.at(600), step.at(3599)) == (20, 100, 100)
    daily = named_trace("daily", 100.0, hours=48)
    assert daily.duration_s == 48 * 3600
    assert (round(daily.at(0)), round(daily.at(43_200)), round(daily.at(86_400))) == (10, 100, 10)
    spike = named_trace("spike", 100.0)
    assert [spike.at(t) for t in (1190, 1200, 1310, 1320)] == [20, 100, 100, 20]
    crowd = named_trace("flash-crowd", 100.0)
    assert [round(crowd.at(t)) for t in (590, 660, 7190)] == [10, 100, 10]
    assert crowd.at(630) > 50 > crowd.at(2400)


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(UsageError) as caught:
        named_trace("weekly", 100.0)
    assert "'weekly'" in caught.value.message
    assert all(name in caught.value.message for name in TRACES)


@pytest.mark.parametrize("header", ["", "seconds,requests_per_s\n", "\ufeffseconds,rate\n\n"])
def test_a_file_is_a_step_function(tmp_path: Path, header: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"{header}10, 5\n\n20,7.5\n60,0\n", encoding="utf-8")
    trace = read_trace(path)
    assert [trace.at(t) for t in (0, 9.9, 10, 19.9, 20, 59.9, 1000)] == [0, 0, 5, 5, 7.5, 7.5, 0]
    assert (trace.next_change(0), trace.next_change(10), trace.next_change(60)) == (
        10,
        20,
        math.inf,
    )
    assert (trace.name, trace.duration_s) == ("mine.csv", 60)
    assert read_trace(path, hours=2).duration_s == 7200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no values"),
        ("seconds,rate\n", "has no values"),
        ("0,1\n10,x\n", "line 2: found '10,x'"),
        ("a,b\nc,d\n", "line 2: found 'c,d'"),
        ("0,1\n10\n", "line 2: found '10'"),
        ("0,1,2\n", "line 1: found '0,1,2'"),
        ("0,-1\n", "line 1: found '0,-1'"),
        ("0,inf\n", "line 1: found '0,inf'"),
        ("0,1\n0,2\n", "0 s comes after 0 s"),
        ("10,1\n5,2\n", "5 s comes after 10 s"),
        ("0,1\n", "the last line is at 0 s"),
        ("0,1\n1e9,1\n", "the last line is at 1e+09 s"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_trace(path)
    assert caught.value.message.startswith(str(path))
    assert words in caught.value.message
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_one_line_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_trace(tmp_path / "none.csv")
    (tmp_path / "picture.csv").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_trace(tmp_path / "picture.csv")
