# SPDX-License-Identifier: GPL-3.0-or-later
"""The scaler's memory: requested state, back-offs, ticks and events, in one SQLite file."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clusterops.errors import ClusterOpsError
from clusterops.scaler.bounds import Bounds, bounds_from
from clusterops.scaler.memory import NO_MEMORY, Memory, memory_from
from clusterops.scaler.model import Lease, State, Trouble

_LOG = logging.getLogger(__name__)
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS troubles (agent TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ticks (id INTEGER PRIMARY KEY, at REAL NOT NULL, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS ticks_at ON ticks (at);
CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL,
  agent TEXT, message TEXT NOT NULL, data TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS traffic (at REAL PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
"""
_AUDIT_KEPT = 5000

#: After the first of two times, up to and with the second.
Span = tuple[float, float]
ALWAYS: Span = (-1e300, 1e300)


class Store:
    """Small synchronous calls; every write is on disk when the call returns."""

    def __init__(self, path: Path) -> None:
        """Open the database, or put a damaged one aside and start anew.

        Raises:
            ClusterOpsError: the file cannot be created or written.
        """
        self.path = path
        self.moved_aside: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._db = _open(path)
            except sqlite3.OperationalError:
                raise
            except (sqlite3.DatabaseError, _Damaged) as error:
                self.moved_aside = _move_aside(path)
                _LOG.error("%s is damaged (%s); kept as %s", path, error, self.moved_aside)
                self._db = _open(path)
        except (OSError, sqlite3.Error) as error:
            raise ClusterOpsError(
                f"{path}: the scaler's database cannot be opened: {error}",
                remedy="check the folder's owner and free space",
            ) from error

    def close(self) -> None:
        self._db.close()

    # --- requested state ---------------------------------------------------------------

    def load(self) -> State | None:
        """The remembered state, or None where no desired number was ever set."""
        values = {key: json.loads(text) for key, text in self._db.execute("SELECT * FROM state")}
        if "desired" not in values:
            return None
        lease = values.get("lease")
        return State(
            desired=int(values["desired"]),
            floor=int(values.get("floor", 0)),
            floor_until=float(values.get("floor_until", 0.0)),
            last_scaling_at=float(values.get("last_scaling_at", 0.0)),
            lease=Lease(lease["holder"], lease["until"]) if lease else None,
            paused=values.get("paused", False) is True,
            prepared=dict(values.get("prepared") or {}),
            troubles={
                agent: Trouble(**json.loads(text))
                for agent, text in self._db.execute("SELECT * FROM troubles")
            },
        )

    def load_lease(self) -> Lease | None:
        """The lease alone: it may exist before a desired number does."""
        lease = self._value("lease")
        return Lease(lease["holder"], lease["until"]) if lease else None

    def load_paused(self) -> bool:
        """Whether somebody paused the scaler; that may be before a desired number exists."""
        return self._value("paused") is True

    def load_bounds(self) -> Bounds | None:
        """Somebody's bounds; None where cluster.yml's hold."""
        return bounds_from(self._value("bounds"))

    def load_memory(self) -> Memory:
        """What the last tick left for the next decision."""
        value = self._value("memory")
        return memory_from(value) if value else NO_MEMORY

    def _value(self, key: str) -> Any:
        row = self._db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def save(self, **values: Any) -> None:
        """Set fields of the state together."""
        with self._write() as db:
            for key, value in values.items():
                db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, json.dumps(value)))

    def save_lease(self, lease: Lease | None) -> None:
        self.save(lease=asdict(lease) if lease else None)

    def save_bounds(self, bounds: Bounds | None) -> None:
        self.save(bounds={"min": bounds.low, "max": bounds.high} if bounds else None)

    def save_trouble(self, agent: str, trouble: Trouble) -> None:
        with self._write() as db:
            if trouble == Trouble():
                db.execute("DELETE FROM troubles WHERE agent = ?", (agent,))
            else:
                db.execute(
                    "INSERT OR REPLACE INTO troubles VALUES (?, ?)",
                    (agent, json.dumps(asdict(trouble))),
                )

    # --- history -----------------------------------------------------------------------

    def add_tick(self, at: float, data: dict[str, Any], memory: Memory) -> None:
        """A tick's record, and what the next one has to know."""
        with self._write() as db:
            db.execute("INSERT INTO ticks (at, data) VALUES (?, ?)", (at, json.dumps(data)))
            db.execute(
                "INSERT OR REPLACE INTO state VALUES ('memory', ?)", (json.dumps(asdict(memory)),)
            )

    def add_event(
        self, at: float, kind: str, message: str, agent: str | None = None, **data: Any
    ) -> None:
        with self._write() as db:
            db.execute(
                "INSERT INTO events (at, kind, agent, message, data) VALUES (?, ?, ?, ?, ?)",
                (at, kind, agent, message, json.dumps(data)),
            )

    def events(
        self, limit: int = 100, kind: str | None = None, *, span: Span = ALWAYS
    ) -> list[dict[str, Any]]:
        """The latest events of a span of time, newest first."""
        rows = self._db.execute(
            "SELECT id, at, kind, agent, message, data FROM events"
            " WHERE (?1 IS NULL OR kind = ?1) AND at > ?3 AND at <= ?4 ORDER BY id DESC LIMIT ?2",
            (kind, limit, *span),
        )
        return [
            {"id": i, "at": at, "kind": k, "agent": agent, "message": text, **json.loads(data)}
            for i, at, k, agent, text, data in rows
        ]

    def ticks(self, limit: int = 100, *, span: Span = ALWAYS) -> list[dict[str, Any]]:
        """The latest ticks of a span of time, newest first."""
        rows = self._db.execute(
            "SELECT at, data FROM ticks WHERE at > ? AND at <= ? ORDER BY id DESC LIMIT ?",
            (*span, limit),
        )
        return [{"at": at, **json.loads(data)} for at, data in rows]

    def add_traffic(self, at: float, data: dict[str, Any]) -> None:
        """What the load balancer did in a span of time that ends now."""
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO traffic VALUES (?, ?)", (at, json.dumps(data)))

    def traffic(self, after: float) -> list[dict[str, Any]]:
        """What the load balancer did, oldest first."""
        rows = self._db.execute("SELECT data FROM traffic WHERE at > ? ORDER BY at", (after,))
        return [json.loads(data) for (data,) in rows]

    def prune_traffic(self, before: float) -> None:
        with self._write() as db:
            db.execute("DELETE FROM traffic WHERE at < ?", (before,))

    def add_audit(self, entry: dict[str, Any]) -> None:
        with self._write() as db:
            db.execute("INSERT INTO audit (data) VALUES (?)", (json.dumps(entry),))

    def audit(self, limit: int) -> list[dict[str, Any]]:
        """The latest entries of the audit log, newest first."""
        rows = self._db.execute("SELECT data FROM audit ORDER BY id DESC LIMIT ?", (limit,))
        return [json.loads(data) for (data,) in rows]

    def prune(self, ticks_before: float, events_kept: int) -> None:
        """Forget old history."""
        with self._write() as db:
            db.execute("DELETE FROM ticks WHERE at < ?", (ticks_before,))
            db.execute(
                "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (events_kept,)
            )
            db.execute(
                "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", (_AUDIT_KEPT,)
            )

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._db:  # commits, or rolls back
            yield self._db


