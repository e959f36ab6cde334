# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that ask the cluster's services and bring what they say to `status --watch`."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from clusterops import clients, event_stream
from clusterops.clients import AnswerError, ScalerClient
from clusterops.errors import ClusterOpsError, NotRunningError
from clusterops.prometheus import Prometheus

Json = dict[str, Any]

SERVERS_S, POLL_S, ALERTS_S, AGAIN_S = 1.0, 1.0, 5.0, 1.0
#: A scaler without a stream is polled, and asked again whether it has one after so long.
POLLED_FOR_S = 60.0
_WAITING_MAX = 1000


class Feeds:
    """Messages (name, data) for :class:`clusterops.cli.watch_state.WatchState`."""

    def __init__(self, cluster: Json) -> None:
        self._cluster = cluster
        self._messages: queue.Queue[tuple[str, Any]] = queue.Queue(_WAITING_MAX)
        self._ends = threading.Event()
        self._streams = False

    def __enter__(self) -> Feeds:
        for work in (self._machines, self._scaler, self._prometheus):
            threading.Thread(target=self._for_ever, args=(work,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()

    def messages(self) -> Iterator[tuple[str, Any]]:
        """What has come since the last call."""
        with contextlib.suppress(queue.Empty):
            for _ in range(_WAITING_MAX):
                yield self._messages.get_nowait()

    def _put(self, name: str, data: Any) -> None:
        # Whoever does not look for that long is suspended; what is newer comes again.
        with contextlib.suppress(queue.Full):
            self._messages.put((name, data), timeout=1.0)

    def _for_ever(self, work: Callable[[], None]) -> None:
        while not self._ends.is_set():
            try:
                work()
            except ClusterOpsError:
                self._ends.wait(AGAIN_S)

    # --- machines --------------------------------------------------------------------------

    def _machines(self) -> None:
        try:
            manager = clients.server_manager()
            self._cluster = manager.cluster()
            self._put("cluster", self._cluster)
            while not self._ends.is_set():
                self._put("servers", manager.servers())
                self._ends.wait(SERVERS_S)
        except NotRunningError as error:
            self._put("stopped", error.message)
            raise

    # --- scaler ----------------------------------------------------------------------------

    def _scaler(self) -> None:
        try:
            self._listen(clients.scaler(self._cluster))
        except ClusterOpsError as error:
            self._put("scaler_lost", error.message)
            raise

    def _listen(self, scaler: ScalerClient) -> None:
        self._streams = True
        try:
            for name, data in event_stream.watch(scaler):
                if self._ends.is_set():
                    return
                self._put(name, data)
        except AnswerError as error:
            self._streams = False
            if error.status not in (404, 503):
                raise
            self._poll(scaler)
        else:
            raise NotRunningError("The scaler ended the stream.")

    def _poll(self, scaler: ScalerClient) -> None:
        """For scalers that do not tell by themselves."""
        ends = time.monotonic() + POLLED_FOR_S
        limit = 360
        while not self._ends.is_set() and time.monotonic() < ends:
            self._put("status", scaler.status())
            self._put("ticks", scaler.ticks(limit=limit))
            self._put("events", scaler.events(limit=30))
            limit = 5
            self._ends.wait(POLL_S)

    # --- Prometheus ------------------------------------------------------------------------

    def _prometheus(self) -> None:
        prometheus = Prometheus(self._cluster.get("config") or {})
        while not self._ends.is_set():
            self._put("alerts", prometheus.alerts())
            if not self._streams:
                self._put("traffic", prometheus.traffic())
            self._ends.wait(ALERTS_S)
