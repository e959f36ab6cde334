# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of HTTP/1.1 as the metrics API needs, on bytes only (no sockets)."""

from __future__ import annotations

import json
import re
import time
from typing import NamedTuple

MAX_HEAD_BYTES = 8192
# A body is of no use to us; a short one is skipped, a longer one ends the connection.
MAX_SKIPPED_BODY_BYTES = 65536

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_PORT = re.compile(r":[0-9]*\Z")
_ADDRESS = re.compile(r"[0-9.]+|\[[0-9a-fA-F:.]+\]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class Request(NamedTuple):
    """A request; `body_bytes` is None if its length is unknown or too long to skip.

    `host` is the name in the Host header without the port, None if there is none; `foreign` is
    whether a web page of another site made the request.
    """

    method: str
    path: str
    accept: str
    keep_alive: bool
    body_bytes: int | None
    host: str | None = None
    foreign: bool = False


class Response(NamedTuple):
    """An answer; `headers` are added to those that every answer has."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class BadRequestError(Exception):
    """The bytes are not a request that can be answered; `status` says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def json_response(
    status: int, document: dict[str, str], headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """A small JSON answer."""
    return Response(status, json.dumps(document).encode() + b"\n", headers=headers)


def split_head(buffer: bytearray) -> bytes | None:
    """Take one complete request head off `buffer`; None if it is not complete yet.

    Raises:
        BadRequestError: it is longer than MAX_HEAD_BYTES.
    """
    while buffer and buffer[0] in b"\r\n":  # allowed between requests
        del buffer[:1]
    end = _HEAD_END.search(buffer, 0, MAX_HEAD_BYTES)
    if end is None:
        if len(buffer) >= MAX_HEAD_BYTES:
            raise BadRequestError(431, f"request head is over {MAX_HEAD_BYTES} bytes")
        return None
    head = bytes(buffer[: end.start()])
    del buffer[: end.end()]
    return head


def parse_head(head: bytes) -> Request:
    """Parse a request line and its headers.

    Raises:
        BadRequestError: it is malformed, or not HTTP/1.
    """
    lines = head.decode("latin-1").split("\n")
    parts = lines[0].rstrip("\r").split(" ")
    if len(parts) != 3 or not _TOKEN.match(parts[0]):
        raise BadRequestError(400, "malformed request line")
    method, target, version = parts
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        status = 505 if version.startswith("HTTP/") else 400
        raise BadRequestError(status, "only HTTP/1.0 and HTTP/1.1 are understood")

    accept: list[str] = []
    connection = ""
    lengths: set[str] = set()
    unknown_length = False
    hosts: list[str] = []
    origin = site = mode = ""
    for line in lines[1:]:
        name, colon, value = line.rstrip("\r").partition(":")
        if not colon or not _TOKEN.match(name):
            raise BadRequestError(400, "malformed header")
        name, value = name.lower(), value.strip()
        if name == "accept":
            accept.append(value)
        elif name == "connection":
            connection += "," + value.lower()
        elif name == "content-length":
            lengths.add(value)
        elif name == "host":
            hosts.append(value)
        elif name == "origin":
            origin = value
        elif name == "sec-fetch-site":
            site = value
        elif name == "sec-fetch-mode":
            mode = value
        elif name in ("transfer-encoding", "expect"):
            unknown_length = True
    if len(hosts) > 1:
        raise BadRequestError(400, "more than one Host header")
    if len(lengths) > 1 or not all(re.fullmatch("[0-9]{1,18}", length) for length in lengths):
        raise BadRequestError(400, "malformed Content-Length")

    body: int | None = int(lengths.pop()) if lengths else 0
    if unknown_length or (body or 0) > MAX_SKIPPED_BODY_BYTES:
        body = None
    options = {option.strip() for option in connection.split(",")}
    keep_alive = "keep-alive" in options if version == "HTTP/1.0" else "close" not in options
    return Request(
        method=method,
        path=_path(target),
        accept=",".join(accept),
        keep_alive=keep_alive and body is not None,
        body_bytes=body,
        host=_PORT.sub("", hosts[0]).lower() if hosts else None,
        # This API has no pages, so that every page is another site's.
        foreign=bool(origin) or (site in ("cross-site", "same-site") and mode != "navigate"),
    )


def is_address(host: str) -> bool:
    """Whether a host is an IP address; a page cannot make up a name that is one."""
    return _ADDRESS.fullmatch(host) is not None


def encode(response: Response, *, keep_alive: bool, with_body: bool = True) -> bytes:
    """The bytes of an answer; HEAD has the same headers and no body."""
    headers = [
        f"HTTP/1.1 {response.status} {_REASONS[response.status]}",
        "Server: clusterops-metrics-api",
        time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        "Cross-Origin-Resource-Policy: same-origin",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    headers += [f"{name}: {value}" for name, value in response.headers]
    head = "\r\n".join(headers) + "\r\n\r\n"
    return head.encode("latin-1") + (response.body if with_body else b"")


def _path(target: str) -> str:
    """Path of a request target, which may be a whole URL."""
    if "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target.partition("?")[0].partition("#")[0]
