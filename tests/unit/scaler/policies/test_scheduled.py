# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from croniter import croniter

from clusterops.scaler.policies import scheduled
from clusterops.scaler.policies.scheduled import ScheduledPolicy
from clusterops.scaler.policy import Recommendation, Situation
from tests.unit.scaler.builders import agent, seen

OFFICE: dict[str, Any] = {
    "cron": "0 8 * * 1-5",
    "time_zone": "Europe/Berlin",
    "duration_s": 36_000,
    "min": 3,
    "max": 8,
    "desired": 4,
}


def situation(when: str, desired: int = 2) -> Situation:
    """Two idle agents at a moment: ISO 8601 with an offset."""
    agents = [agent(n, cpu_percent=1.0, memory_percent=1.0) for n in (1, 2)]
    now = datetime.fromisoformat(when).timestamp()
    return Situation(seen(*agents), desired, now, frozenset(a.name for a in agents))


def wish_of(when: str, *schedules: dict[str, Any], desired: int = 2) -> Recommendation:
    return ScheduledPolicy(schedules=list(schedules)).recommend(situation(when, desired))


@pytest.mark.parametrize(
    ("when", "active"),
    [
        ("2026-01-05T07:59:59.9+01:00", False),  # a Monday
        ("2026-01-05T08:00:00+01:00", True),
        ("2026-01-05T17:59:59.9+01:00", True),
        ("2026-01-05T18:00:00+01:00", False),
        ("2026-01-03T12:00:00+01:00", False),  # a Saturday
        ("2026-07-06T07:30:00+02:00", False),
        ("2026-07-06T06:00:00+00:00", True),  # 08:00 in Berlin
        ("2026-07-06T16:00:00+00:00", False),
    ],
)
def test_active_from_the_match_for_its_duration(when: str, active: bool) -> None:
    wish = wish_of(when, OFFICE)
    assert (wish.low, wish.high) == ((3, 8) if active else (None, None))
    assert wish.silent is not active
    assert wish.direction == ("up" if active else "none")


@pytest.mark.parametrize(
    ("desired", "direction", "target"), [(2, "up", 4), (4, "none", 4), (7, "down", 4)]
)
def test_desired_is_a_wish_in_both_directions(desired: int, direction: str, target: int) -> None:
    wish = wish_of("2026-01-05T12:00:00+01:00", OFFICE, desired=desired)
    assert (wish.direction, wish.target(desired), wish.silent) == (direction, target, False)
    assert (wish.low, wish.high) == (3, 8)
    assert wish.reason == "schedule '0 8 * * 1-5' until 2026-01-05 18:00 CET: 4 agents"


def test_an_empty_cluster_may_be_wished_for() -> None:
    nothing = {"cron": "0 8 * * *", "duration_s": 3600, "max": 0, "desired": 0}
    wish = wish_of("2026-01-05T08:00:00+00:00", nothing)
    assert (wish.direction, wish.wanted, wish.low, wish.high) == ("down", 0, None, 0)


def test_bounds_alone_are_no_opinion() -> None:
    bounds = {**OFFICE}
    del bounds["desired"]
    wish = wish_of("2026-01-05T12:00:00+01:00", bounds)
    assert (wish.direction, wish.silent, wish.low, wish.high) == ("none", True, 3, 8)


