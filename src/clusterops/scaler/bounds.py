# SPDX-License-Identifier: GPL-3.0-or-later
"""The least and the most agents, as somebody set them while the cluster runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most agents that may be wanted."""

    low: int
    high: int

    def within(self, configured: Bounds) -> Bounds:
        """What of these holds where cluster.yml has been changed since."""
        high = min(self.high, configured.high)
        return Bounds(min(self.low, high), high)


def least(configured: Bounds) -> int:
    """The smallest minimum: none at all only where cluster.yml has that, too."""
    return min(1, configured.low)


def checked(low: Any, high: Any, configured: Bounds) -> Bounds:
    """The bounds that somebody asks for.

    Machines beyond cluster.yml's maximum do not exist for anybody, so that is the limit.

    Raises:
        ValueError: one line that says which one, what was found and what is allowed.
    """
    first = least(configured)
    for name, value in (("min", low), ("max", high)):
        # Without a maximum of one, nothing could ever be served.
        floor = first if name == "min" else 1
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole and floor <= value <= configured.high):
            raise ValueError(
                f"{name}: found {value!r}; allowed: a whole number from {floor} to "
                f"{configured.high} (agents_max in cluster.yml)"
            )
    if low > high:
        raise ValueError(f"min: {low} is more than max ({high})")
    return Bounds(low, high)


def bounds_from(value: Any) -> Bounds | None:
    """Bounds as the store has them. Raises KeyError, TypeError or ValueError for another form."""
    return Bounds(int(value["min"]), int(value["max"])) if value else None
