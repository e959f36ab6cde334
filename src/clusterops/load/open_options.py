# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run in open loop is asked to do, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, cast, get_args

from clusterops.errors import UsageError
from clusterops.load import profiles
from clusterops.load.options import MAX_DURATION_S, loopback_url, path_problem, range_problems

MAX_RATE = 5000.0
MAX_OUTSTANDING = 5000
DEFAULT_RATE = 50.0
DEFAULT_DURATION_S = 60.0


@dataclass(frozen=True)
class OpenOptions:
    """One run. Times in seconds.

    Attributes:
        url: scheme, loopback host and port; see :func:`clusterops.load.options.loopback_url`.
        profile: one of :data:`clusterops.load.profiles.PROFILES`.
        trace: what ``replay`` replays: a name of the simulation's, or a file.
        rate: the highest rate, requests per second; None for the trace's own.
        duration_s: None for the trace's own.
        arrivals: evenly spaced, or by chance.
        outstanding: most requests without an answer at a time; more are not sent, and counted.
    """

    runner: ClassVar[str] = "clusterops.load.open_loop"

    url: str
    profile: str = "constant"
    trace: str | None = None
    rate: float | None = None
    duration_s: float | None = None
    arrivals: profiles.Arrivals = "poisson"
    seed: int = 1
    outstanding: int = 1000
    path: str | None = None
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        problems = range_problems(
            ("rate", self.rate, 0.1, MAX_RATE),
            ("duration", self.duration_s, 1, MAX_DURATION_S),
            ("outstanding", self.outstanding, 1, MAX_OUTSTANDING),
            ("timeout", self.timeout_s, 0.1, 120),
        )
        if self.arrivals not in get_args(profiles.Arrivals):
            allowed = ", ".join(get_args(profiles.Arrivals))
            problems.append(f"--arrivals: found {self.arrivals!r}, allowed: {allowed}")
        if (self.profile == profiles.REPLAY) != (self.trace is not None):
            problems.append(f"--trace: belongs to --profile {profiles.REPLAY}, which needs it")
        problems += path_problem(self.path)
        if problems:
            raise UsageError("\n".join(problems))

    def made(self) -> profiles.Profile:
        """The profile itself.

        Raises:
            UsageError: there is none of that name, or the trace cannot be used.
        """
        if self.trace is None:
            return profiles.named(
                self.profile,
                DEFAULT_RATE if self.rate is None else self.rate,
                DEFAULT_DURATION_S if self.duration_s is None else self.duration_s,
            )
        rate = self.rate
        if rate is None and not profiles.has_own_rate(self.trace):
            rate = DEFAULT_RATE
        made = profiles.replayed(profiles.find_trace(self.trace), rate, self.duration_s)
        problems = range_problems(
            ("trace", made.rate, 0, MAX_RATE), ("duration", made.duration_s, 1, MAX_DURATION_S)
        )
        if problems:
            raise UsageError(
                "\n".join(problems), remedy="--rate and --duration fit a trace into these limits"
            )
        return made

    def command_line(self) -> list[str]:
        """The runner's command line."""
        return [
            f"--{each.name}={value}"
            for each in fields(self)
            if (value := getattr(self, each.name)) is not None
        ]

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> OpenOptions:
        """The inverse of :meth:`command_line`."""
        given = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
        return cls(
            url=loopback_url(given["url"]),
            profile=given["profile"],
            trace=given.get("trace"),
            rate=_number(given.get("rate")),
            duration_s=_number(given.get("duration_s")),
            arrivals=cast(profiles.Arrivals, given["arrivals"]),
            seed=int(given["seed"]),
            outstanding=int(given["outstanding"]),
            path=given.get("path"),
            timeout_s=float(given["timeout_s"]),
        )


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