@pytest.mark.parametrize(
    ("cron", "when", "active"),
    [
        # 29 March 2026, Berlin: 02:00 CET is 03:00 CEST.
        ("0 1 * * *", "2026-03-29T01:59:59+01:00", True),
        ("0 1 * * *", "2026-03-29T03:00:00+02:00", False),  # one elapsed hour later
        ("30 2 * * *", "2026-03-29T01:59:59+01:00", False),
        ("30 2 * * *", "2026-03-29T03:00:00+02:00", True),  # skipped: right after the gap
        ("30 2 * * *", "2026-03-29T04:00:00+02:00", False),
        ("30 2 * * *", "2026-03-30T02:29:59+02:00", False),
        ("30 2 * * *", "2026-03-30T02:30:00+02:00", True),
        ("0 8 * * *", "2026-03-28T07:30:00+00:00", True),
        ("0 8 * * *", "2026-03-29T06:30:00+00:00", True),  # an hour earlier in UTC
        ("0 8 * * *", "2026-03-29T07:30:00+00:00", False),
        # 25 October 2026, Berlin: 03:00 CEST is 02:00 CET; the hour from 02:00 comes twice.
        ("0 1 * * *", "2026-10-25T02:00:00+02:00", False),
        ("30 2 * * *", "2026-10-25T02:29:00+02:00", False),
        ("30 2 * * *", "2026-10-25T02:31:00+02:00", True),
        ("30 2 * * *", "2026-10-25T02:31:00+01:00", True),
        ("30 2 * * *", "2026-10-25T03:30:00+01:00", False),
        ("0 8 * * *", "2026-10-24T06:30:00+00:00", True),
        ("0 8 * * *", "2026-10-25T06:30:00+00:00", False),
        ("0 8 * * *", "2026-10-25T07:30:00+00:00", True),
    ],
)
def test_the_clock_of_the_time_zone_counts_on_the_days_when_it_changes(
    cron: str, when: str, active: bool
) -> None:
    wish = wish_of(when, {"cron": cron, "time_zone": "Europe/Berlin", "duration_s": 3600, "min": 3})
    assert wish.low == (3 if active else None)


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-24", 24), ("2026-10-25", 25)],
)
def test_an_hourly_schedule_begins_once_in_every_elapsed_hour(day: str, hours: int) -> None:
    policy = ScheduledPolicy(
        schedules=[
            {"cron": "0 * * * *", "time_zone": "Europe/Berlin", "duration_s": 60, "desired": 4}
        ]
    )
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    active = [
        not policy.recommend(Situation(seen(), 4, midnight + 60 * minute, frozenset())).silent
        for minute in range(60 * hours)
    ]
    assert [minute for minute, is_active in enumerate(active) if is_active] == [
        60 * hour for hour in range(hours)
    ]


NIGHT = {"cron": "0 20 * * *", "duration_s": 43_200, "min": 1, "max": 2, "desired": 2}
BATCH = {"cron": "0 22 * * *", "duration_s": 3600, "max": 6}
DAY = {"cron": "0 22 * * *", "duration_s": 7200, "max": 7, "desired": 5}


@pytest.mark.parametrize(
    ("when", "schedules", "expected"),
    [
        ("2026-01-05T21:00:00+00:00", (BATCH, NIGHT), (1, 2, 2)),
        # The one that began last decides; what it does not say, the one before it does.
        ("2026-01-05T22:00:00+00:00", (BATCH, NIGHT), (1, 6, 2)),
        ("2026-01-05T22:00:00+00:00", (NIGHT, BATCH), (1, 6, 2)),
        ("2026-01-05T23:00:00+00:00", (NIGHT, BATCH), (1, 2, 2)),
        # Of those that began together, the later one in the list.
        ("2026-01-05T22:30:00+00:00", (NIGHT, BATCH, DAY), (1, 7, 5)),
        ("2026-01-05T22:30:00+00:00", (NIGHT, DAY, BATCH), (1, 6, 5)),
        ("2026-01-05T23:30:00+00:00", (NIGHT, DAY, BATCH), (1, 7, 5)),
        # Past midnight.
        ("2026-01-06T07:59:00+00:00", (NIGHT, DAY, BATCH), (1, 2, 2)),
    ],
)
def test_of_several_active_schedules_the_last_to_begin_decides(
    when: str, schedules: tuple[dict[str, Any], ...], expected: tuple[int, int, int]
) -> None:
    wish = wish_of(when, *schedules, desired=3)
    assert (wish.low, wish.high, wish.wanted) == expected


