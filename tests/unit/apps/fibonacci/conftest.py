# SPDX-License-Identifier: GPL-3.0-or-later
"""The application is not installed: its sources are put on the path. The databases are fakes."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

_SOURCES = str(Path(__file__).parents[4] / "apps" / "fibonacci" / "src")
if _SOURCES not in sys.path:
    sys.path.insert(0, _SOURCES)

from fibonacci.errors import QueueUnavailableError, StoreUnavailableError  # noqa: E402
from fibonacci.queue import CALCULATING  # noqa: E402


class FakeStore:
    """Counts in a dictionary; `down` makes every call fail."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.versions = {1}
        self.down = False
        self.closed = False

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True

    async def add_counts(self, counts: Mapping[int, int]) -> None:
        self._answer()
        for number, count in counts.items():
            self.counts[number] = self.counts.get(number, 0) + count

    async def most_requested(self) -> tuple[int, int] | None:
        self._answer()
        return max(self.counts.items(), key=lambda pair: (pair[1], -pair[0]), default=None)

    async def applied_migrations(self) -> set[int]:
        self._answer()
        return self.versions

    def _answer(self) -> None:
        if self.down:
            raise StoreUnavailableError("PostgreSQL: gone")


class FakeQueue:
    """Values in a dictionary; `down` makes every call fail."""

    def __init__(self) -> None:
        self.values: dict[int, str] = {}
        self.down = False
        self.closed = False

    async def close(self) -> None:
        self.closed = True

    async def ping(self) -> None:
        self._answer()

    async def value(self, index: int) -> str | None:
        self._answer()
        return self.values.get(index)

    async def enqueue(self, index: int) -> bool:
        self._answer()
        if index in self.values:
            return False
        self.values[index] = CALCULATING
        return True

    async def done(self) -> tuple[int, float]:
        self._answer()
        return 3, 1.5

    async def depths(self) -> dict[str, int]:
        self._answer()
        return {"waiting": len(self.values)}

    def _answer(self) -> None:
        if self.down:
            raise QueueUnavailableError("Redis: gone")


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()
