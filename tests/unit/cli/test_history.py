# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime

import pytest

from clusterops.cli.history import moment
from clusterops.errors import UsageError

NOON = datetime(2026, 5, 6, 12, 0, 0).astimezone().timestamp()


@pytest.mark.parametrize(
    ("text", "seconds_before_noon"),
    [
        ("10m", 600),
        ("1.5h", 5400),
        ("30s", 30),
        ("2d", 172_800),
        ("11:59", 60),
        ("11:58:30", 90),
        ("2026-05-06T11:00:00", 3600),
        ("12:30", 86_400 - 1800),  # yesterday's
    ],
)
def test_times_as_people_write_them(text: str, seconds_before_noon: float) -> None:
    assert NOON - moment(text, NOON) == pytest.approx(seconds_before_noon, abs=1)


def test_a_zone_counts() -> None:
    assert moment("2026-05-06T10:00:00Z", NOON) == 1_778_061_600


@pytest.mark.parametrize("text", ["", "noon", "25:00", "11:60", "-5m", "2026-13-01"])
def test_anything_else_is_one_clear_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"--at: found .*allowed: 14:05"):
        moment(text, NOON)
