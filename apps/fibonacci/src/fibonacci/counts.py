# SPDX-License-Identifier: GPL-3.0-or-later
"""Request counts, gathered in memory and written in batches."""

import asyncio
import contextlib
import logging
from collections import Counter

from fibonacci.errors import StoreUnavailableError
from fibonacci.store import Store

_log = logging.getLogger(__name__)


class CountBuffer:
    """Counts in memory until the next flush: at most one small entry per index.

    A few hundred requests a second from several nodes would otherwise queue for the same
    handful of rows. What could not be written is kept and written later.
    """

    def __init__(self, store: Store, *, interval_s: float = 0.25) -> None:
        self._store = store
        self._interval_s = interval_s
        self._pending: Counter[int] = Counter()
        self._writing = asyncio.Lock()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    @property
    def pending(self) -> int:
        """How many requests are not in the database yet."""
        return self._pending.total()

    def add(self, index: int) -> None:
        """Count one request."""
        self._pending[index] += 1

    async def flush(self) -> None:
        """Write everything that was counted before this call.

        Raises:
            StoreUnavailableError: nothing was written, and nothing is lost.
        """
        async with self._writing:
            if not self._pending:
                return
            batch, self._pending = self._pending, Counter()
            try:
                await self._store.add_counts(batch)
            except BaseException:
                self._pending.update(batch)
                raise

    def start(self) -> None:
        """Flush from now on in the background."""
        self._task = asyncio.create_task(self._run(), name="flush-counts")

    async def close(self, *, deadline_s: float = 1.5) -> None:
        """Stop the background task and write what is left, trying for *deadline_s* seconds."""
        self._stop.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                if self._task is not None:
                    await self._task
                while self._pending:
                    try:
                        await self.flush()
                    except StoreUnavailableError:
                        await asyncio.sleep(0.1)
        if self._pending:
            _log.error("counts lost: PostgreSQL was away", extra={"fields": {"lost": self.pending}})

    async def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._interval_s)
            try:
                await self.flush()
            except StoreUnavailableError as error:
                # Said once per outage; /ready and the metrics tell the rest.
                if not self._failing:
                    _log.error("counts are kept in memory: %s", error)
                self._failing = True
            else:
                if self._failing:
                    _log.info("counts are written again")
                self._failing = False
