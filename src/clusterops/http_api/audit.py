# SPDX-License-Identifier: GPL-3.0-or-later
"""Who did what: every request that changes something, and every one that was refused."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from clusterops.http_api.access import NOBODY, READING

REFUSED = frozenset({401, 403, 408, 413, 421, 431})
FILE_BYTES = 1_000_000
FILES_KEPT = 3
# Strangers' requests: so many at once, then one each so many seconds. They must not fill a disk.
BURST = 30
EVERY_S = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One request. ``who`` is a token's role, ``seconds`` how long the answer took."""

    at: str
    service: str
    who: str
    peer: str
    method: str
    path: str
    action: str | None
    server: str | None
    status: int
    seconds: float
    left_out: int = 0
    """Strangers' requests before this one that were not written down: there were too many."""


Write = Callable[[Entry], None]


class Audit:
    """Decides what is worth an entry, and hands it on."""

    def __init__(
        self, service: str, write: Write, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._write = write
        self._clock = clock
        self._tokens = float(BURST)
        self._then = clock()
        self._left_out = 0

    def request(
        self,
        *,
        who: str,
        peer: str,
        method: str,
        path: str,
        what: dict[str, str],
        status: int,
        seconds: float,
    ) -> None:
        """Take note of one answered request. Never raises: an answer must not hang on it."""
        if method in READING and status not in REFUSED:
            return
        if who == NOBODY and not self._room():
            self._left_out += 1
            return
        entry = Entry(
            at=now_text(),
            service=self._service,
            who=who,
            peer=peer,
            method=method[:16],
            path=path[:200],
            action=what.get("action"),
            server=what.get("server"),
            status=status,
            seconds=round(seconds, 3),
            left_out=self._left_out,
        )
        self._left_out = 0
        try:
            self._write(entry)
        except Exception:
            log.exception("an entry of the audit log is lost")

    def _room(self) -> bool:
        now = self._clock()
        self._tokens = min(float(BURST), self._tokens + (now - self._then) / EVERY_S)
        self._then = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class AuditFile:
    """JSON lines, 0600; the oldest file goes when there are more than FILES_KEPT."""

    def __init__(self, path: Path, file_bytes: int = FILE_BYTES) -> None:
        self._path = path
        self._file_bytes = file_bytes

    def __call__(self, entry: Entry) -> None:
        line = json.dumps(fields(entry), ensure_ascii=True).encode() + b"\n"
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(handle).st_size
            os.write(handle, line)
        finally:
            os.close(handle)
        if size + len(line) >= self._file_bytes:
            self._rotate()

    def _rotate(self) -> None:
        names = [self._path, *older(self._path)]
        for old, new in reversed(list(pairwise(names))):
            if old.exists():
                old.replace(new)


def older(path: Path) -> list[Path]:
    """Where earlier entries are, the newest file first."""
    return [path.with_name(f"{path.name}.{number}") for number in range(1, FILES_KEPT)]


def newest_first(path: Path) -> Iterator[dict[str, Any]]:
    """Entries of an audit file and of those before it. A line that was cut off is left out."""
    for file in (path, *older(path)):
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in reversed(lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry


def fields(entry: Entry) -> dict[str, Any]:
    """An entry as it is written; what it has nothing to say about is left out."""
    found = asdict(entry)
    if not entry.left_out:
        del found["left_out"]
    return {key: value for key, value in found.items() if value is not None}


def now_text() -> str:
    """The time, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
