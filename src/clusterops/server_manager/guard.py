# SPDX-License-Identifier: GPL-3.0-or-later
"""What every request passes before a route sees it: origin, token, size; then it is counted."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
OPEN_PATHS = frozenset({"/", "/health"})

log = logging.getLogger(__name__)

Count = Callable[[str, str, int, float], None]
"""(method, route, status, seconds) of each request."""


class Guard:
    """ASGI middleware in front of the whole application."""

    def __init__(self, app: ASGIApp, *, token: str, count: Count) -> None:
        self._app = app
        self._token = token.encode()
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.monotonic()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(scope, receive, watched)
        finally:
            seconds = time.monotonic() - begin
            self._count(scope["method"], _route(scope), status, seconds)
            if scope["method"] != "GET" or status >= 400:
                log.info(
                    "request method=%s path=%r status=%d seconds=%.3f",
                    scope["method"], scope["path"][:200], status, seconds,
                )  # fmt: skip

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refuse(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        messages: list[Message] = []
        size = 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                await _error(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")(
                    scope, receive, send
                )
                return
            if message["type"] != "http.request" or not message.get("more_body"):
                break

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, replay, send)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if any(name == b"origin" for name, _ in headers):
            return _error(403, "Requests of web pages are not served.")
        if scope["path"] not in OPEN_PATHS and not self._authorized(headers):
            return _error(
                401,
                "A valid token is needed: Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": "Bearer"},
            )
        for name, value in headers:
            if name == b"content-length" and value.isdigit() and int(value) > MAX_BODY_BYTES:
                return _error(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        return None

    def _authorized(self, headers: list[tuple[bytes, bytes]]) -> bool:
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, credentials = given[0].partition(b" ")
        matches = hmac.compare_digest(credentials.strip(), self._token)
        return matches and scheme.lower() == b"bearer"


def _route(scope: Scope) -> str:
    """The route's template; never the path, which anybody can make up."""
    return str(getattr(scope.get("route"), "path", "other"))


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers)
