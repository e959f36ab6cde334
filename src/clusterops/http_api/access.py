# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a request comes from, and what that one may do.

Services know their tokens by SHA-256 alone: a token is 256 random bits, which no slow hash makes
harder to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from clusterops.errors import ClusterOpsError

ADMIN, READ, SCALER, NOBODY = "admin", "read", "scaler", "none"

READING = frozenset({"GET", "HEAD"})
# The scaler makes machines, turns them on and off, and passes on what people ask of the host; it
# has no business removing machines.
ALLOWED: Mapping[str, frozenset[str] | None] = {
    ADMIN: None,
    SCALER: READING | {"POST"},
    READ: READING,
}
"""Methods by role; None for every one."""

BESIDES: Mapping[str, Mapping[str, str]] = {SCALER: {"DELETE": "/api/v1/jobs/[a-z]+"}}
"""Methods that a role may use on some paths alone."""

Hashes = Mapping[str, Sequence[str]]
"""Role -> SHA-256 of each token that it may come with, in hexadecimal."""


class AccessUnknown(ClusterOpsError):
    """Which tokens are right cannot be told."""


def digest(token: str | bytes) -> str:
    """What a token is known by."""
    return hashlib.sha256(token.encode() if isinstance(token, str) else token).hexdigest()


def role_of(credentials: bytes, known: Hashes) -> str:
    """The role of whoever sent this token, or NOBODY. Takes as long for a wrong one."""
    given = digest(credentials)
    found = NOBODY
    for role, hashes in known.items():
        for each in hashes:
            if hmac.compare_digest(given, each):
                found = role
    return found


def may(role: str, method: str, path: str = "") -> bool:
    """Whether a role may use a method of a path."""
    if role not in ALLOWED:
        return False
    methods = ALLOWED[role]
    if methods is None or method in methods:
        return True
    more = BESIDES.get(role, {}).get(method)
    return more is not None and bool(re.fullmatch(more, path))


class AccessFile:
    """The tokens that a JSON file allows; it is read again whenever it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._known: Hashes = {}

    def __call__(self) -> Hashes:
        """The tokens in force.

        Raises:
            AccessUnknown: the file is missing or damaged.
        """
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._known = parse(self._path.read_text(encoding="ascii"))
                self._stamp = stamp
        except (OSError, ValueError) as error:
            raise AccessUnknown(f"{self._path}: not a readable list of tokens") from error
        return self._known


def parse(text: str) -> Hashes:
    """The tokens by role out of a file's text. Raises ValueError."""
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("not an object")
    known = {}
    for role, hashes in data.items():
        if role not in ALLOWED or not isinstance(hashes, list):
            raise ValueError(f"{role}: not a list of a known role")
        if not all(isinstance(each, str) and re.fullmatch("[0-9a-f]{64}", each) for each in hashes):
            raise ValueError(f"{role}: not SHA-256 in hexadecimal")
        known[role] = tuple(hashes)
    return known


Known = Callable[[], Hashes]
"""The tokens in force; may raise AccessUnknown."""
