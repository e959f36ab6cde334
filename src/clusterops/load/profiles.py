# SPDX-License-Identifier: GPL-3.0-or-later
"""How much load when: shapes by name, traces, and the moments at which requests are due. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clusterops.errors import UsageError
from clusterops.scaler.simulation.traces import TRACES, Trace, named_trace, read_trace

Arrivals = Literal["poisson", "uniform"]
Shape = Callable[[float], float]
"""A share of the duration, 0 to 1 -> a share of the highest rate, 0 to 1."""

SLOT_S = 0.05
"""The rate is taken to be constant for this long."""
LOW = 0.2
REPLAY = "replay"


def _constant(_: float) -> float:
    return 1.0


def _step(at: float) -> float:
    return LOW if at < 0.25 else 1.0


def _ramp(at: float) -> float:
    return 0.1 + 0.9 * min(at / 0.8, 1.0)


def _spike(at: float) -> float:
    return 1.0 if 0.4 <= at < 0.6 else LOW


def _wave(at: float) -> float:
    return 0.1 + 0.9 * (1 - math.cos(4 * math.pi * at)) / 2


SHAPES: dict[str, tuple[Shape, str]] = {
    "constant": (_constant, "the same rate all the time"),
    "step": (_step, "a fifth of the rate; after a quarter of the time all of it"),
    "ramp": (_ramp, "from a tenth to the rate within four fifths of the time, then level"),
    "spike": (_spike, "a fifth; in the middle fifth of the time all of it"),
    "wave": (_wave, "two waves between a tenth and the rate"),
}
"""Name -> shape, and what it is."""
PROFILES = (*SHAPES, REPLAY)


@dataclass(frozen=True)
class Profile:
    """Requests per second over a time. ``rate`` is the highest, ``duration_s`` in seconds."""

    name: str
    rate: float
    duration_s: float
    shape: Shape

    def at(self, seconds: float) -> float:
        """Requests per second at that time; none before the start and after the end."""
        if not 0 <= seconds < self.duration_s:
            return 0.0
        return self.rate * self.shape(seconds / self.duration_s)


def named(name: str, rate: float, duration_s: float) -> Profile:
    """The profile of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in SHAPES:
        raise UsageError(
            f"--profile: found {name!r}; allowed: {', '.join(PROFILES)}",
            remedy=f"{REPLAY} takes its shape from --trace",
        )
    return Profile(name, rate, duration_s, SHAPES[name][0])


def replayed(trace: Trace, rate: float | None, duration_s: float | None) -> Profile:
    """A trace as a profile.

    Args:
        rate: the highest rate, instead of the trace's own.
        duration_s: the time that the whole trace is fitted into, instead of its own.
    """
    peak = max(trace.rates)
    if peak <= 0:
        raise UsageError(f"--trace: {trace.name} has no load in it")

    def shape(share: float) -> float:
        return trace.at(share * trace.duration_s) / peak

    return Profile(
        f"{REPLAY} {trace.name}",
        peak if rate is None else rate,
        trace.duration_s if duration_s is None else duration_s,
        shape,
    )


def find_trace(name: str) -> Trace:
    """A trace by its name, or out of a file.

    Raises:
        UsageError: there is none, or the file cannot be used.
    """
    path = Path(name)
    if name not in TRACES and (path.exists() or path.suffix or len(path.parts) > 1):
        return read_trace(path)
    return named_trace(name, 1.0)


def has_own_rate(name: str) -> bool:
    """Whether a trace has rates of its own; those that have a name are shapes alone."""
    return name not in TRACES


def arrivals(profile: Profile, how: Arrivals, seed: int) -> Iterator[float]:
    """When requests are due, seconds from the start, ascending. The same seed gives the same.

    ``uniform`` spaces them evenly for the rate of the moment; ``poisson`` leaves it to chance, as
    people who know nothing of each other do.
    """
    generator = random.Random(seed)  # noqa: S311 - it is traffic, not a secret
    poisson = how == "poisson"
    # Requests are numbered by how many should have come by then: the integral of the rate.
    following = generator.expovariate(1) if poisson else 0.5
    come = 0.0
    for slot in range(math.ceil(profile.duration_s / SLOT_S)):
        start = slot * SLOT_S
        width = min(SLOT_S, profile.duration_s - start)
        rate = profile.at(start + width / 2)
        after = come + rate * width
        while following < after:
            yield start + (following - come) / rate
            following += generator.expovariate(1) if poisson else 1.0
        come = after
