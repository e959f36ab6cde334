# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting in open loop: every request that was due, from the moment at which it was due."""

from __future__ import annotations

from typing import Any

from clusterops.load.recorder import Latencies, Recorder

NOT_SENT = "not sent: too many requests without an answer"
LATE_MS = 50.0
"""A generator that is later than this, for one request of a hundred, is the bottleneck itself."""
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


class OpenRecorder(Recorder):
    """A recorder whose latencies are counted from when a request was due.

    ``service`` is from when it was sent: what a client in closed loop would have measured.
    ``late`` is how much later than due it was sent, which is the generator's own fault.
    """

    def __init__(self) -> None:
        super().__init__()
        self.not_sent = 0
        self.service = Latencies()
        self.late = Latencies()
        self._late_window = Latencies()

    def sent(self, late_ms: float) -> None:
        """A request is about to be sent."""
        self.start()
        self.late.add(late_ms)
        self._late_window.add(late_ms)

    def answered(self, service_ms: float, latency_ms: float, *, waited: bool) -> None:
        """Note how long it took; called beside :meth:`finish`.

        Args:
            waited: without an answer, but for the whole time limit: that is a latency, too.
        """
        self.service.add(service_ms)
        if waited:
            self.add_latency(latency_ms)

    def left_out(self) -> None:
        """A request was due and could not be sent. It is a failure, not a gap."""
        self.start()
        self.not_sent += 1
        self.finish_unsent(NOT_SENT)

    def row(
        self, t: float, at: str, elapsed_s: float, rate_wanted: float, outstanding: int
    ) -> dict[str, Any]:
        """The line of the second that ends now.

        Args:
            at: the time, ISO 8601.
            rate_wanted: requests per second that the profile asks for.
            outstanding: requests without an answer now.
        """
        (late,) = self._late_window.percentiles(99)
        self._late_window = Latencies()
        second = self.second(t, outstanding, elapsed_s)
        return {**second, "at": at, "rate_wanted": round(rate_wanted, 1), "late_ms": late}

    def totals(self, *, duration_s: float, generator_cpu: float) -> dict[str, Any]:
        """The figures of the whole run. See :meth:`Recorder.summary`."""
        whole = self.summary(duration_s=duration_s, users=0, generator_cpu=generator_cpu)
        del whole["type"], whole["users"]
        (late_p99,) = self.late.percentiles(99)
        return {
            **whole,
            "latency_ms": _figures(self.all),
            "service_time_ms": _figures(self.service),
            "not_sent": self.not_sent,
            "generator_late_ms": {"p99": late_p99, "max": round(self.late.max_ms, 2)},
            "generator_kept_up": (late_p99 or 0.0) <= LATE_MS,
        }


def _figures(latencies: Latencies) -> dict[str, float | None]:
    names = [f"p{percent:g}" for percent in PERCENTILES]
    found = dict(zip(names, latencies.percentiles(*PERCENTILES), strict=True))
    empty = found["p50"] is None
    return {**found, "max": None if empty else round(latencies.max_ms, 2)}
