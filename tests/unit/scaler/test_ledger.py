# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scaler is asked for and remembers, across restarts and clocks that are set back."""

from __future__ import annotations

from pathlib import Path

from clusterops.scaler.ledger import Ledger
from clusterops.scaler.model import Trouble
from clusterops.scaler.store import Store


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ledger(path: Path, clock: Clock) -> Ledger:
    return Ledger(Store(path), clock, lambda: None)


def test_a_damaged_database_is_an_alarm(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    path.write_bytes(b"this is no database" * 500)
    made = ledger(path, Clock())
    [event] = made.store.events(10)
    assert event["kind"] == "alarm"
    assert "the database was damaged; it was kept as s.sqlite3" in event["message"]


def test_a_lease_that_ended_is_not_renewed_by_a_clock_that_is_set_back(tmp_path: Path) -> None:
    clock = Clock()
    made = ledger(tmp_path / "s.sqlite3", clock)
    made.hold("deploy", 60)
    clock.now += 61
    assert made.lease is None
    assert made.release() is False
    clock.now -= 61
    assert made.lease is None
    assert made.release() is False


def test_troubles_are_kept_before_the_first_number_is_wanted(tmp_path: Path) -> None:
    clock = Clock()
    made = ledger(tmp_path / "s.sqlite3", clock)
    made.set_trouble("agent-1", Trouble(1, 5.0, 6.0))
    assert made.trouble("agent-1") == Trouble()
    made.begin(2)
    made.set_trouble("agent-1", Trouble(2, 7.0, 8.0))
    assert made.trouble("agent-1") == Trouble(2, 7.0, 8.0)
    again = ledger(tmp_path / "s.sqlite3", clock)
    assert again.trouble("agent-1") == Trouble(2, 7.0, 8.0)
