# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of requests in PostgreSQL."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from fibonacci.deadlines import DATABASE_DEADLINE_S
from fibonacci.errors import StoreUnavailableError

# The server gives up on a statement before the client does: a count is then either written or
# surely not, and sending it again cannot count it twice.
_STATEMENT_TIMEOUT_MS = round((DATABASE_DEADLINE_S - 0.5) * 1000)

# One statement for a whole batch. The order makes every node lock the rows in the same order,
# so that nodes which write the same numbers wait for each other but never deadlock.
_ADD_COUNTS = """
INSERT INTO request_counts AS counts (number, count)
SELECT number, count FROM unnest(%s::int[], %s::bigint[]) AS batch (number, count)
ORDER BY number
ON CONFLICT (number) DO UPDATE SET count = counts.count + EXCLUDED.count
"""
_MOST_REQUESTED = "SELECT number, count FROM request_counts ORDER BY count DESC, number LIMIT 1"
_APPLIED = "SELECT version FROM schema_migrations"

_Rows = list[tuple[Any, ...]]


class Store(Protocol):
    """What the API needs of the database. Every method may raise StoreUnavailableError."""

    async def open(self) -> None:
        """Start connecting in the background."""

    async def close(self) -> None:
        """Let the connections go."""

    async def add_counts(self, counts: Mapping[int, int]) -> None:
        """Add to the counts of these numbers, all of them or none."""

    async def most_requested(self) -> tuple[int, int] | None:
        """Return (number, count); the lowest number wins a tie."""

    async def applied_migrations(self) -> set[int]:
        """Return the versions in the database (empty before the first migration)."""


class PostgresStore:
    """The store in PostgreSQL. It starts without a database and finds it when it comes."""

    def __init__(self, url: str, *, max_connections: int = 4) -> None:
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=max_connections,
            open=False,
            timeout=DATABASE_DEADLINE_S - 0.2,
            # Short: the pool's own attempts back off exponentially, whereas the next request
            # after it gave up makes a new attempt at once.
            reconnect_timeout=1.5,
            kwargs={"autocommit": True, "connect_timeout": 2, "application_name": "fibonacci-api"},
            configure=_configure,
            check=AsyncConnectionPool.check_connection,
            name="store",
        )
        self._running: set[asyncio.Task[_Rows]] = set()

    async def open(self) -> None:
        """Start connecting in the background; nothing waits for the database."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close the pool (at most two seconds)."""
        await self._pool.close(timeout=2.0)

    async def add_counts(self, counts: Mapping[int, int]) -> None:
        """Add a batch of counts in one statement."""
        await self._query(_ADD_COUNTS, (list(counts.keys()), list(counts.values())))

    async def most_requested(self) -> tuple[int, int] | None:
        """Return the number asked for most often and its count."""
        rows = await self._query(_MOST_REQUESTED)
        return (int(rows[0][0]), int(rows[0][1])) if rows else None

    async def applied_migrations(self) -> set[int]:
        """Return the versions of the migrations in the database."""
        try:
            return {int(row[0]) for row in await self._query(_APPLIED)}
        except StoreUnavailableError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
                return set()
            raise

    async def _query(self, statement: LiteralString, values: Sequence[object] = ()) -> _Rows:
        task = asyncio.create_task(self._query_now(statement, values))
        self._running.add(task)
        task.add_done_callback(self._finished)
        try:
            # Not asyncio.timeout: a cancelled psycopg call first tells the server, and where the
            # network is gone that takes seconds. The caller does not wait for it.
            done, _ = await asyncio.wait({task}, timeout=DATABASE_DEADLINE_S)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            raise StoreUnavailableError(
                f"PostgreSQL did not answer within {DATABASE_DEADLINE_S:g} s"
            )
        try:
            return task.result()
        except (psycopg.Error, PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise StoreUnavailableError(f"PostgreSQL: {_one_line(error)}") from error

    async def _query_now(self, statement: LiteralString, values: Sequence[object]) -> _Rows:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description is not None else []

    def _finished(self, task: asyncio.Task[_Rows]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: whoever gave up on it does not look any more


async def _configure(connection: psycopg.AsyncConnection) -> None:
    await connection.execute(f"SET statement_timeout = {_STATEMENT_TIMEOUT_MS}")


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
