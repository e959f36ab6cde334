# SPDX-License-Identifier: GPL-3.0-or-later
"""The migrations: ``python -m fibonacci.migrate up|down|status``.

A migration is a pair of files NNNN_NAME.up.sql and NNNN_NAME.down.sql. Each runs in a transaction
of its own together with its row in schema_migrations; an advisory lock admits one runner at a time.
"""

import argparse
import contextlib
import hashlib
import logging
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from fibonacci.errors import MigrationError

_log = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parents[2] / "migrations"

_FILE = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.(up|down)\.sql")
# Any number will do, as long as nothing else in the database uses it.
_LOCK = 0x0F1B0ACC1
_LOCK_TIMEOUT_MS = 60_000
_CONNECT_S = 15.0
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True)
class Migration:
    """One step: its version, its name and the SQL for both directions."""

    version: int
    name: str
    up: str
    down: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL that applies it."""
        return hashlib.sha256(self.up.encode()).hexdigest()


def find_migrations(folder: Path = FOLDER) -> list[Migration]:
    """Return the migrations in *folder*, in their order.

    Raises:
        MigrationError: a file that does not fit, a version used twice, half a pair, none at all.
    """
    found: dict[int, dict[str, tuple[str, str]]] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: expected NNNN_name.up.sql or NNNN_name.down.sql")
        halves = found.setdefault(int(match[1]), {})
        if match[3] in halves:
            raise MigrationError(f"{path.name}: version {match[1]} is used twice")
        halves[match[3]] = (match[2], path.read_text(encoding="utf-8"))
    if not found:
        raise MigrationError(f"no migrations in {folder}")
    migrations = []
    for version, halves in sorted(found.items()):
        names = {name for name, _ in halves.values()}
        if set(halves) != {"up", "down"} or len(names) != 1:
            raise MigrationError(f"version {version:04d} needs one .up.sql and one .down.sql")
        migrations.append(Migration(version, names.pop(), halves["up"][1], halves["down"][1]))
    return migrations


def up(connection: psycopg.Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Apply what is missing, and return it.

    Raises:
        MigrationError: an applied migration's file was changed, or a migration failed.
    """
    done = []
    with _locked(connection):
        applied = _applied(connection)
        for migration in migrations:
            known = applied.get(migration.version)
            if known is not None:
                if known[1] != migration.checksum:
                    raise MigrationError(
                        f"{_label(migration)} was changed after it was applied;"
                        " restore the file and add a new migration"
                    )
                continue
            with _step(connection, migration):
                connection.execute(migration.up.encode())
                connection.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                    (migration.version, migration.name, migration.checksum),
                )
            done.append(migration)
    return done


def down(
    connection: psycopg.Connection, migrations: Sequence[Migration], steps: int = 1
) -> list[Migration]:
    """Take the last *steps* applied migrations back, and return them.

    Raises:
        MigrationError: the files of an applied migration are not here, or its SQL failed.
    """
    by_version = {migration.version: migration for migration in migrations}
    done = []
    with _locked(connection):
        for version in sorted(_applied(connection), reverse=True)[:steps]:
            migration = by_version.get(version)
            if migration is None:
                raise MigrationError(f"version {version:04d} is applied, but has no files here")
            with _step(connection, migration):
                connection.execute(migration.down.encode())
                connection.execute("DELETE FROM schema_migrations WHERE version = %s", (version,))
            done.append(migration)
    return done


def status(connection: psycopg.Connection, migrations: Sequence[Migration]) -> list[str]:
    """Return one line per migration: applied, pending, changed, or without files."""
    try:
        applied = _applied(connection)
    except psycopg.errors.UndefinedTable:
        applied = {}
    lines = []
    for migration in migrations:
        known = applied.pop(migration.version, None)
        state = "pending" if known is None else "applied"
        if known is not None and known[1] != migration.checksum:
            state = "changed"
        lines.append(f"{state:8} {_label(migration)}")
    lines += [f"{'no files':8} {v:04d}_{name}" for v, (name, _) in sorted(applied.items())]
    return lines


def _label(migration: Migration) -> str:
    return f"{migration.version:04d}_{migration.name}"


def _applied(connection: psycopg.Connection) -> dict[int, tuple[str, str]]:
    rows = connection.execute("SELECT version, name, checksum FROM schema_migrations").fetchall()
    return {int(row[0]): (str(row[1]), str(row[2])) for row in rows}


@contextlib.contextmanager
def _locked(connection: psycopg.Connection) -> Iterator[None]:
    try:
        connection.execute(f"SET lock_timeout = {_LOCK_TIMEOUT_MS}")
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationError("another migration has been running for a minute") from error
    try:
        # Inside the lock: CREATE TABLE IF NOT EXISTS is not safe against itself.
        connection.execute(_TABLE)
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


@contextlib.contextmanager
def _step(connection: psycopg.Connection, migration: Migration) -> Iterator[None]:
    try:
        with connection.transaction():
            yield
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise MigrationError(f"{_label(migration)} failed and was undone: {reason}") from error


def _connect(url: str) -> psycopg.Connection:
    deadline = time.monotonic() + _CONNECT_S
    while True:
        try:
            return psycopg.connect(
                url, autocommit=True, connect_timeout=3, application_name="fibonacci-migrate"
            )
        except psycopg.OperationalError as error:
            # A database that is just starting is waited for.
            if time.monotonic() >= deadline:
                reason = str(error).strip().splitlines()[0]
                raise MigrationError(f"PostgreSQL cannot be reached: {reason}") from error
            time.sleep(0.5)
        except psycopg.Error as error:
            reason = str(error).strip().splitlines()[0]
            raise MigrationError(f"POSTGRES_URL cannot be used: {reason}") from error


def run(arguments: Sequence[str], url: str) -> None:
    """Do what the command line asks for.

    Raises:
        MigrationError: with the one line to show.
    """
    parser = argparse.ArgumentParser(prog="fibonacci migrate", description="Run the migrations.")
    parser.add_argument("action", nargs="?", choices=("up", "down", "status"), default="up")
    parser.add_argument("--steps", type=int, default=1, help="down: how many (default: 1)")
    options = parser.parse_args(arguments)
    migrations = find_migrations()
    changed: list[Migration] = []
    try:
        with _connect(url) as connection:
            if options.action == "status":
                print("\n".join(status(connection, migrations)))
                return
            if options.action == "up":
                changed = up(connection, migrations)
            else:
                changed = down(connection, migrations, options.steps)
    except psycopg.Error as error:
        raise MigrationError(f"PostgreSQL: {str(error).strip().splitlines()[0]}") from error
    for migration in changed:
        _log.info(
            "migrated",
            extra={"fields": {"direction": options.action, "migration": _label(migration)}},
        )
    if not changed:
        _log.info("nothing to migrate")


def main() -> None:
    """The same as ``python -m fibonacci migrate``."""
    from fibonacci.__main__ import main as entry

    entry(["migrate", *sys.argv[1:]])


if __name__ == "__main__":
    main()