class _Damaged(Exception):
    """The file opens, but its content cannot be trusted."""


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _Damaged(verdict)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _SCHEMA_VERSION):
            raise _Damaged(f"schema version {version}, expected {_SCHEMA_VERSION}")
        db.executescript(_SCHEMA)
        db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        _check_content(db)
    except BaseException:
        db.close()
        raise
    return db


def _check_content(db: sqlite3.Connection) -> None:
    """A sound file with nonsense in it must not stop every later start."""
    try:
        for (text,) in db.execute("SELECT value FROM state"):
            json.loads(text)
        for (text,) in db.execute("SELECT value FROM troubles"):
            Trouble(**json.loads(text))
        memory = db.execute("SELECT value FROM state WHERE key = 'memory'").fetchone()
        if memory:
            memory_from(json.loads(memory[0]))
        bounds = db.execute("SELECT value FROM state WHERE key = 'bounds'").fetchone()
        if bounds:
            bounds_from(json.loads(bounds[0]))
        for key, kind in (
            ("desired", int),
            ("floor", int),
            ("last_scaling_at", (int, float)),
            ("prepared", dict),
        ):
            row = db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
            if row and not isinstance(json.loads(row[0]), kind):
                raise ValueError(f"{key} is {row[0]}")
    except (KeyError, TypeError, ValueError, sqlite3.OperationalError) as error:
        raise _Damaged(str(error)) from error


def _move_aside(path: Path) -> Path:
    """Rename the database and its journal files; the newest damaged copy is kept."""
    target = path.with_name(path.name + ".damaged")
    for suffix in ("", "-wal", "-shm"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.replace(target.with_name(target.name + suffix))
    return target
