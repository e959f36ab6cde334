# SPDX-License-Identifier: GPL-3.0-or-later
"""A web service that answers as VirtualBox 7.2.22's did: recorded, on the loopback interface."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RECORDED: dict[str, str] = json.loads(
    (Path(__file__).parent / "vboxwebsrv" / "recorded.json").read_text(encoding="utf-8")
)
FRAME = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<SOAP-ENV:Envelope '
    'xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:vbox="http://www.virtualbox.org/"><SOAP-ENV:Body>{}</SOAP-ENV:Body>'
    "</SOAP-ENV:Envelope>\r\n"
)
UNKNOWN = (
    "<SOAP-ENV:Fault><faultcode>SOAP-ENV:Client</faultcode><faultstring>Method '{}' not "
    "implemented: method name or namespace not recognized</faultstring></SOAP-ENV:Fault>"
)
_CALL = re.compile(r"<e:Body><v:(\w+)>(.*)</v:\1></e:Body>", re.DOTALL)


class Replay:
    """Counts what was asked; ``change`` may replace an answer's body (operation, body)."""

    # As gSOAP does it.
    calls_per_connection = 100

    def __init__(self) -> None:
        self.operations: list[str] = []
        self.connections = 0
        self.change: Callable[[str, bytes], bytes] = lambda _, body: body
        self.url = ""

    def answer(self, request: str) -> tuple[str, bytes]:
        """The operation and the answer's body."""
        match = _CALL.search(request)
        assert match, request
        operation, arguments = match.groups()
        self.operations.append(operation)
        content = RECORDED.get(f"{operation} {arguments}", UNKNOWN.format(operation))
        if operation == "IWebsessionManager_logoff":
            content = (
                "<vbox:IWebsessionManager_logoffResponse></vbox:IWebsessionManager_logoffResponse>"
            )
        return operation, self.change(operation, FRAME.format(content).encode())

    def serve(self, connection: socket.socket) -> None:
        """All calls of one connection."""
        self.connections += 1
        stream = connection.makefile("rb")
        for number in range(1, self.calls_per_connection + 1):
            length = 0
            while (line := stream.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            if not line:
                return
            _, body = self.answer(stream.read(length).decode())
            fault = b"<SOAP-ENV:Fault>" in body
            last = fault or number == self.calls_per_connection
            status = "500 Internal Server Error" if fault else "200 OK"
            head = f"HTTP/1.1 {status}\r\nServer: gSOAP/2.8\r\nContent-Length: {len(body)}\r\n"
            head += f"Connection: {'close' if last else 'keep-alive'}\r\n\r\n"
            connection.sendall(head.encode() + body)
            if last:
                return


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that gives each connection to ``serve``; its address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            serve(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that goes away is none

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@contextmanager
def replaying() -> Iterator[Replay]:
    """The recorded service."""
    replay = Replay()
    with listening(replay.serve) as replay.url:
        yield replay
