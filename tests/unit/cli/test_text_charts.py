# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.cli.text_charts import chart, resample, round_up, sparkline


def test_each_cell_is_the_mean_of_its_part_of_the_time() -> None:
    points = [(1.0, 10.0), (2.0, 20.0), (7.0, 40.0)]
    assert resample(points, now=10.0, span_s=10.0, cells=2) == [15.0, 40.0]


def test_a_value_holds_until_the_next_one_but_not_for_ever() -> None:
    assert resample([(1.0, 5.0)], now=100.0, span_s=100.0, cells=5, gap_s=30.0) == [
        5.0, 5.0, 5.0, None, None,
    ]  # fmt: skip


def test_what_was_before_the_span_holds_at_its_beginning_only_if_it_is_near() -> None:
    assert resample([(-5.0, 5.0)], now=100.0, span_s=100.0, cells=2, gap_s=20.0)[0] == 5.0
    assert resample([(-500.0, 5.0)], now=100.0, span_s=100.0, cells=2, gap_s=20.0)[0] is None


def test_points_of_the_future_and_no_cells_at_all() -> None:
    assert resample([(200.0, 1.0)], now=100.0, span_s=10.0, cells=1) == [None]
    assert resample([(99.0, 1.0)], now=100.0, span_s=10.0, cells=0) == []


def test_a_sparkline_has_a_blank_where_nothing_is_known() -> None:
    assert sparkline([0, 4, None, 8]) == "▁▅ █"
    assert sparkline([25, 50], top=100) == "▃▅"
    assert sparkline([None, None]) == "  "
    assert sparkline([0, 0]) == "▁▁"


def test_a_chart_is_as_high_as_its_values() -> None:
    assert chart([0, 50, 100, None], 2, 100) == [
        "  █ ",
        "▁██ ",
    ]
    assert chart([75], 2, 100) == ["▄", "█"]
    assert chart([500], 2, 100) == ["█", "█"]


@given(
    st.lists(st.none() | st.floats(0, 1e6), max_size=50), st.integers(1, 12), st.floats(0.01, 1e6)
)
def test_a_chart_always_fills_its_rectangle(
    values: list[float | None], height: int, top: float
) -> None:
    lines = chart(values, height, top)
    assert [len(line) for line in lines] == [len(values)] * height


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (0.07, 0.1), (1, 1), (1.1, 2), (2.4, 3), (9, 10), (11, 20), (430, 500), (2000, 2000)],
)
def test_axes_end_at_round_numbers(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)
