# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: takes jobs from Redis, computes, stores the values."""

import asyncio
import contextlib
import logging
import os
import signal
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fibonacci.errors import QueueUnavailableError
from fibonacci.numbers import fibonacci
from fibonacci.queue import Job, RedisQueue
from fibonacci.settings import Settings

_log = logging.getLogger(__name__)

# Known without a job as soon as one worker has started.
SEEDS = {0: 0, 1: 1}

_IDLE_S = 1
_SHUTDOWN_S = 8.0


class Worker:
    """Works on one job at a time until it is told to stop.

    *compute* runs in a thread, so that a long computation does not keep the lease from being
    renewed. *alive_file* is touched on every round, for the container's health check.
    """

    def __init__(
        self,
        queue: RedisQueue,
        *,
        compute: Callable[[int], int] = fibonacci,
        backoff_ms: int = 1000,
        renew_every_s: float = 1.5,
        alive_file: Path | None = None,
    ) -> None:
        self._queue = queue
        self._compute = compute
        self._backoff_ms = backoff_ms
        self._renew_every_s = renew_every_s
        self._alive_file = alive_file
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Finish the job in hand, then return from run()."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until stop(); a Redis that is away is waited for."""
        seeded = False
        while not self._stopping.is_set():
            if self._alive_file is not None:
                self._alive_file.touch()
            try:
                if not seeded:
                    await self._queue.seed(SEEDS)
                    seeded = True
                    _log.info("worker ready")
                job = await self._queue.take(uuid.uuid4().hex)
                if job is None:
                    await self._until_stopped_or(self._queue.sleep(_IDLE_S))
                else:
                    await self._work(job)
            except QueueUnavailableError as error:
                _log.error("waiting for Redis: %s", error)
                # Whoever emptied Redis took the seeds too.
                seeded = False
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), 1.0)

    async def _work(self, job: Job) -> None:
        started = time.monotonic()
        renewal = asyncio.create_task(self._keep(job))
        try:
            value = await asyncio.to_thread(self._compute, job.index)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            outcome = await self._queue.fail(job, reason, self._backoff_ms)
            _log.warning(
                "job failed",
                extra={"fields": {**_fields(job), "error": reason, "outcome": outcome}},
            )
            return
        finally:
            renewal.cancel()
        seconds = time.monotonic() - started
        await self._queue.complete(job, value, seconds)
        milliseconds = round(seconds * 1000, 1)
        _log.info("job done", extra={"fields": {**_fields(job), "duration_ms": milliseconds}})

    async def _keep(self, job: Job) -> None:
        while True:
            await asyncio.sleep(self._renew_every_s)
            if self._alive_file is not None:
                self._alive_file.touch()
            # Redis away for longer than the lease: another worker repeats the job, no harm done.
            with contextlib.suppress(QueueUnavailableError):
                if not await self._queue.renew(job):
                    _log.warning("lease lost", extra={"fields": _fields(job)})
                    return

    async def _until_stopped_or(self, waiting: Coroutine[Any, Any, None]) -> None:
        tasks: set[asyncio.Task[Any]] = {
            asyncio.create_task(waiting),
            asyncio.create_task(self._stopping.wait()),
        }
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for task in done:
            task.result()


def _fields(job: Job) -> dict[str, int]:
    return {"index": job.index, "attempt": job.attempt}


async def serve(
    settings: Settings,
    *,
    compute: Callable[[int], int] = fibonacci,
    lease_ms: int = 5000,
    backoff_ms: int = 1000,
    alive_file: Path | None = None,
) -> None:
    """Run one worker until SIGTERM or SIGINT; a job in hand gets eight seconds to end."""
    queue = RedisQueue(settings.redis_url, max_connections=4, lease_ms=lease_ms)
    worker = Worker(
        queue,
        compute=compute,
        backoff_ms=backoff_ms,
        renew_every_s=lease_ms / 3000,
        alive_file=alive_file,
    )
    stopped = asyncio.Event()

    def stop() -> None:
        worker.stop()
        stopped.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    running = asyncio.create_task(worker.run())
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait_for(running, _SHUTDOWN_S)
    except TimeoutError:
        _log.warning("stopped in the middle of a job: its lease brings it to another worker")
        logging.shutdown()
        # A thread cannot be ended, and an orderly exit would wait for it.
        os._exit(1)
    finally:
        stopping.cancel()
        await queue.close()
    _log.info("worker stopped")