def test_a_schedule_that_overlaps_its_own_next_start_never_ends() -> None:
    always = {"cron": "0 * * * *", "duration_s": 5400, "desired": 3}
    for minute in range(0, 60, 7):
        assert wish_of(f"2026-01-05T10:{minute:02}:00+00:00", always).wanted == 3


@pytest.mark.parametrize(
    ("when", "changes", "reason"),
    [
        (
            "2026-03-28T12:00:00+01:00",
            {},
            "no schedule is active; '0 8 * * 1-5' begins 2026-03-30 08:00 CEST",
        ),
        (
            "2026-03-30T12:00:00+02:00",
            {},
            "schedule '0 8 * * 1-5' until 2026-03-30 18:00 CEST: 4 agents",
        ),
        (
            "2026-01-05T12:00:00+00:00",
            {"desired": None, "time_zone": "UTC"},
            "schedule '0 8 * * 1-5' until 2026-01-05 18:00 UTC: 3 to 8 agents",
        ),
        (
            "2026-01-05T12:00:00+00:00",
            {"desired": None, "max": None, "min": 1, "time_zone": None},
            "schedule '0 8 * * 1-5' until 2026-01-05 18:00 UTC: at least 1 agent",
        ),
        (
            "2026-01-05T12:00:00+00:00",
            {"desired": None, "max": None, "min": 0, "time_zone": None},
            "schedule '0 8 * * 1-5' until 2026-01-05 18:00 UTC: at least 0 agents",
        ),
        (
            "2026-01-05T12:00:00+00:00",
            {"desired": None, "min": None, "time_zone": None},
            "schedule '0 8 * * 1-5' until 2026-01-05 18:00 UTC: at most 8 agents",
        ),
    ],
)
def test_says_which_schedule_counts_or_comes_next(
    when: str, changes: dict[str, Any], reason: str
) -> None:
    schedule = {key: value for key, value in {**OFFICE, **changes}.items() if value is not None}
    assert wish_of(when, schedule).reason == reason


def test_the_next_of_several_is_the_one_that_begins_first() -> None:
    wish = wish_of("2026-01-05T12:00:00+00:00", BATCH, NIGHT, OFFICE | {"duration_s": 60})
    assert wish.reason == "no schedule is active; '0 20 * * *' begins 2026-01-05 20:00 UTC"


@pytest.mark.parametrize(("duration_s", "active"), [(60, False), (604_800, True)])
def test_a_schedule_lasts_from_a_minute_to_a_week(duration_s: int, active: bool) -> None:
    weekly = {"cron": "0 8 * * 1", "duration_s": duration_s, "min": 3}
    assert wish_of("2026-01-12T07:59:59+00:00", weekly).low == (3 if active else None)


def test_utc_needs_no_time_zone_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError(f"No time zone found with key {name}")

    monkeypatch.setattr(scheduled, "ZoneInfo", nothing)
    with pytest.raises(ValueError, match="'Europe/Berlin'; allowed is a name"):
        wish_of("2026-01-05T23:30:00+00:00", OFFICE)
    assert wish_of("2026-01-05T23:30:00+00:00", DAY).wanted == 5


