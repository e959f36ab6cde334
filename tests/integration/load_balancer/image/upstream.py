# SPDX-License-Identifier: GPL-3.0-or-later
"""A small application for the tests: one HTTP server per port, which count what they do.

Usage: upstream.py PORT...  GET /counts tells how often each POSTed id was executed; /hold answers
after /release, and so does /events between its two events. POST /set makes ports answer otherwise:
{"status": {PORT: CODE}, "ready": {PORT: CODE}}, where a readiness of 0 waits for /release.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOCK = threading.Lock()
EXECUTED: dict[str, int] = {}
SERVED: dict[int, int] = {}
SLOW: dict[int, float] = {}
STATUS: dict[int, int] = {}
READY: dict[int, int] = {}
RECEIVED: dict[int, int] = {}
RELEASED = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    protocol_version = "HTTP/1.1"
    timeout = 75

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def answer(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-ID", "from-upstream")
        self.send_header("X-Served-By", "from-upstream")
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self) -> None:
        port = self.server.server_address[1]
        path, _, query = self.path.partition("?")
        size = int(self.headers.get("Content-Length") or 0)
        digest = hashlib.sha256()
        body = b""
        left = size
        while left:
            body = self.rfile.read(min(left, 65536))
            if not body:
                return
            left -= len(body)
            digest.update(body)
            RECEIVED[port] = RECEIVED.get(port, 0) + len(body)
        if path == "/counts":
            with LOCK:
                self.answer({"executed": EXECUTED, "served": SERVED, "received": RECEIVED})
            return
        if path == "/set":
            wanted = json.loads(body)
            for known, key in ((STATUS, "status"), (READY, "ready")):
                known.update({int(k): v for k, v in wanted.get(key, {}).items()})
            self.answer({})
            return
        if path == "/ready":
            status = READY.get(port, 200)
            if not status:
                RELEASED.wait(60)
            self.answer({"ready": status == 200}, status or 200)
            return
        if path == "/reset":
            with LOCK:
                EXECUTED.clear()
                SERVED.clear()
                for known in (SLOW, STATUS, READY, RECEIVED):
                    known.clear()
                SLOW.update({int(k): v for k, v in json.loads(body or b"{}").items()})
            RELEASED.clear()
            self.answer({})
            return
        if path == "/release":
            RELEASED.set()
            self.answer({})
            return
        if path == "/websocket":
            self.websocket()
            return
        with LOCK:
            SERVED[port] = SERVED.get(port, 0) + 1
            if self.command == "POST":
                EXECUTED[query] = EXECUTED.get(query, 0) + 1
        if path == "/cut":  # executed, and then the connection is lost
            self.close_connection = True
            self.connection.close()
            return
        if path == "/events":
            self.events()
            return
        if path == "/download":
            self.download(int(query))
            return
        if path == "/hold":
            RELEASED.wait(60)
        time.sleep(SLOW.get(port, 0.0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        value = {"port": port, "size": size, "sha256": digest.hexdigest(), "headers": headers}
        self.answer(value, STATUS.get(port, 200))

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        RELEASED.wait(60)
        self.wfile.write(b"data: second\n\n")
        self.close_connection = True

    def download(self, megabytes: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(megabytes << 20))
        self.end_headers()
        for _ in range(megabytes):
            self.wfile.write(bytes(1 << 20))

    def websocket(self) -> None:
        if self.headers.get("Upgrade") != "websocket":
            self.answer({"error": "no upgrade"}, 400)
            return
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        digest = hashlib.sha1(key.encode()).digest()  # noqa: S324 - what RFC 6455 asks for
        accept = base64.b64encode(digest).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.wfile.write(b"echo:" + self.connection.recv(1024))
        self.close_connection = True


class Server(ThreadingHTTPServer):
    """Takes many clients at once."""

    request_queue_size = 1024
    daemon_threads = True


def main() -> None:
    """Serve every port given until killed."""
    for port in map(int, sys.argv[1:]):
        server = Server(("0.0.0.0", port), Handler)
        threading.Thread(target=server.serve_forever).start()


main()
