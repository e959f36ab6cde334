# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the API under uvicorn."""

import contextlib
import importlib.util
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Literal

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fibonacci.api import Services, create_app
from fibonacci.errors import FibonacciError
from fibonacci.migrate import find_migrations
from fibonacci.queue import RedisQueue
from fibonacci.settings import Settings
from fibonacci.store import PostgresStore

_log = logging.getLogger(__name__)

# Longer than any load balancer keeps an idle connection to us (nginx: 60 s): the side that sends
# requests must be the one that closes, or a request may meet a connection just closed.
KEEP_ALIVE_S = 120
# Time for requests in flight after SIGTERM; with the last flush of the counts below ten seconds.
GRACEFUL_S = 7


class Server(uvicorn.Server):
    """uvicorn, except that SIGTERM ends it with exit code 0 instead of being raised again."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so once connections are really taken."""
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            _log.info("listening", extra={"fields": {"host": host, "port": port}})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; the second Ctrl-C does not wait for requests in flight."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def closing(app: ASGIApp, is_stopping: Callable[[], bool]) -> ASGIApp:
    """Add ``Connection: close`` to answers while stopping: no client may count on one more."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def closing_send(message: Message) -> None:
            if message["type"] == "http.response.start" and is_stopping():
                message["headers"].append((b"connection", b"close"))
            await send(message)

        await app(scope, receive, closing_send if scope["type"] == "http" else send)

    return wrapped


def serve(settings: Settings) -> None:
    """Serve until SIGTERM.

    Raises:
        FibonacciError: the port is taken, or the migrations' files are broken.
    """
    services = Services(
        store=PostgresStore(settings.postgres_url),
        queue=RedisQueue(settings.redis_url),
        expected_migrations=frozenset(m.version for m in find_migrations()),
    )
    installed = importlib.util.find_spec
    http: Literal["httptools", "auto"] = "httptools" if installed("httptools") else "auto"
    loop: Literal["uvloop", "asyncio"] = "uvloop" if installed("uvloop") else "asyncio"
    app = create_app(services)
    config = uvicorn.Config(
        closing(app, lambda: server.should_exit),
        http=http,
        loop=loop,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACEFUL_S,
    )
    server = Server(config)
    with contextlib.closing(_bind(settings.host, settings.port)) as listener:
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        server.run(sockets=[listener])
    _log.info("stopped")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise FibonacciError(f"cannot listen on {host} port {port}: {reason}") from error
    return listener
