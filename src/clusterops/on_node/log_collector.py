# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints a node's logs, one entry a line as JSON: the last ones in order, then new ones.

The journal, the application's containers and log files come from here together, so that one ssh
connection to a node is enough. The line ``{"ready": true}`` stands between old and new.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TextIO

from clusterops.on_node.log_sources import (
    Limiter,
    containers,
    from_container,
    from_file,
    from_journal,
    wanted,
)

Json = dict[str, Any]
Matches = Callable[[Json], bool]
Parse = Callable[[str], "Json | None"]

CONTAINERS = "/var/lib/docker/containers"
_FIELDS = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,UNIT,_SYSTEMD_UNIT"
_BLOCK = 65_536
#: However rare what is looked for is: so much is looked through, and no more.
SCAN_LINES, SCAN_S, SCAN_BYTES = 200_000, 8.0, 64 * 1024 * 1024
_LINE_MAX = 1024 * 1024
_POLL_S, _RESCAN_S = 0.2, 1.0


def run(query: Json, out: TextIO | None = None, stdin: int = 0) -> None:
    """Print what is asked for; see :func:`wanted`.

    Args:
        query: also ``lines``, ``follow``, ``journal`` and ``containers`` (booleans), ``units``
            (patterns; none: the whole journal), ``files`` (service -> shell patterns of paths),
            ``per_second`` (see :class:`Limiter`).
        stdin: a file descriptor; its end is the end of following.
    """
    out = out or sys.stdout
    matches, lines = wanted(query), query["lines"]
    old, cursor = _old_journal(query, matches, lines) if query.get("journal") else ([], None)
    tails = Tails(query, matches)
    old += tails.old(lines)
    old.sort(key=lambda entry: entry["at"])
    few = Limiter(query.get("per_second") or 0)
    for entry in old[-lines:] if lines else []:
        _say(out, *few.take(entry))
    _say(out, *few.over(time.time()), {"ready": True})
    if query.get("follow"):
        _follow(query, matches, cursor, tails, out, stdin)


def _say(out: TextIO, *entries: Json) -> None:
    for entry in entries:
        out.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n")
    out.flush()


