# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of the load generator is asked to do, checked once."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar
from urllib.parse import urlsplit

from clusterops.errors import UsageError

MAX_DURATION_S = 3600.0
MAX_USERS = 5000


@dataclass(frozen=True)
class LoadOptions:
    """One run. Times in seconds.

    Attributes:
        url: scheme, loopback host and port; see :func:`loopback_url`.
        users: simulated users, each with one connection that stays open.
        ramp_s: time in which the number of users grows from 0.
        think_min_s, think_max_s: a user's pause after each answer, drawn between both.
        path: one path to GET instead of the mix for the Fibonacci contract.
        timeout_s: longest wait for an answer; then the request has failed.
    """

    url: str
    users: int
    duration_s: float
    ramp_s: float = 0.0
    think_min_s: float = 0.02
    think_max_s: float = 0.06
    path: str | None = None
    timeout_s: float = 10.0

    runner: ClassVar[str] = "clusterops.load.runner"

    def __post_init__(self) -> None:
        problems = range_problems(
            ("users", self.users, 1, MAX_USERS),
            ("duration", self.duration_s, 1, MAX_DURATION_S),
            ("ramp", self.ramp_s, 0, self.duration_s),
            ("think-time", self.think_min_s, 0, self.think_max_s),
            ("think-time", self.think_max_s, self.think_min_s, 60),
            ("timeout", self.timeout_s, 0.1, 120),
        )
        problems += path_problem(self.path)
        if problems:
            raise UsageError("\n".join(problems))

    def command_line(self) -> list[str]:
        """The runner's command line."""
        found: list[str] = []
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                found.append(f"--{each.name}={value}")
        return found

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> LoadOptions:
        """The inverse of :meth:`command_line`."""
        given = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
        return cls(
            url=loopback_url(given["url"]),
            users=int(given["users"]),
            path=given.get("path"),
            **{
                name: float(given[name])
                for name in ("duration_s", "ramp_s", "think_min_s", "think_max_s", "timeout_s")
                if name in given
            },
        )


def range_problems(*ranges: tuple[str, float | None, float, float]) -> list[str]:
    """A line for each (option, value, lowest, highest) that is out of its range; None is in it."""
    return [
        f"--{name}: found {found:g}, allowed: {low:g} to {high:g}"
        for name, found, low, high in ranges
        # Written so that NaN, which is in no range, is refused too.
        if found is not None and not low <= found <= high
    ]


def path_problem(path: str | None) -> list[str]:
    """What is wrong with a path, if anything."""
    if path is not None and not re.fullmatch(r"/[!-~]*", path):
        return [f"--path: found {path!r}, allowed: a path such as /health"]
    if path is not None and path.startswith("//"):
        return [f"--path: found {path!r}, allowed: one slash at the beginning"]
    return []


def parse_think_time(text: str) -> tuple[float, float]:
    """``0.05-0.1`` or ``0.2`` as the shortest and longest pause in seconds."""
    low, _, high = text.partition("-")
    try:
        return float(low), float(high or low)
    except ValueError as error:
        raise UsageError(
            f"--think-time: found {text!r}, allowed: seconds such as 0.2, or a range such as "
            "0.05-0.1"
        ) from error


def loopback_url(url: str) -> str:
    """The URL reduced to scheme, host and port, if it is this machine's.

    A load generator that can be pointed anywhere is a weapon; this one cannot.

    Raises:
        UsageError: another host, or no plain http(s) URL.
    """
    wanted = "allowed: http://127.0.0.1:PORT or http://localhost:PORT"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"--url: found {url!r}, {wanted}") from error
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise UsageError(f"--url: found {url!r}, {wanted}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError(f"--url: found {url!r}, {wanted}; a path belongs to --path")
    if not _is_loopback(host):
        raise UsageError(f"--url: {host} is not this machine; load goes to loopback only. {wanted}")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port or (443 if parts.scheme == 'https' else 80)}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