FIVE = "allowed are five fields: minute hour day month weekday"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cron": "61 * * * *"}, f"cron: found '61 * * * *'; {FIVE}"),
        ({"cron": "* * * *"}, f"cron: found '* * * *'; {FIVE}"),
        ({"cron": "* * * * * *"}, f"cron: found '* * * * * *'; {FIVE}"),
        ({"cron": "@daily"}, f"cron: found '@daily'; {FIVE}"),
        ({"cron": None}, f"cron: found None; {FIVE}"),
        ({"cron": "0 0 30 2 *"}, f"cron: found '0 0 30 2 *'; {FIVE}"),  # never comes
        ({"cron": "R 8 * * *"}, f"cron: found 'R 8 * * *'; {FIVE} (without R and H)"),
        ({"cron": "H(0-5) 8 * * *"}, f"cron: found 'H(0-5) 8 * * *'; {FIVE} (without R and H)"),
        ({"time_zone": "Europe/Nowhere"}, "time_zone: found 'Europe/Nowhere'; allowed is a name"),
        ({"time_zone": "Europe"}, "time_zone: found 'Europe'; allowed is a name"),
        ({"time_zone": 1}, "time_zone: found 1; allowed is a name"),
        ({"duration_s": 59}, "duration_s: found 59; allowed is a number of seconds from 60 to"),
        ({"duration_s": 604_801}, "duration_s: found 604801; allowed is a number of seconds"),
        ({"duration_s": "1h"}, "duration_s: found '1h'; allowed is a number of seconds"),
        ({"duration_s": None}, "duration_s: found None; allowed is a number of seconds"),
        ({"min": 9}, "min: found 9; allowed is up to 8 (max)"),
        ({"min": -1}, "min: found -1; allowed is a whole number from 0"),
        ({"max": 2.5}, "max: found 2.5; allowed is a whole number from 0"),
        ({"desired": True}, "desired: found True; allowed is a whole number from 0"),
        ({"desired": 2}, "desired: found 2; allowed is 3 (min) to 8 (max)"),
        ({"desired": 2, "max": 3, "min": 3}, "desired: found 2; allowed is 3 (min) to 3 (max)"),
        ({"desired": 9}, "desired: found 9; allowed is 3 (min) to 8 (max)"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    good = {"cron": "0 8 * * 1-5", "duration_s": 60, "min": 1}
    with pytest.raises(ValueError) as refused:
        ScheduledPolicy(schedules=[good, {**OFFICE, **changes}])
    assert str(refused.value).startswith(f"schedules[1].{message}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("schedules", "message"),
    [
        (None, "schedules: found None; allowed is a list of at least one schedule"),
        ([], "schedules: found []; allowed is a list of at least one schedule"),
        (OFFICE, f"schedules: found {OFFICE}; allowed is a list of at least one schedule"),
        (
            ["0 8 * * *"],
            "schedules[0]: found '0 8 * * *'; "
            "allowed are the keys cron, time_zone, duration_s, min, max, desired",
        ),
        (
            [{**OFFICE, "duration": 60}],
            "schedules[0]: found the unknown key 'duration'; "
            "allowed: cron, time_zone, duration_s, min, max, desired",
        ),
        (
            [{"cron": "0 8 * * *", "duration_s": 60}],
            "schedules[0]: found none of min, max and desired; allowed is at least one",
        ),
        (
            [{"cron": "0 8 * * *", "duration_s": 60, "min": 3, "desired": 2}],
            "schedules[0].desired: found 2; allowed is 3 (min) or more",
        ),
    ],
)
def test_schedules_that_cannot_be_are_refused(schedules: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        ScheduledPolicy(schedules=schedules)
    assert str(refused.value) == message


def test_names_of_days_and_months_are_understood() -> None:
    named = {**OFFICE, "cron": "0 8 * jan-mar,apr mon-fri"}
    assert wish_of("2026-01-05T12:00:00+01:00", named).wanted == 4


def test_a_tick_seldom_asks_the_cron_library(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = ScheduledPolicy(schedules=[OFFICE, NIGHT])
    asked: list[str] = []

    def counted(cron: str, since: datetime) -> croniter:
        asked.append(cron)
        return croniter(cron, since)

    monkeypatch.setattr(scheduled, "croniter", counted)
    scheduled._starts.cache_clear()
    start = datetime.fromisoformat("2031-05-05T00:00:00+00:00").timestamp()
    for minute in range(60 * 24):
        policy.recommend(Situation(seen(), 2, start + 60 * minute, frozenset()))
    assert 0 < len(asked) <= 2 * 2 * 24  # back and forth, once an hour for each schedule
