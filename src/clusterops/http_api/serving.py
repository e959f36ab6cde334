# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP with every wait limited, and TLS on the same ports.

A client that is slow, silent or gone costs a file descriptor for a few seconds and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from clusterops.http_api.guard import HEAD_BYTES, SECURITY_HEADERS
from clusterops.http_api.tls import Certificate

HEAD_S = 10.0
"""Longest time for a request's head, and for a TLS handshake."""
IDLE_S = 15
WRITE_S = 15.0
"""Longest time in which a client reads nothing of an answer."""
CONNECTIONS = 128

log = logging.getLogger(__name__)

_HELLO = b"\x16"  # TLS begins with it, HTTP never does


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, which by itself waits for a request's head for ever."""

    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _heard_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heard_at = time.monotonic()
        self._await_head()
        if len(self.connections) > CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        if not self._answering and self._head_timer is None:
            self._await_head()
        super().data_received(data)
        if self._answering:
            self._stop_head_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._answering and self.conn.trailing_data[0]:
            self._await_head()  # part of the next request is here already

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # it would wait for the reader for ever
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Called where bytes are no request: h11 knows the status that suits."""
        reason = sys.exc_info()[1]
        status = getattr(reason, "error_status_hint", 400)
        self._stop_timers()
        if self._answering:
            self.transport.abort()  # the answer under way must not get another one inside
            return
        if status == 431:
            msg = f"The request's head is larger than {HEAD_BYTES} bytes."
        self.transport.write(_answer(status, msg))
        with contextlib.suppress(h11.LocalProtocolError):
            self.conn.send_failed()
        self.transport.close()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def _head_late(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:
            self.transport.write(_answer(408, f"No whole request within {HEAD_S:g} s."))
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _make_room(self) -> None:
        """Close the client that has been quiet for longest, so that a new one is served."""
        others = [each for each in self.connections if each is not self]
        quiet = [each for each in others if isinstance(each, Protocol) and not each._answering]
        if quiet:
            min(quiet, key=lambda each: each._heard_at).transport.abort()
        else:
            self.transport.write(_answer(503, "There are too many requests at once."))
            self.transport.close()

    def _stop_timers(self) -> None:
        self._stop_head_timer()
        self._stop_write_timer()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def config(app: Any, **more: Any) -> uvicorn.Config:
    """uvicorn's settings for a service of ours."""
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=Protocol,
        ws="none",
        access_log=False,  # the audit log has what matters, without headers
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=IDLE_S,
        **more,
    )


class Server(uvicorn.Server):
    """Serves HTTP, and HTTPS where it has a certificate.

    Args:
        certificate: with it, a client that begins with TLS gets TLS.
        tls_only: local addresses where nothing else is served.
    """

    def __init__(
        self,
        settings: uvicorn.Config,
        certificate: Certificate | None = None,
        tls_only: Sequence[str] = (),
    ) -> None:
        super().__init__(settings)
        self._certificate = certificate
        self._tls_only = frozenset(tls_only)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])

        def protocol() -> asyncio.Protocol:
            return Protocol(self.config, self.server_state, self.lifespan.state)

        listeners: list[Any] = [
            Listener(
                each, protocol, self._certificate, each.getsockname()[0] in self._tls_only
            )
            for each in sockets or []
        ]  # fmt: skip
        self.servers = listeners


class Listener:
    """Accepts connections of one socket, and finds out what each of them speaks."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        certificate: Certificate | None,
        tls_only: bool,
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._protocol = protocol
        self._certificate = certificate
        self._tls_only = tls_only
        self._loop = asyncio.get_running_loop()
        self._opening: dict[asyncio.Task[None], None] = {}  # in the order of their coming
        self._accepting = self._loop.create_task(self._accept())

    def close(self) -> None:
        """Take no more connections; those that are open are their protocols' business."""
        self._accepting.cancel()
        for task in self._opening:
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(self._accepting, *self._opening, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._listener)
            except OSError as error:
                log.warning("a connection cannot be accepted: %s", error)
                await asyncio.sleep(0.1)  # out of file descriptors, most likely
                continue
            if len(self._opening) >= CONNECTIONS:
                next(iter(self._opening)).cancel()
            task = self._loop.create_task(self._open(client))
            self._opening[task] = None
            task.add_done_callback(lambda done: self._opening.pop(done, None))

    async def _open(self, client: socket.socket) -> None:
        try:
            async with asyncio.timeout(HEAD_S):
                context = await self._context(client)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await self._loop.connect_accepted_socket(self._protocol, client, ssl=context)
        except (OSError, TimeoutError, ssl.SSLError, _NotTls):
            client.close()
        except BaseException:
            client.close()
            raise

    async def _context(self, client: socket.socket) -> ssl.SSLContext | None:
        """TLS settings for a client that speaks it. Raises _NotTls where it has to."""
        if self._certificate is None:
            return None
        if await self._first_byte(client) == _HELLO:
            return self._certificate.context()
        if self._tls_only:
            with contextlib.suppress(OSError):
                await self._loop.sock_sendall(
                    client, _answer(400, "This address serves https:// alone.")
                )
            raise _NotTls
        return None

    async def _first_byte(self, client: socket.socket) -> bytes:
        """The first byte that a client sends; it stays to be read."""
        arrived = asyncio.Event()
        handle = client.fileno()
        self._loop.add_reader(handle, arrived.set)
        try:
            await arrived.wait()
        finally:
            self._loop.remove_reader(handle)
        return client.recv(1, socket.MSG_PEEK)


class _NotTls(Exception):
    """A client that speaks plain HTTP where that is not served."""


def _answer(status: int, text: str) -> bytes:
    """A whole answer that ends the connection."""
    body = json.dumps({"error": text}).encode()
    reason = STATUS_PHRASES.get(status, b"").decode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **SECURITY_HEADERS,
    }
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{key}: {value}" for key, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
