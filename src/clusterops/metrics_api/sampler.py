# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the node's numbers ready, so that a request never waits for a measurement."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from clusterops.metrics_api import readers

SAMPLE_INTERVAL_S = 1.0
# One short sample says nothing: of a true mean of 50 %, nearly half of them are above 80 and
# nearly half below 20. The window is what a scaler polls with, so nothing is seen twice or missed.
WINDOW_S = 10.0
# A node whose numbers stopped moving has none: missing is safe for a scaler, stale is not.
STALE_AFTER_S = 15.0
_FIRST_INTERVAL_S = 0.2
_LOAD_INTERVAL_S = 5.0


class Snapshot(NamedTuple):
    """One consistent set of numbers; sizes in bytes, `sampled_at` in Unix time."""

    cpu_percent: float
    cpus: float
    memory_total: int
    memory_available: int
    disk_total: int
    disk_free: int
    load: tuple[float, float, float]
    sampled_at: float

    @property
    def memory_percent(self) -> float:
        """Used memory, 0 to 100."""
        return percent(self.memory_total - self.memory_available, self.memory_total)

    @property
    def disk_percent(self) -> float:
        """Used disk space, 0 to 100."""
        return percent(self.disk_total - self.disk_free, self.disk_total)


def percent(part: float, whole: float) -> float:
    """`part` of `whole` in percent, from 0 to 100; 0 if there is no whole."""
    return min(100.0, max(0.0, 100.0 * part / whole)) if whole > 0 else 0.0


class CpuWindow:
    """CPU use averaged over the last `window_s` seconds."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, now: float, usage: readers.CpuUsage) -> float:
        """Add a sample taken at monotonic time `now`; return the average in percent."""
        samples = self._samples
        if samples and usage.seconds < samples[-1][1]:
            samples.clear()  # the counter began anew
        samples.append((now, usage.seconds))
        # The oldest one kept is the youngest that still spans the whole window.
        while len(samples) > 2 and now - samples[1][0] >= self._window_s - 1e-3:
            samples.popleft()
        then, before = samples[0]
        return percent(usage.seconds - before, (now - then) * usage.cpus)


class LoadAverage:
    """Load averages as the kernel makes them, from a count taken now and then."""

    def __init__(self) -> None:
        self._values = (0.0, 0.0, 0.0)
        self._then: float | None = None

    def due(self, now: float) -> bool:
        """Whether it is time to count."""
        return self._then is None or now - self._then >= _LOAD_INTERVAL_S

    def add(self, now: float, runnable: int) -> tuple[float, float, float]:
        """Add a count taken at monotonic time `now`; return the averages of 1, 5, 15 minutes."""
        elapsed = _LOAD_INTERVAL_S if self._then is None else now - self._then
        self._then = now
        one, five, fifteen = (
            runnable + (value - runnable) * math.exp(-elapsed / seconds)
            for value, seconds in zip(self._values, (60, 300, 900), strict=True)
        )
        self._values = (one, five, fifteen)
        return self._values

    @property
    def values(self) -> tuple[float, float, float]:
        """The averages as they stand."""
        return self._values


class Sampler:
    """Takes samples; `current` is the newest one and never blocks."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._source = readers.detect(root)
        self._window = CpuWindow()
        self._load = LoadAverage()
        self._snapshot: Snapshot | None = None
        self._taken_at = 0.0
        self._failure: str | None = None

    @property
    def kind(self) -> str:
        """Where the numbers come from: `cgroup v2`, `cgroup v1` or `machine`."""
        return self._source.kind

    def current(self) -> Snapshot | None:
        """The newest sample, or None if there is none young enough to be believed."""
        if self._clock() - self._taken_at > STALE_AFTER_S:
            return None
        return self._snapshot

    def sample(self) -> None:
        """Take one sample.

        Raises:
            OSError, ValueError: a file is missing or does not hold what it should.
        """
        now = self._clock()
        cpu = self._source.cpu()
        memory = self._source.memory()
        disk_total, disk_free = readers.read_disk(self._root)
        self._snapshot = Snapshot(
            cpu_percent=self._window.add(now, cpu),
            cpus=cpu.cpus,
            memory_total=memory.total,
            memory_available=memory.available,
            disk_total=disk_total,
            disk_free=disk_free,
            load=self._read_load(now),
            sampled_at=time.time(),
        )
        self._taken_at = now

    def prime(self) -> None:
        """Take the first two samples, so that the very first answer holds a measured CPU use.

        Raises:
            OSError, ValueError: this machine cannot be measured.
        """
        self.sample()
        time.sleep(_FIRST_INTERVAL_S)
        self.sample()

    def start(self) -> None:
        """Sample from a background thread for as long as the process lives."""
        threading.Thread(target=self._run, name="sampler", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(SAMPLE_INTERVAL_S)
            failure = None
            try:
                self.sample()
            except (OSError, ValueError, LookupError) as error:
                failure = f"{type(error).__name__}: {error}"
            if failure != self._failure:  # say it once, not every second
                self._failure = failure
                state = f"cannot take samples: {failure}" if failure else "samples are back"
                print(f"metrics-api: {state}", file=sys.stderr, flush=True)

    def _read_load(self, now: float) -> tuple[float, float, float]:
        if self._source.kind == "machine":
            return readers.read_load(self._root)
        if self._load.due(now):
            self._load.add(now, readers.count_runnable(self._root, os.getpid()))
        return self._load.values
