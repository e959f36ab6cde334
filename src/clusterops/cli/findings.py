# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks of this machine are made of: levels, results, and machines that are there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """``failed`` keeps `up` from working; a ``warning`` does not."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Result:
    """One line of the report."""

    check: str
    level: Level
    message: str
    remedy: str | None = None


@dataclass(frozen=True)
class Problem:
    """Something that keeps `up` from working."""

    check: str
    message: str
    remedy: str | None = None


@dataclass(frozen=True)
class Machine:
    """A machine of some cluster that the engine knows."""

    name: str
    cluster: str
    running: bool
    ports: frozenset[int] = frozenset()
