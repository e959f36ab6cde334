# SPDX-License-Identifier: GPL-3.0-or-later
"""What every request passes before a route sees it: host, origin, token, size. It is counted."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clusterops.http_api.access import (
    NOBODY,
    READ,
    READING,
    AccessUnknown,
    Known,
    may,
    role_of,
)
from clusterops.http_api.audit import Audit

MAX_HEADERS = 100
HEAD_BYTES = 16 * 1024
BODY_S = 10.0
"""Longest time that a client may take to send a body."""
DISCARDED_BYTES = 1024 * 1024

SECURITY_HEADERS: dict[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Pages that a service does have bring their own.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

Count = Callable[[str, str, int, float], None]
"""(method, route, status, seconds) of each request."""
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Rules:
    """What a service asks of its callers.

    Args:
        open_paths: read by anybody.
        local_paths: read by programs of the same machine.
        read_open: whether all but ``token_paths`` is read by anybody, too.
        names: what the service is called by, apart from its addresses; None where it does not
            matter, because nothing is told without a token.
        own_pages: whether it has pages of its own, which may call it.
    """

    max_body_bytes: int
    open_paths: frozenset[str] = frozenset()
    local_paths: frozenset[str] = frozenset()
    read_open: bool = False
    token_paths: frozenset[str] = frozenset()
    names: frozenset[str] | None = None
    own_pages: bool = False


class Refusal(Exception):
    """A request that no route gets to see."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        headers = dict(headers or {})
        if status in (408, 413, 431):
            headers["Connection"] = "close"  # more of the same may be on its way
        self.response = error(status, text, headers)


class Guard:
    """ASGI middleware in front of the whole application."""

    def __init__(
        self, app: ASGIApp, *, rules: Rules, known: Known, audit: Audit, count: Count
    ) -> None:
        self._app = app
        self._rules = rules
        self._known = known
        self._audit = audit
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.monotonic()
        answered = False
        scope["clusterops.who"] = NOBODY
        scope.setdefault("clusterops.what", {})

        def answer(status: int) -> None:
            """Before the client sees it, so that nothing is done that is not written down."""
            nonlocal answered
            if not answered:
                answered = True
                self._answered(scope, status, time.monotonic() - begin)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer(message["status"])
                message = {**message, "headers": _with_defaults(message.get("headers", []))}
            await send(message)

        try:
            try:
                replay = await self._pass(scope, receive)
            except Refusal as refusal:
                await refusal.response(scope, receive, watched)
            else:
                await self._app(scope, replay, watched)
        finally:
            answer(500)

    def _answered(self, scope: Scope, status: int, seconds: float) -> None:
        self._count(scope["method"], _route(scope), status, seconds)
        self._audit.request(
            who=scope["clusterops.who"],
            peer=_peer(scope),
            method=scope["method"],
            path=scope["path"],
            what=scope["clusterops.what"],
            status=status,
            seconds=seconds,
        )

    async def _pass(self, scope: Scope, receive: Receive) -> Receive:
        """The request's body, for the application. Raises Refusal."""
        headers: Headers = scope["headers"]
        if len(headers) > MAX_HEADERS:
            raise Refusal(431, f"There are more than {MAX_HEADERS} headers.")
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if size + sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES:
            raise Refusal(431, f"The request's head is larger than {HEAD_BYTES} bytes.")
        self._check_place(headers)
        self._check_token(scope, headers)
        try:
            async with asyncio.timeout(BODY_S):
                messages = await self._body(receive)
        except TimeoutError:
            raise Refusal(408, f"The body did not arrive within {BODY_S:g} s.") from None

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        return replay

    async def _body(self, receive: Receive) -> list[Message]:
        """The messages of a body. Raises Refusal where it is too large."""
        limit = self._rules.max_body_bytes
        messages: list[Message] = []
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if size <= limit:
                messages.append(message)
            if message["type"] != "http.request" or not message.get("more_body"):
                break
            # What is a little too large is read on: who still sends would miss the answer.
            if size > limit + DISCARDED_BYTES:
                break
        if size > limit:
            raise Refusal(413, f"The body is larger than {limit} bytes.")
        return messages

    def _check_place(self, headers: Headers) -> None:
        """Refuse what comes from another site's page, also by a name made to lead here."""
        host = _one(headers, b"host")
        if self._rules.names is not None and not is_own_host(host, self._rules.names):
            raise Refusal(421, "This service is not known by the name in the Host header.")
        origin = _one(headers, b"origin")
        if origin is not None:
            own = self._rules.own_pages and host and urlsplit(origin).netloc == host
            if not own:
                raise Refusal(403, "Requests of web pages of other sites are not served.")
        site, mode = _one(headers, b"sec-fetch-site"), _one(headers, b"sec-fetch-mode")
        if site in ("cross-site", "same-site") and mode != "navigate":
            raise Refusal(403, "Requests of web pages of other sites are not served.")

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        method, path = scope["method"], scope["path"]
        given = [value for name, value in headers if name == b"authorization"]
        unknown = None
        role = NOBODY
        if len(given) == 1:
            scheme, _, credentials = given[0].partition(b" ")
            try:
                role = role_of(credentials.strip(), self._known())
            except AccessUnknown as error:
                unknown = error
            if scheme.lower() != b"bearer":
                role = NOBODY
        scope["clusterops.who"] = role
        reading = method in READING
        if reading and path in self._rules.open_paths:
            return
        if reading and self._rules.read_open and path not in self._rules.token_paths:
            return
        if reading and path in self._rules.local_paths and _is_local(scope):
            return
        if path in self._rules.open_paths and role == NOBODY:
            return  # the route says which methods it has; none changes anything
        if unknown is not None:
            raise Refusal(503, "The service does not know which tokens are right.")
        if role == NOBODY:
            raise Refusal(
                401,
                "A valid token is needed: Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": "Bearer"},
            )
        if not may(role, method, path):
            if role == READ:
                raise Refusal(403, "This token may only read; changes need the cluster's token.")
            raise Refusal(403, f"The token of '{role}' may not do this.")


def note(scope: Any, action: str, server: str | None = None) -> None:
    """What a request is about, in words for the audit log."""
    scope["clusterops.what"]["action"] = _printable(action)
    if server is not None:
        scope["clusterops.what"]["server"] = _printable(server)


def is_own_host(host: str | None, names: frozenset[str]) -> bool:
    """Whether a Host header is an address or one of our names; a page cannot make up addresses."""
    if host is None:
        return True  # HTTP/1.0, which no browser speaks
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.rstrip(".") in names
    return True


def error(status: int, text: str, headers: Any = None) -> JSONResponse:
    """An answer in the form of all errors."""
    safe = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates are valid JSON
    return JSONResponse({"error": safe}, status, headers=headers)


def _with_defaults(headers: Headers) -> Headers:
    present = {name.lower() for name, _ in headers}
    return [*headers, *(each for each in _RAW_HEADERS if each[0] not in present)]


def _one(headers: Headers, wanted: bytes) -> str | None:
    found = [value for name, value in headers if name == wanted]
    return b",".join(found).decode("latin-1") if found else None


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_local(scope: Scope) -> bool:
    try:
        return ipaddress.ip_address(_peer(scope)).is_loopback
    except ValueError:
        return False


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:100])


def _route(scope: Scope) -> str:
    """The route's template; never the path, which anybody can make up."""
    return str(getattr(scope.get("route"), "path", "other"))
