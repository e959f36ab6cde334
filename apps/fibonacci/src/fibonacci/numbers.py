# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure parts: which indices are accepted, and the numbers themselves."""

import re

from fibonacci.errors import IndexRejectedError

LOWEST, HIGHEST = 0, 40

_CANONICAL = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMERIC = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?"
    r"|0[xX][0-9a-fA-F]+|Infinity)"
)


def parse_index(text: str) -> int:
    """Return the index that *text* names.

    One spelling per number: ``010``, ``1e1``, ``0x0a``, ``10.0`` and ``-0`` are refused, so that a
    job cannot be stored under one key and looked for under another.

    Raises:
        IndexRejectedError: with the message the API answers.
    """
    if not text.strip():
        raise IndexRejectedError("Index is required")
    if _CANONICAL.fullmatch(text) and text != "-0":
        # By length first: int() of thousands of digits is slow, then an error.
        if len(text) <= 2 and LOWEST <= int(text) <= HIGHEST:
            return int(text)
        raise IndexRejectedError(f"Index must be between {LOWEST} and {HIGHEST}")
    if _NUMERIC.fullmatch(text):
        raise IndexRejectedError("Index must be an integer")
    raise IndexRejectedError("Index must be a number")


def fibonacci(index: int) -> int:
    """Return F(index), where F(0) is 0 and F(1) is 1.

    Raises:
        ValueError: for a negative index.
    """
    if index < 0:
        raise ValueError(f"index {index} is negative")
    current, following = 0, 1
    for _ in range(index):
        current, following = following, current + following
    return current
