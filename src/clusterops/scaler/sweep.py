# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP GET, small enough to ask a thousand agents at once; bounded in size and in time.

General HTTP clients need several times as much processor time for it
(benchmarks/scaler_sweep.py), and the scaler shares its node with the load balancer.
"""

from __future__ import annotations

import asyncio
import errno
import re
import resource
from typing import NamedTuple
from urllib.parse import quote

HEAD_LIMIT = 16 * 1024
BODY_LIMIT = 64 * 1024
_CHUNK_LINE_LIMIT = 256
_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-9][0-9]{2})(?: .*)?", re.ASCII)
_CONNECTIONS = 1000
_OTHER_FILES = 256  # the database, the API's clients, the playbook in progress
#: This machine's shortage, which says nothing about an agent.
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class ShortageError(Exception):
    """This machine has no connection to spare."""


class Answer(NamedTuple):
    """What came back; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class AnswerParser:
    """Takes an HTTP/1 answer apart as it arrives (RFC 9112). The work is linear in its length.

    Both methods raise ValueError for what is no such answer, or is too big.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._body = bytearray()
        self._head: tuple[int, dict[str, str]] | None = None
        self._chunked = False
        self._length: int | None = None

    def feed(self, data: bytes) -> Answer | None:
        """The answer, once it is complete."""
        self._buffer += data
        if self._head is None and not self._take_head():
            return None
        if self._chunked:
            complete = self._take_chunks()
        else:
            self._body += self._buffer
            self._buffer.clear()
            complete = self._length is not None and len(self._body) >= self._length
        if self._length is None and len(self._body) > BODY_LIMIT:
            raise ValueError(f"the body is over {BODY_LIMIT} bytes")
        return self._answer() if complete else None

    def end(self) -> Answer:
        """The answer, when the other side has closed the connection."""
        if self._head is None or self._chunked or self._length is not None:
            raise ValueError("the connection was closed too early")
        return self._answer()

    def _answer(self) -> Answer:
        assert self._head is not None  # noqa: S101 - both callers have seen to it
        return Answer(*self._head, bytes(self._body[: self._length]))

    def _take_head(self) -> bool:
        while (end := self._buffer.find(b"\r\n\r\n", 0, HEAD_LIMIT)) >= 0:
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            del self._buffer[: end + 4]
            match = _STATUS_LINE.fullmatch(lines[0])
            if not match:
                raise ValueError("no HTTP/1 status line")
            status = int(match[1])
            if status >= 200:  # others are followed by the real one
                self._head = status, _headers(lines[1:])
                self._frame(*self._head)
                return True
        if len(self._buffer) >= HEAD_LIMIT:
            raise ValueError(f"the headers are over {HEAD_LIMIT} bytes")
        return False

    def _frame(self, status: int, headers: dict[str, str]) -> None:
        """How the end of the body is found."""
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if status in (204, 304):
            self._length = 0
        elif coding is not None:
            if coding.lower() != "chunked":
                raise ValueError("unknown Transfer-Encoding")
            self._chunked = True
        elif length is not None:
            if not re.fullmatch("[0-9]{1,9}", length) or int(length) > BODY_LIMIT:
                raise ValueError(f"Content-Length is no number up to {BODY_LIMIT}")
            self._length = int(length)

    def _take_chunks(self) -> bool:
        """Move complete chunks to the body; True after the last one."""
        while (line_end := self._buffer.find(b"\n", 0, _CHUNK_LINE_LIMIT)) >= 0:
            digits = bytes(self._buffer[:line_end]).partition(b";")[0].strip()
            if not re.fullmatch(b"[0-9a-fA-F]{1,8}", digits) or int(digits, 16) > BODY_LIMIT:
                raise ValueError(f"a chunk's size is no number up to {BODY_LIMIT}")
            size = int(digits, 16)
            if size == 0:
                return True  # trailers may follow, which are of no use here
            start, end = line_end + 1, line_end + 1 + size
            if len(self._buffer) < end + 2:
                return False
            if self._buffer[end : end + 2] != b"\r\n":
                raise ValueError("a chunk is longer than it says")
            self._body += self._buffer[start:end]
            del self._buffer[: end + 2]
            if len(self._body) > BODY_LIMIT:
                return False
        if len(self._buffer) >= _CHUNK_LINE_LIMIT:
            raise ValueError("a chunk has no size")
        return False


def _headers(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ValueError("malformed header")
        headers[name.lower()] = value.strip()
    return headers


class Getter:
    """Makes GET requests, a bounded number at a time; those that hang leave room for others."""

    def __init__(self, timeout_s: float, connections: int | None = None) -> None:
        """
        Args:
            timeout_s: for one request altogether, however slowly the answer drips. Waiting for
                others does not count.
            connections: how many at a time; by default, what the limit on open files allows.
        """
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(connections or connections_allowed())

    async def get(self, host: str, port: int, path: str) -> Answer | None:
        """The answer; None where none came that is whole, well-formed and in time.

        Raises:
            ShortageError: nobody was asked.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Answer | None] = loop.create_future()
        transport: asyncio.Transport | None = None
        async with self._slots:
            try:
                request = request_bytes(host, port, path)
                async with asyncio.timeout(self._timeout_s):
                    transport, _ = await loop.create_connection(
                        lambda: _Exchange(request, done), host.strip("[]"), port
                    )
                    return await done
            except (OSError, ValueError) as error:  # a time-out is an OSError, too
                if isinstance(error, OSError) and error.errno in _SHORTAGES:
                    raise ShortageError(error.strerror) from error
                return None
            finally:
                if transport:
                    transport.abort()


class _Exchange(asyncio.Protocol):
    """One request and its answer on one connection."""

    def __init__(self, request: bytes, done: asyncio.Future[Answer | None]) -> None:
        self._request = request
        self._done = done
        self._parser = AnswerParser()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP has no other
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._done.done():
            return
        try:
            answer = self._parser.feed(data)
        except ValueError:
            self._done.set_result(None)
        else:
            if answer:
                self._done.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self._done.done():
            return
        try:
            self._done.set_result(None if error else self._parser.end())
        except ValueError:
            self._done.set_result(None)


def request_bytes(host: str, port: int, path: str) -> bytes:
    """The request. Raises ValueError for a host that cannot be written.

    The connection is closed after it: a kept one would make an application's graceful stop
    wait for it.
    """
    name = f"[{host.strip('[]')}]" if ":" in host else host
    target = quote(path.partition("#")[0], safe="/?%&=:@!$'()*+,;~-._")
    return (
        f"GET {target} HTTP/1.1\r\nHost: {name}:{port}\r\nUser-Agent: clusterops-scaler\r\n"
        "Accept: application/json\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


def connections_allowed() -> int:
    """How many connections a sweep may have open, by the limit on open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _CONNECTIONS
    return min(_CONNECTIONS, max(files - _OTHER_FILES, files // 2))
