# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from clusterops.scaler.memory import Memory
from clusterops.scaler.model import Lease, Trouble
from clusterops.scaler.store import Store


def test_what_was_requested_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s.sqlite3"
    store = Store(path)
    assert store.load() is None
    store.save_lease(Lease("up", 7.0))
    assert store.load() is None and store.load_lease() == Lease("up", 7.0)
    store.save(desired=3, floor=2, floor_until=9.5, last_scaling_at=1.0)
    store.save_trouble("agent-2", Trouble(2, 5.0, 6.0))
    del store  # no close: as after a kill
    state = Store(path).load()
    assert state and (state.desired, state.floor, state.floor_until) == (3, 2, 9.5)
    assert state.troubles == {"agent-2": Trouble(2, 5.0, 6.0)}
    assert state.lease == Lease("up", 7.0)


@pytest.mark.parametrize("damage", ["garbage", "page", "nonsense", "future"])
def test_a_damaged_database_is_put_aside(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "s.sqlite3"
    store = Store(path)
    store.save(desired=3)
    for n in range(300):
        store.add_tick(n, {"x": "y" * 100}, Memory())
    store.close()
    if damage == "garbage":
        path.write_bytes(b"this is no database" * 500)
    elif damage == "page":
        raw = bytearray(path.read_bytes())
        raw[4096:12288] = b"\xa5" * 8192
        path.write_bytes(raw)
    else:
        db = sqlite3.connect(path)
        if damage == "nonsense":
            db.execute("UPDATE state SET value = '\"many\"' WHERE key = 'desired'")
        else:
            db.execute("PRAGMA user_version = 99")
        db.commit()
        db.close()
    again = Store(path)
    assert again.moved_aside and again.moved_aside.exists()
    assert again.load() is None
    again.save(desired=1)
    again.close()
    assert Store(path).moved_aside is None


def test_history_is_bounded(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite3")
    for n in range(50):
        store.add_tick(float(n), {}, Memory())
        store.add_event(float(n), "k", f"m{n}", extra=n)
    store.prune(ticks_before=40.0, events_kept=5)
    assert [tick["at"] for tick in store.ticks()] == [49.0 - n for n in range(10)]
    assert [event["message"] for event in store.events()] == ["m49", "m48", "m47", "m46", "m45"]
    assert store.events(limit=1)[0]["extra"] == 49
    assert store.events(kind="other") == []
