# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests users send, and which answers are right."""

from __future__ import annotations

import random
from dataclasses import dataclass

LARGEST_INDEX = 40


@dataclass(frozen=True)
class Request:
    """One request. ``name`` groups requests in reports; a status not allowed is a failure."""

    method: str
    path: str
    name: str
    allowed: frozenset[int]


_MOST_REQUESTED = Request(
    "GET",
    "/api/v1/fibonacci/most-requested",
    "GET most-requested",
    frozenset({200, 404}),  # 404: nothing was requested yet
)
_CALCULATE = [
    Request(
        "POST",
        f"/api/v1/fibonacci/calculate/{index}",
        "POST calculate",
        frozenset({200, 409}),  # 409: it is calculated already
    )
    for index in range(LARGEST_INDEX + 1)
]
_CALCULATED = [
    Request("GET", f"/api/v1/fibonacci/calculated/{index}", "GET calculated", frozenset({200}))
    for index in range(LARGEST_INDEX + 1)
]


class Mix:
    """Draws requests: of ten, four ask for a calculation, four for a result, two for the top."""

    def __init__(self, path: str | None = None, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - it is traffic, not a secret
        self._only = (
            Request("GET", path, f"GET {path}", frozenset(range(200, 400))) if path else None
        )

    def draw(self) -> Request:
        if self._only is not None:
            return self._only
        index = self._random.randint(0, LARGEST_INDEX)
        what = self._random.random()
        if what < 0.4:
            return _CALCULATE[index]
        if what < 0.8:
            return _CALCULATED[index]
        return _MOST_REQUESTED
