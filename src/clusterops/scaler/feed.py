# SPDX-License-Identifier: GPL-3.0-or-later
"""What the dashboard is told, as server-sent events: everything at first, then what is new."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from clusterops.scaler.daemon import Controller
from clusterops.scaler.explain import GUARDS
from clusterops.scaler.points import point_of
from clusterops.scaler.watch import Watch

_LOG = logging.getLogger(__name__)
Json = dict[str, Any]

EVERY_S = 0.5
SPAN_S = 3600.0
READERS = 32
"""How many may watch at once: a stream keeps one of the server's connections."""
_POINTS = 720
_EVENTS = 300
_BEHIND = 16
"""Messages that wait for a reader; one who is slower begins anew."""
_EVENT_FIELDS = ("id", "at", "kind", "agent", "message", "action", "desired", "direction", "alarm")


class FullError(Exception):
    """Too many watch already."""


class Feed:
    """Tells all readers the same; works only while there are some.

    Args:
        describe: makes the status document.
    """

    def __init__(
        self,
        controller: Controller,
        describe: Callable[[Controller], Json],
        watch: Watch | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._controller = controller
        self._clock = clock
        self._describe = describe
        self._watch = watch
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._publisher: asyncio.Task[None] | None = None
        self._points: deque[Json] = deque()
        self._points_to = 0.0
        self._traffic_to = 0.0
        self._event_to = 0
        self._event_at = 0.0

    def close(self) -> None:
        """End all streams; readers come back when there is somebody to tell them something."""
        for queue in self._queues:
            _end(queue)
        if self._publisher:
            self._publisher.cancel()

    def open(self) -> AsyncIterator[bytes]:
        """A stream of messages.

        Raises:
            FullError: too many are open.
        """
        if len(self._queues) >= READERS:
            raise FullError(f"{READERS} watch already")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_BEHIND)
        self._queues.add(queue)
        return self._stream(queue)

    async def _stream(self, queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
        try:
            with self._watch.watched() if self._watch else contextlib.nullcontext():
                self._start()
                yield b"retry: 1000\n\n" + message("snapshot", self.snapshot())
                while (data := await queue.get()) is not None:
                    yield data
        finally:
            self._queues.discard(queue)

    def _start(self) -> None:
        if self._publisher is None or self._publisher.done():
            self._skip()
            self._publisher = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        last, told_at = b"", 0.0
        while self._queues:
            try:
                data = b"".join(message(name, value) for name, value in self._news())
                state = self.state()
                # The time alone is news once a second: it shows that the stream is alive.
                moment = {**state, "at": 0}
                text = json.dumps(moment, separators=(",", ":")).encode()
                if text != last or time.monotonic() - told_at >= 2 * EVERY_S:
                    last, told_at = text, time.monotonic()
                    data += message("state", state)
            except Exception:  # a fault here must not end the page for good
                _LOG.exception("the dashboard was not told")
                data = b""
            if data:
                self._tell(data)
            await asyncio.sleep(EVERY_S)

    def _tell(self, data: bytes) -> None:
        for queue in tuple(self._queues):
            if queue.full():
                _end(queue)
            else:
                queue.put_nowait(data)

    # --- what is told ------------------------------------------------------------------------

    def state(self) -> Json:
        """How things are at this moment."""
        return {
            "at": round(self._clock(), 3),
            "status": self._describe(self._controller),
            "traffic": self._watch.now if self._watch else None,
            "jobs": self._watch.jobs if self._watch else None,
        }

    def snapshot(self) -> Json:
        """The state, and what led to it."""
        now = self._clock()
        self._learn(now)
        step = -(-len(self._points) // _POINTS) or 1
        traffic = self._watch.points if self._watch else ()
        return {
            **self.state(),
            "points": list(self._points)[::-1][::step][::-1],
            "traffic_points": [point for point in traffic if point["at"] > now - SPAN_S],
            "events": [
                event_of(row)
                for row in self._controller.ledger.store.events(_EVENTS, span=(now - SPAN_S, 1e300))
            ],
            "guards": GUARDS,
        }

    def _news(self) -> Iterator[tuple[str, Any]]:
        """What came since the last time."""
        for point in self._learn(self._clock()):
            yield "point", point
        if self._watch and self._watch.points and self._watch.points[-1]["at"] > self._traffic_to:
            self._traffic_to = self._watch.points[-1]["at"]
            yield "traffic_point", self._watch.points[-1]
        events = self._new_events()
        if events:
            yield "events", events

    def _skip(self) -> None:
        """What a snapshot has told is no news."""
        if self._watch and self._watch.points:
            self._traffic_to = self._watch.points[-1]["at"]
        self._new_events()

    def _new_events(self) -> list[Json]:
        rows = self._controller.ledger.store.events(
            _EVENTS if self._event_to else 1, span=(self._event_at - 1.0, 1e300)
        )
        rows = [row for row in rows if row["id"] > self._event_to]
        if rows:
            self._event_to, self._event_at = rows[0]["id"], rows[0]["at"]
        return [event_of(row) for row in rows]

    def _learn(self, now: float) -> list[Json]:
        """Points of ticks that are new."""
        since = max(self._points_to, now - SPAN_S)
        rows = self._controller.ledger.store.ticks(1000, span=(since, 1e300))
        points = [point_of(row, row["at"]) for row in reversed(rows)]
        if points:
            self._points_to = rows[0]["at"]
        self._points.extend(points)
        while self._points and self._points[0]["at"] < now - SPAN_S:
            self._points.popleft()
        return points


def message(name: str, value: Any) -> bytes:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def event_of(row: Mapping[str, Any]) -> Json:
    """An event without what only programs read (a playbook's stages)."""
    return {field: row[field] for field in _EVENT_FIELDS if row.get(field) is not None}


def _end(queue: asyncio.Queue[bytes | None]) -> None:
    """Its reader sees the end next, whatever was waiting."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)
