# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP server: one thread, non-blocking sockets, every wait limited.

A client that is slow, silent or gone costs a file descriptor for a few seconds and nothing else.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from clusterops.errors import ClusterOpsError
from clusterops.metrics_api import http

Handler = Callable[[http.Request], http.Response]

_READ_BYTES = 16384
_TICK_S = 1.0


class Limits(NamedTuple):
    """How long and how many; seconds, connections."""

    head_s: float = 10.0
    idle_s: float = 75.0
    write_s: float = 10.0
    linger_s: float = 2.0
    connections: int = 128


class _Connection:
    """State of one client."""

    __slots__ = ("active_at", "closing", "deadline", "inbox", "lingering", "outbox", "skip", "sock")

    def __init__(self, sock: socket.socket, now: float, deadline: float) -> None:
        self.sock = sock
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.skip = 0  # bytes of a request's body that are still to be thrown away
        self.closing = False  # close as soon as the outbox is empty
        self.lingering = False  # all is sent: read on only so that the client gets it
        self.active_at = now
        self.deadline = deadline


class Server:
    """Serves `handler` on one address until `stop` is called."""

    def __init__(
        self, host: str, port: int, handler: Handler, limits: Limits | None = None
    ) -> None:
        """Bind at once.

        Raises:
            ClusterOpsError: the address cannot be bound.
        """
        self._handler = handler
        self._limits = limits or Limits()
        self._selector = selectors.DefaultSelector()
        self._connections: set[_Connection] = set()
        self._listener = _listen(host, port)
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_write.setblocking(False)
        self._stopping = False
        self.on_tick: Callable[[], None] = lambda: None

    @property
    def port(self) -> int:
        """The port that is listened on (of use where 0 was asked for)."""
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        """Make `run` return soon; safe in a signal handler and in other threads."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._wake_write.send(b"x")

    def run(self) -> None:
        """Serve until stopped; calls `on_tick` about once a second."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        next_tick = 0.0
        try:
            while not self._stopping:
                for key, _ in self._selector.select(_TICK_S):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.data is not None:
                        self._serve(key.data)
                now = time.monotonic()
                if now >= next_tick:
                    next_tick = now + _TICK_S
                    self._expire(now)
                    self.on_tick()
        finally:
            self._listener.close()
            for connection in list(self._connections):
                self._close(connection)
            self._selector.close()
            self._wake_read.close()
            self._wake_write.close()

    def _accept(self) -> None:
        for _ in range(64):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError:
                # Out of file descriptors: give one back, or the loop would spin.
                if not self._evict():
                    time.sleep(0.05)
                return
            if len(self._connections) >= self._limits.connections:
                self._evict()
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            now = time.monotonic()
            connection = _Connection(sock, now, now + self._limits.head_s)
            self._connections.add(connection)
            self._selector.register(sock, selectors.EVENT_READ, connection)

    def _evict(self) -> bool:
        """Close the client that has been quiet for longest, so that a new one is served."""
        if not self._connections:
            return False
        self._close(min(self._connections, key=lambda connection: connection.active_at))
        return True

    def _expire(self, now: float) -> None:
        for connection in [c for c in self._connections if c.deadline <= now]:
            self._close(connection)

    def _serve(self, connection: _Connection) -> None:
        if connection not in self._connections:
            return  # closed earlier in the same round
        try:
            ended = False
            if connection.outbox:
                self._flush(connection)
            else:
                data = connection.sock.recv(_READ_BYTES)
                ended = not data
                if not connection.lingering:
                    connection.inbox += data
            self._answer(connection)
            if ended and not connection.outbox:
                self._close(connection)
            elif ended:
                connection.closing = True
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close(connection)
        except Exception as error:  # a bug must cost one client, not the node's metrics
            print(f"metrics-api: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            self._close(connection)

    def _answer(self, connection: _Connection) -> None:
        """Answer what is complete in the inbox; one answer at a time is under way."""
        while not connection.outbox and not connection.closing:
            skipped = min(connection.skip, len(connection.inbox))
            del connection.inbox[:skipped]
            connection.skip -= skipped
            if connection.skip or not connection.inbox:
                return
            now = time.monotonic()
            try:
                head = http.split_head(connection.inbox)
                if head is None:
                    if connection.deadline > now + self._limits.head_s:
                        connection.deadline = now + self._limits.head_s
                    return
                request = http.parse_head(head)
            except http.BadRequestError as error:
                connection.closing = True
                response = http.json_response(error.status, {"error": str(error)})
                connection.outbox += http.encode(response, keep_alive=False)
            else:
                connection.closing = not request.keep_alive
                connection.skip = request.body_bytes or 0
                connection.outbox += http.encode(
                    self._handler(request),
                    keep_alive=request.keep_alive,
                    with_body=request.method != "HEAD",
                )
            connection.active_at = now
            connection.deadline = now + self._limits.write_s
            self._flush(connection)

    def _flush(self, connection: _Connection) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            sent = connection.sock.send(connection.outbox)
            del connection.outbox[:sent]
        if connection.outbox:
            # Read nothing more from a client that does not read.
            self._selector.modify(connection.sock, selectors.EVENT_WRITE, connection)
            return
        now = time.monotonic()
        self._selector.modify(connection.sock, selectors.EVENT_READ, connection)
        if not connection.closing:
            connection.deadline = now + self._limits.idle_s
            return
        # Closing with unread bytes would reset the connection and may lose the answer.
        connection.lingering = True
        connection.deadline = now + self._limits.linger_s
        connection.sock.shutdown(socket.SHUT_WR)

    def _close(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.sock)
        connection.sock.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ClusterOpsError(
            f"cannot bind '{host}': {error.strerror or error}",
            remedy="--bind takes an IP address of this machine, for example 0.0.0.0",
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ClusterOpsError(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            remedy="stop what uses the port or choose another with --port",
        ) from None
    return listener
