# SPDX-License-Identifier: GPL-3.0-or-later
"""Other bounds, or a fixed number of agents, at times that cron expressions give."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter

from clusterops.scaler.guards import agents
from clusterops.scaler.policies.loads import is_number
from clusterops.scaler.policy import Recommendation, Situation

_KEYS = ("cron", "time_zone", "duration_s", "min", "max", "desired")
_COUNTS = ("min", "max", "desired")
_SHORTEST_S, _LONGEST_S = 60, 604_800
_HOUR_S = 3600
_ANY_DAY = datetime(2024, 1, 1, tzinfo=UTC)
# croniter also knows R (random) and H (hashed); those times would differ from run to run.
_ARBITRARY = re.compile(r"(?<![A-Za-z])[RHrh](?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Active for ``duration_s`` seconds from each time that ``cron`` matches in its zone."""

    cron: str
    time_zone: str
    duration_s: float
    counts: Mapping[str, int]  # some of min, max and desired

    def around(self, now: float) -> tuple[float, float]:
        """When it last began and when it begins next, as Unix seconds."""
        starts = _starts(self.cron, self.time_zone, int(now) // _HOUR_S)
        place = bisect_right(starts, now)
        return starts[place - 1], starts[place]

    def local(self, at: float) -> str:
        """A moment in its time zone, for people."""
        return f"{datetime.fromtimestamp(at, _zone(self.time_zone)):%Y-%m-%d %H:%M %Z}"


class ScheduledPolicy:
    """Bounds and a number of agents by the clock; without an opinion while none is wished for.

    Each schedule is active for its ``duration_s`` of elapsed time from each match of its cron
    expression. A time that the clock skips in spring counts as the moment after the gap; a time
    that comes twice in autumn matches twice. Of several active schedules, the one that
    began last decides, for min, max and desired separately; of those that began together, the
    later one in the list.
    """

    def __init__(
        self, *, schedules: Sequence[Mapping[str, Any]] | None = None, **_others: Any
    ) -> None:
        """
        Args:
            schedules: each with the keys ``cron`` (five fields), ``time_zone`` (IANA's name;
                UTC if not given), ``duration_s`` (seconds), and at least one of ``min``,
                ``max`` and ``desired`` (numbers of agents).

        Raises:
            ValueError: a schedule has a key or a value that it cannot have.
        """
        if not isinstance(schedules, list | tuple) or not schedules:
            raise ValueError(
                f"schedules: found {schedules!r}; allowed is a list of at least one schedule"
            )
        self.schedules = tuple(
            _schedule(f"schedules[{place}]", entry) for place, entry in enumerate(schedules)
        )

    def recommend(self, situation: Situation) -> Recommendation:
        """Say which bounds hold now, and how many agents are wished for."""
        now = situation.now
        spans = [(schedule, *schedule.around(now)) for schedule in self.schedules]
        active = [
            (began, place, schedule)
            for place, (schedule, began, _) in enumerate(spans)
            if now < began + schedule.duration_s
        ]
        if not active:
            schedule, _, at = min(spans, key=lambda span: span[2])
            reason = f"no schedule is active; '{schedule.cron}' begins {schedule.local(at)}"
            return Recommendation("none", reason, silent=True)

        # The place in the list decides between those that began together; no two have the same.
        active.sort()
        deciding = {
            key: (schedule, began + schedule.duration_s)
            for began, _, schedule in active
            for key in schedule.counts
        }
        counts = {key: schedule.counts[key] for key, (schedule, _) in deciding.items()}
        low, high, desired = (counts.get(key) for key in _COUNTS)
        if desired is None:
            (schedule, until), bounds = next(iter(deciding.values())), _bounds_in_words(low, high)
            reason = f"schedule '{schedule.cron}' until {schedule.local(until)}: {bounds}"
            return Recommendation("none", reason, low=low, high=high, silent=True)
        schedule, until = deciding["desired"]
        reason = f"schedule '{schedule.cron}' until {schedule.local(until)}: {agents(desired)}"
        if desired == situation.desired:
            return Recommendation("none", reason, low=low, high=high)
        return Recommendation(
            "up" if desired > situation.desired else "down",
            reason,
            wanted=desired,
            low=low,
            high=high,
        )


def _bounds_in_words(low: int | None, high: int | None) -> str:
    if high is None:
        return f"at least {agents(low or 0)}"
    return f"at most {agents(high)}" if low is None else f"{low} to {agents(high)}"


@lru_cache(maxsize=1024)
def _starts(cron: str, time_zone: str, hour: int) -> tuple[float, ...]:
    """Every match within an hour since 1970, the last one up to it and the first one after it."""
    begin = hour * _HOUR_S
    # croniter looks for matches strictly before and after; one second lets in the hour itself.
    since = datetime.fromtimestamp(begin + 1, _zone(time_zone))
    starts: list[float] = [croniter(cron, since).get_prev(float)]
    following = croniter(cron, since)
    while starts[-1] < begin + _HOUR_S:
        starts.append(following.get_next(float))
    return tuple(starts)


def _zone(name: str) -> tzinfo:
    # UTC works without a time zone database, which a small machine may not have.
    return UTC if name == "UTC" else ZoneInfo(name)


def _schedule(where: str, entry: Any) -> Schedule:
    """One schedule from its options. Raises ValueError."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: found {entry!r}; allowed are the keys {', '.join(_KEYS)}")
    unknown = sorted(str(key) for key in entry if key not in _KEYS)
    if unknown:
        raise ValueError(
            f"{where}: found the unknown key {unknown[0]!r}; allowed: {', '.join(_KEYS)}"
        )
    cron = _checked_cron(f"{where}.cron", entry.get("cron"))
    time_zone = _checked_zone(f"{where}.time_zone", entry.get("time_zone", "UTC"))
    duration_s = entry.get("duration_s")
    if not is_number(duration_s) or not _SHORTEST_S <= duration_s <= _LONGEST_S:
        raise ValueError(
            f"{where}.duration_s: found {duration_s!r}; "
            f"allowed is a number of seconds from {_SHORTEST_S} to {_LONGEST_S}"
        )
    counts = {key: _checked_count(f"{where}.{key}", entry[key]) for key in _COUNTS if key in entry}
    if not counts:
        raise ValueError(f"{where}: found none of min, max and desired; allowed is at least one")
    low, high = counts.get("min", 0), counts.get("max")
    if high is not None and low > high:
        raise ValueError(f"{where}.min: found {low}; allowed is up to {high} (max)")
    desired = counts.get("desired", low)
    if desired < low or (high is not None and desired > high):
        allowed = f"{low} (min) or more" if high is None else f"{low} (min) to {high} (max)"
        raise ValueError(f"{where}.desired: found {desired}; allowed is {allowed}")
    return Schedule(cron, time_zone, float(duration_s), counts)


def _checked_cron(where: str, value: Any) -> str:
    wrong = f"{where}: found {value!r}; allowed are five fields: minute hour day month weekday"
    if not isinstance(value, str) or len(value.split()) != 5:
        raise ValueError(wrong)
    if _ARBITRARY.search(value):
        raise ValueError(f"{wrong} (without R and H)")
    try:
        # A date that never comes (30 February) shows only when it is looked for.
        croniter(value, _ANY_DAY).get_next()
    except ValueError as error:
        raise ValueError(f"{wrong} ({error})") from error
    return " ".join(value.split())


def _checked_zone(where: str, value: Any) -> str:
    try:
        _zone(value)
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: found {value!r}; allowed is a name from the IANA time zone database "
            "that this machine has, such as Europe/Berlin"
        ) from error
    return str(value)


def _checked_count(where: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{where}: found {value!r}; allowed is a whole number from 0")
    return value
