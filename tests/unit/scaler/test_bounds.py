# SPDX-License-Identifier: GPL-3.0-or-later
"""Which limits may be asked for, and what is left of them when cluster.yml changes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from clusterops.scaler.bounds import Bounds, bounds_from, checked, least

CONFIGURED = Bounds(2, 9)


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (Bounds(1, 4), Bounds(1, 4)),
        (Bounds(1, 9), Bounds(1, 9)),
        (Bounds(3, 12), Bounds(3, 9)),
        (Bounds(11, 12), Bounds(9, 9)),
    ],
)
def test_nothing_lies_beyond_the_maximum_of_cluster_yml(asked: Bounds, left: Bounds) -> None:
    assert asked.within(CONFIGURED) == left


def test_none_at_all_only_where_cluster_yml_has_that_too() -> None:
    assert [least(Bounds(low, 4)) for low in (0, 1, 2)] == [0, 1, 1]


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 9), (9, 9), (4, 5)])
def test_what_may_be_asked_for(low: int, high: int) -> None:
    assert checked(low, high, CONFIGURED) == Bounds(low, high)


def test_none_may_be_asked_for_where_cluster_yml_has_that() -> None:
    assert checked(0, 1, Bounds(0, 9)) == Bounds(0, 1)
    with pytest.raises(ValueError, match="max: found 0; allowed: a whole number from 1 to 9 "):
        checked(0, 0, Bounds(0, 9))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 4, "min: found 0; allowed: a whole number from 1 to 9 (agents_max in cluster.yml)"),
        (10, 4, "min: found 10; allowed: a whole number from 1 to 9 (agents_max in cluster.yml)"),
        (1, 10, "max: found 10; allowed: a whole number from 1 to 9 (agents_max in cluster.yml)"),
        (True, 4, "min: found True; allowed"),
        (1, True, "max: found True; allowed"),
        (None, 4, "min: found None; allowed"),
        (1, "4", "max: found '4'; allowed"),
        (1.0, 4, "min: found 1.0; allowed"),
        (5, 4, "min: 5 is more than max (4)"),
    ],
)
def test_what_may_not_be_asked_for_is_said_in_one_line(low: Any, high: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        checked(low, high, CONFIGURED)


def test_bounds_as_the_store_has_them() -> None:
    assert bounds_from({"min": "1", "max": 4}) == Bounds(1, 4)
    assert bounds_from(None) is None
    with pytest.raises(KeyError):
        bounds_from({"min": 1})