def _journalctl(query: Json, *more: str) -> subprocess.Popen[bytes]:
    command = ["journalctl", "--no-pager", "--quiet", "--output", "json"]
    command += ["--output-fields", _FIELDS]
    for unit in query.get("units") or []:
        command += ["--unit", unit]
    return subprocess.Popen(  # noqa: S603 - no shell
        [*command, *more],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _old_journal(query: Json, matches: Matches, lines: int) -> tuple[list[Json], str | None]:
    """The last entries that match, newest first, and the cursor of the very last one."""
    more = ["--reverse"]
    if query.get("since") is not None:
        more += ["--since", f"@{query['since']:.6f}"]
    if not query.get("grep") and query.get("priority") is None and not query.get("services"):
        more += ["--lines", str(max(lines, 1))]
    process = _journalctl(query, *more)
    found: list[Json] = []
    cursor, ends = None, time.monotonic() + SCAN_S
    try:
        for count, line in enumerate(process.stdout or ()):
            parsed = from_journal(line)
            if parsed is None:
                continue
            cursor = cursor or parsed[1]
            if len(found) < lines and matches(parsed[0]):
                found.append(parsed[0])
            if len(found) >= lines or count > SCAN_LINES or time.monotonic() > ends:
                break
    finally:
        process.kill()
        process.wait()
    return found, cursor


class Tails:
    """Files that grow: those of containers and of services that do not write to the journal."""

    def __init__(self, query: Json, matches: Matches) -> None:
        self._query, self._matches = query, matches
        self._files: dict[str, _Tail] = {}
        self._scanned = 0.0

    def old(self, lines: int) -> list[Json]:
        """The last entries of all files that match; what comes later is `new`."""
        found: list[Json] = []
        for path, parse in self._named().items():
            tail = self._files[path] = _Tail(path, parse)
            found += tail.last(lines, self._matches)
        self._scanned = time.monotonic()
        return found

    def new(self) -> Iterator[Json]:
        """Entries that were written since the last call, in files that came since, too."""
        if time.monotonic() - self._scanned > _RESCAN_S:
            self._scanned = time.monotonic()
            named = self._named()
            for path in self._files.keys() - named.keys():
                self._files.pop(path).close()
            for path in named.keys() - self._files.keys():
                self._files[path] = _Tail(path, named[path])
        for tail in self._files.values():
            for entry in tail.new():
                if self._matches(entry):
                    yield entry

    def _named(self) -> dict[str, Parse]:
        """Path -> function that makes an entry of one of its lines."""
        named: dict[str, Parse] = {}
        for service, patterns in (self._query.get("files") or {}).items():
            for pattern in patterns:
                for file in sorted(Path("/").glob(pattern.lstrip("/"))):
                    named[str(file)] = _file_parser(service, file.name)
        if self._query.get("containers"):
            for path, (service, name) in containers(CONTAINERS).items():
                named[path] = _container_parser(service, name)
        return named


def _container_parser(service: str, name: str) -> Parse:
    return lambda line: from_container(line, service, name)


def _file_parser(service: str, name: str) -> Parse:
    before = [time.time()]

    def parse(line: str) -> Json:
        entry = from_file(line, service, name, before[0])
        before[0] = entry["at"]
        return entry

    return parse


class _Tail:
    """One file, and how far it has been read; it may be replaced by another of its name."""

    def __init__(self, path: str, parse: Parse) -> None:
        self._path, self._parse = path, parse
        self._stream: IO[bytes] | None = None
        self._inode: int | None = None
        self._rest = b""
        self._open()

    def _open(self) -> None:
        self.close()
        try:
            self._stream = Path(self._path).open("rb")  # noqa: SIM115 - it stays open
            self._inode = os.fstat(self._stream.fileno()).st_ino
        except OSError:
            self._stream = self._inode = None
        self._rest = b""

    def close(self) -> None:
        if self._stream:
            self._stream.close()
            self._stream = None

    def last(self, lines: int, matches: Matches) -> list[Json]:
        """The last entries that match, and the end of the file is where `new` goes on."""
        if self._stream is None:
            return []
        found: list[Json] = []
        rest = b""
        position = end = self._stream.seek(0, os.SEEK_END)
        while position > 0 and len(found) < lines and end - position < SCAN_BYTES:
            size = min(_BLOCK, position)
            position -= size
            self._stream.seek(position)
            head, *parts = (self._stream.read(size) + rest).split(b"\n")
            for raw in reversed(parts):
                self._take(raw, matches, found)
            rest = head if len(head) < _LINE_MAX else b""
        if position == 0 and len(found) < lines:
            self._take(rest, matches, found)
        self._stream.seek(end)
        return found[:lines]

    def _take(self, raw: bytes, matches: Matches, found: list[Json]) -> None:
        entry = self._parse(raw.decode("utf-8", "replace")) if raw.strip() else None
        if entry is not None and matches(entry):
            found.append(entry)

    def new(self) -> Iterator[Json]:
        """Entries of whole lines that were added."""
        for _ in range(2):
            yield from self._read()
            if not self._replaced():
                return
            self._open()

    def _replaced(self) -> bool:
        try:
            now = Path(self._path).stat()
        except OSError:
            return False
        at = self._stream.tell() if self._stream else 0
        return now.st_ino != self._inode or now.st_size < at

    def _read(self) -> Iterator[Json]:
        while self._stream:
            block = self._stream.read(_BLOCK)
            if not block:
                return
            *whole, self._rest = (self._rest + block).split(b"\n")
            if len(self._rest) > _LINE_MAX:
                self._rest = b""
            for raw in whole:
                entry = self._parse(raw.decode("utf-8", "replace")) if raw.strip() else None
                if entry is not None:
                    yield entry


def _follow(
    query: Json,
    matches: Matches,
    cursor: str | None,
    tails: Tails,
    out: TextIO,
    stdin: int,
) -> None:
    """Until standard input ends, or nobody reads any more."""
    process = None
    if query.get("journal"):
        after = ["all", "--after-cursor", cursor] if cursor else ["0"]
        process = _journalctl(query, "--follow", "--lines", *after)
    journal = process.stdout.fileno() if process and process.stdout else -1
    rest = b""
    few = Limiter(query.get("per_second") or 0)
    watched = [stdin, *([journal] if process else [])]
    try:
        while True:
            ready, _, _ = select.select(watched, [], [], _POLL_S)
            if stdin in ready and not os.read(stdin, 4096):
                return
            if journal in ready:
                block = os.read(journal, _BLOCK)
                if not block:
                    return
                *whole, rest = (rest + block).split(b"\n")
                for line in whole:
                    parsed = from_journal(line)
                    if parsed and matches(parsed[0]):
                        _say(out, *few.take(parsed[0]))
            for entry in tails.new():
                _say(out, *few.take(entry))
            _say(out, *few.over(time.time() - 1))
    except BrokenPipeError:
        # Nobody reads any more; the interpreter's last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    finally:
        if process:
            process.kill()
            process.wait()
