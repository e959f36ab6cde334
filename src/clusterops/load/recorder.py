# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting answers: exact numbers of requests and failures, latencies within half a percent."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

MAX_ERRORS = 50
MAX_SAID = 100
CUT = "no answer when the run ended"


class Latencies:
    """Latencies in a histogram with three significant digits: a fixed size for any run."""

    def __init__(self) -> None:
        self._buckets: Counter[float] = Counter()
        self._count = 0
        self.max_ms = 0.0

    def add(self, ms: float) -> None:
        self._buckets[float(f"{ms:.2e}")] += 1
        self._count += 1
        self.max_ms = max(self.max_ms, ms)

    def percentiles(self, *wanted: float) -> list[float | None]:
        """For each number of 0 to 100: the latency in ms that so many percent do not exceed."""
        if not self._count:
            return [None] * len(wanted)
        found: list[float | None] = []
        ordered = sorted(self._buckets)
        for percent in wanted:
            # Nearest rank: the smallest value with at least this share at or below it.
            left = max(-(-self._count * percent // 100), 1)
            for value in ordered:
                left -= self._buckets[value]
                if left <= 0:
                    break
            found.append(round(min(value, self.max_ms), 2))
        return found


class Recorder:
    """All of a run, and the second that is under way."""

    def __init__(self) -> None:
        self.started = 0
        self.requests = 0
        self.failures = 0
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.served_by: Counter[str] = Counter()
        self.all = Latencies()
        self._window = Latencies()
        self._window_requests = 0

    def start(self) -> None:
        """A request is about to be sent."""
        self.started += 1

    def finish(
        self,
        name: str,
        ms: float,
        *,
        status: int = 0,
        error: str | None = None,
        served_by: str | None = None,
    ) -> None:
        """A request ended, with an answer or (``error``) not as it should.

        Args:
            ms: time from sending to the end of the answer.
            status: 0 when no answer came.
        """
        self.requests += 1
        self._window_requests += 1
        if status:
            self.statuses[status] += 1
            self.add_latency(ms)
        if error is not None:
            self._fail(f"{name}: {error}")
        if served_by:
            self.served_by[served_by] += 1

    def add_latency(self, ms: float) -> None:
        """Count a latency of the whole run and of this second."""
        self.all.add(ms)
        self._window.add(ms)

    def finish_unsent(self, error: str) -> None:
        """A request that should have been sent was not."""
        self.requests += 1
        self._window_requests += 1
        self._fail(error)

    def cut_unfinished(self) -> None:
        """Count requests that never ended as failures: they may have been lost."""
        for _ in range(self.started - self.requests):
            self.requests += 1
            self._fail(CUT)

    def _fail(self, error: str) -> None:
        self.failures += 1
        known = error in self.errors or len(self.errors) < MAX_ERRORS
        self.errors[error if known else "other"] += 1

    def second(self, t: float, users: int, elapsed_s: float) -> dict[str, Any]:
        """The line of the second that ends now; latencies are those of this second."""
        p50, p95, p99 = self._window.percentiles(50, 95, 99)
        line = {
            "type": "second",
            "t": round(t, 1),
            "users": users,
            "rps": round(self._window_requests / elapsed_s, 1) if elapsed_s > 0 else 0.0,
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "requests": self.requests,
            "failures": self.failures,
            "served_by": dict(sorted(self.served_by.items())),
        }
        self._window = Latencies()
        self._window_requests = 0
        return line

    def summary(self, *, duration_s: float, users: int, generator_cpu: float) -> dict[str, Any]:
        """The last line of a run.

        Args:
            generator_cpu: percent of one core that the generator itself used; near 100 the
                latencies are the generator's, not the cluster's.
        """
        p50, p95, p99 = self.all.percentiles(50, 95, 99)
        return {
            "type": "summary",
            "duration_s": round(duration_s, 2),
            "users": users,
            "requests": self.requests,
            "failures": self.failures,
            "requests_per_s": round(self.requests / duration_s, 1) if duration_s > 0 else 0.0,
            "latency_ms": {
                "p50": p50,
                "p95": p95,
                "p99": p99,
                "max": round(self.all.max_ms, 2) if self.statuses else None,
            },
            "errors": [{"error": text, "count": n} for text, n in self.errors.most_common()],
            "statuses": {str(status): n for status, n in sorted(self.statuses.items())},
            "served_by": dict(sorted(self.served_by.items())),
            "generator_cpu_percent": round(generator_cpu, 1),
        }


def describe_answer(status: int, body: bytes | None) -> str:
    """A wrong answer in a few words: its status, and what its JSON says is the error."""
    try:
        said = json.loads(body or b"")["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"status {status}"
    return f"status {status}, {' '.join(str(said).split())[:MAX_SAID]}"


def describe(error: BaseException, timeout_s: float) -> str:
    """A failure without an answer in a few words, the same for each of its kind."""
    # A client's own wrapper says less than what it wraps.
    inner = getattr(error, "original", None) or error
    if isinstance(inner, TimeoutError) or "timeout" in type(inner).__name__.lower():
        return f"no answer within {timeout_s:g} s"
    if isinstance(inner, ConnectionRefusedError):
        return "connection refused"
    if isinstance(inner, ConnectionResetError | BrokenPipeError):
        return "connection reset"
    if "ConnectionClosed" in type(inner).__name__:
        return "connection closed before the end of the answer"
    return f"{type(inner).__name__}: {' '.join(str(inner).split())[:100]}".rstrip(": ")
