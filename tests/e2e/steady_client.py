# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that never stops asking and counts every answer; it does not retry anything."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

ALLOWED = {200, 409}


def fibonacci(turn: int) -> tuple[str, str]:
    """Method and path: every second one writes."""
    if turn % 2:
        return "POST", f"/api/v1/fibonacci/calculate/{turn % 41}"
    return "GET", f"/api/v1/fibonacci/calculated/{turn % 41}"


class SteadyClient:
    """A few keep-alive connections, each with a request every ``pause_s`` seconds."""

    def __init__(
        self,
        url: str,
        connections: int = 4,
        pause_s: float = 0.05,
        what: Callable[[int], tuple[str, str]] = fibonacci,
    ) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._pause_s = pause_s
        self._what = what
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(connections)
        ]
        self._lock = threading.Lock()
        self.requests = 0
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> SteadyClient:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=70)

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        turn = number
        while not self._stop.is_set():
            turn += 1
            method, path = self._what(turn)
            failure = None
            try:
                connection.request(method, path)
                answer = connection.getresponse()
                answer.read()
                if answer.status not in ALLOWED:
                    failure = f"{method} {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                failure = f"{method} {type(error).__name__}: {error}"
                connection.close()
            with self._lock:
                self.requests += 1
                if failure:
                    self.failures[failure] += 1
            time.sleep(self._pause_s)
        connection.close()
