# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, timedelta, timezone
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.report import svg
from clusterops.report.svg import Limit, Mark, Series, chart, nice_top, runs, steps, thin, times

SPACE = "{http://www.w3.org/2000/svg}"
START = 1_795_644_000.0  # 22:00:00 UTC


def drawn(*series: Series, height: int = 180, **more: object) -> ElementTree.Element:
    text = chart("A title", series, START, START + 600, height=height, zone=UTC, **more)  # type: ignore[arg-type]
    return ElementTree.fromstring(text)  # noqa: S314 - it is our own


def lines(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return [
        [
            (float(x), float(y))
            for x, y in (pair.split(",") for pair in line.get("points", "").split())
        ]
        for line in root.iter(f"{SPACE}polyline")
    ]


def words(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SPACE}text")]


def test_a_curve_goes_from_left_to_right_and_higher_values_stand_higher() -> None:
    root = drawn(Series("x", "cpu", [(START, 0.0), (START + 10, 100.0)]), top=100.0)
    ((x1, y1), (x2, y2)) = lines(root)[0]
    assert x1 < x2
    assert y1 > y2
    assert (y1, y2) == (180 - 24, 18)
    assert root.find(f"{SPACE}title").text == "A title"  # type: ignore[union-attr]


def test_axes_have_round_numbers_and_times() -> None:
    root = drawn(Series("x", "cpu", [(START, 87.0)]))
    assert {"0", "25", "50", "75", "100"} <= set(words(root))
    assert {"22:01", "22:05", "22:09"} <= set(words(root))


def test_a_hole_in_the_record_is_a_hole_in_the_curve() -> None:
    points = [(START + second, 1.0) for second in (0, 10, 20, 200, 210)]
    assert [len(line) for line in lines(drawn(Series("x", "cpu", points)))] == [3, 2]


def test_a_step_keeps_its_level_until_the_next_value() -> None:
    points = [(START, 1.0), (START + 10, 2.0)]
    (line,) = lines(drawn(Series("x", "serving", points, "step"), top=2.0))
    assert [y for _, y in line] == [line[0][1], line[0][1], 18.0]
    assert line[1][0] == line[2][0]


def test_what_is_outside_of_the_time_is_not_drawn() -> None:
    points = [(START - 5, 1.0), (START + 5, 1.0), (START + 700, 1.0)]
    assert [len(line) for line in lines(drawn(Series("x", "cpu", points)))] == [1]


def test_limits_and_marks_carry_words_and_are_escaped() -> None:
    mark = Mark(START + 60, "1", 'from 1 to 2: <b>"busy"</b>', "mark up")
    outside = Mark(START + 6000, "9", "later")
    root = drawn(
        Series("x", "cpu", [(START, 1.0)]), limits=[Limit(70.0, "up above 70 %")],
        marks=[mark, outside], top=100.0,
    )  # fmt: skip
    assert "up above 70 %" in words(root)
    (group,) = root.iter(f"{SPACE}g")
    assert group.find(f"{SPACE}title").text == '22:01:00 from 1 to 2: <b>"busy"</b>'  # type: ignore[union-attr]
    assert "9" not in words(root)


def test_limits_fit_on_the_axis_and_nothing_at_all_says_so() -> None:
    assert "80" in words(drawn(Series("x", "cpu", [(START, 1.0)]), limits=[Limit(70.0, "limit")]))
    assert "no figures" in words(drawn(Series("x", "cpu", [])))


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=2000))
def test_thinning_keeps_what_stands_out(values: list[float]) -> None:
    points = [(float(at), value) for at, value in enumerate(values)]
    kept = thin(points, 100)
    assert len(kept) <= max(101, 2)
    assert kept == sorted(kept)
    assert max(value for _, value in kept) == max(values)
    assert min(value for _, value in kept) == min(values)


@given(st.floats(1e-6, 1e9))
def test_axes_end_above_the_values_at_a_round_number(value: float) -> None:
    top = nice_top(value)
    assert value < top <= value * 2.1
    marks = steps(top, 4)
    assert marks[0] == 0
    assert 2 <= len(marks) <= 6
    assert marks[-1] <= top * 1.01


@pytest.mark.parametrize("span", [30, 100, 600, 1800, 7200, 86_400, 400_000])
def test_there_are_a_few_round_times(span: int) -> None:
    found = times(START + 7, START + 7 + span, UTC)
    assert 1 <= len(found) <= 10


def test_times_are_round_on_the_clock_that_is_shown() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    assert times(START, START + 4 * 3600, india)[0][1] == "04:00"
    assert svg.clock(START, india) == "03:30:00"


def test_runs_of_nothing_and_of_one() -> None:
    assert list(runs([])) == []
    assert list(runs([(1.0, 2.0)])) == [[(1.0, 2.0)]]


def test_numbers_are_short() -> None:
    assert [svg.number(value) for value in (0, 0.25, 75, 1200, 25_000, 0.0004)] == [
        "0", "0.25", "75", "1200", "25k", "4.0e-04",
    ]  # fmt: skip
