# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching the traffic: the load balancer's counters, often while somebody looks, seldom else;
and the jobs of the host while somebody looks.

No decision is made of it, and a failure here is nobody else's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import aiohttp

from clusterops.scaler.answers import ProbeError
from clusterops.scaler.observe import read_token
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.store import Store
from clusterops.scaler.traffic import Look, between, oldest_within, parse

_LOG = logging.getLogger(__name__)
LIVE_S = 1.0
"""Between two looks while somebody watches."""
POINT_S = 10.0
"""Between two points of the history, and between two looks while nobody watches."""
_RATE_WINDOW_S = 3.5
_TIMEOUT_S = 2.0
_LIMIT = 2 * 1024 * 1024
_PRUNE_EVERY_S = 600.0
_NOT_OFFERED_S = 30.0
"""Until a Server Manager without jobs is asked for them again."""


class Watch:
    """What the load balancer's counters say. ``run`` it as a task; it ends when cancelled."""

    def __init__(
        self,
        settings: ScalerSettings,
        store: Store,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{settings.load_balancer_admin_url.rstrip('/')}/metrics"
        self._jobs_url = f"{settings.server_manager_url.rstrip('/')}/api/v1/jobs"
        self._token_file = settings.token_file
        self._ca_file = settings.server_manager_ca_file
        self._jobs_from = 0.0
        self._tls: ssl.SSLContext | bool | None = None
        self._kept_s = settings.ticks_kept_s
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._looks: deque[Look] = deque(maxlen=64)
        self._point_from: Look | None = None
        self._pruned_at = 0.0
        self._watchers = 0
        self._wake = asyncio.Event()
        self.now: dict[str, Any] | None = None
        """The latest figures; None while the load balancer does not tell any."""
        self.jobs: list[Any] | None = None
        """Jobs of the host; None where nobody knows."""
        self.points: deque[dict[str, Any]] = deque(maxlen=int(3600 / POINT_S))

    @contextlib.contextmanager
    def watched(self) -> Any:
        """Look often, as long as the block lasts."""
        self._watchers += 1
        self._wake.set()
        try:
            yield
        finally:
            self._watchers -= 1

    async def run(self) -> None:
        """Look for ever."""
        self.points.extend(self._store.traffic(self._clock() - 3600))
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            headers={"User-Agent": "clusterops-scaler"},
        ) as session:
            while True:
                self._wake.clear()
                began = self._monotonic()
                look, self.jobs = await asyncio.gather(self._look(session), self._ask_jobs(session))
                self.take(look)
                pause = LIVE_S if self._watchers else POINT_S
                with contextlib.suppress(TimeoutError):
                    rest = pause - (self._monotonic() - began)
                    await asyncio.wait_for(self._wake.wait(), max(rest, 0.05))

    async def _look(self, session: aiohttp.ClientSession) -> Look | None:
        try:
            async with session.get(self._url, allow_redirects=False) as answer:
                body = await answer.content.read(_LIMIT)
                return parse(body.decode(), self._monotonic()) if answer.status == 200 else None
        except (aiohttp.ClientError, OSError, ValueError):  # a time-out is an OSError, too
            return None

    async def _ask_jobs(self, session: aiohttp.ClientSession) -> list[Any] | None:
        if not self._watchers or self._monotonic() < self._jobs_from:
            return None
        try:
            headers = {"Authorization": f"Bearer {read_token(self._token_file)}"}
            if self._tls is None:
                known = self._ca_file is not None
                self._tls = ssl.create_default_context(cafile=self._ca_file) if known else True
            async with session.get(
                self._jobs_url, headers=headers, allow_redirects=False, ssl=self._tls
            ) as answer:
                body = await answer.json() if answer.status == 200 else None
        except (ProbeError, aiohttp.ClientError, OSError, ValueError):
            body = None
        jobs = body.get("jobs") if isinstance(body, dict) else None
        if not isinstance(jobs, list):
            self._jobs_from = self._monotonic() + _NOT_OFFERED_S
            return None
        return jobs

    def take(self, look: Look | None) -> None:
        """Make figures of a look; None forgets what was known."""
        if look is None:
            self._looks.clear()
            self._point_from = self.now = None
            return
        self._looks.append(look)
        looks = list(self._looks)
        window = _RATE_WINDOW_S if self._watchers else POINT_S * 1.5
        before = oldest_within(looks[:-1], look.at, window)
        self.now = between(before, look) if before else None
        if self.now:
            # Percentiles of a few requests jump: they are of a longer time.
            longer = between(oldest_within(looks[:-1], look.at, POINT_S) or looks[-2], look)
            self.now.update({key: longer[key] for key in ("p50_ms", "p95_ms", "p99_ms")})
        if self._point_from is None:
            self._point_from = look
        elif look.at - self._point_from.at >= POINT_S * 0.95:
            self._note(between(self._point_from, look))
            self._point_from = look

    def _note(self, figures: dict[str, Any]) -> None:
        """A point of the history."""
        now = self._clock()
        point = {"at": round(now, 3), **{k: v for k, v in figures.items() if k != "agents"}}
        self.points.append(point)
        try:
            self._store.add_traffic(now, point)
            if now - self._pruned_at > _PRUNE_EVERY_S:
                self._pruned_at = now
                self._store.prune_traffic(now - self._kept_s)
        except sqlite3.Error as error:
            _LOG.warning("a point of the traffic was not kept: %s", error)
