# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers the name of the node that it runs on: who served this request?"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = int(os.environ.get("PORT", "5000"))
NODE_NAME = Path(os.environ.get("NODE_NAME_FILE", "/etc/node-name"))
GRACE_S = 10.0


class Server(ThreadingHTTPServer):
    """Knows how many requests it is at work on."""

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, port: int, node: str) -> None:
        super().__init__(("0.0.0.0", port), Handler)  # noqa: S104 - the container's own network
        self.node = node
        self.busy = 0
        self.lock = threading.Lock()

    def drain(self) -> None:
        """Take nothing new, and wait for the requests at work, not for idle connections."""
        self.shutdown()
        ends = time.monotonic() + GRACE_S
        while self.busy and time.monotonic() < ends:
            time.sleep(0.02)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer one request."""
        with self.server.lock:
            self.server.busy += 1
        try:
            self._answer()
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self._send(200, "text/plain; charset=utf-8", f"{self.server.node}\n")
        elif path == "/health":
            self._send(200, "application/json", json.dumps({"status": "OK"}))
        elif path == "/ready":
            self._send(200, "application/json", json.dumps({"ready": True}))
        else:
            self._send(404, "application/json", json.dumps({"error": f"There is no {path}"}))

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The load balancer logs every request already."""


def main() -> None:
    """Serve until SIGTERM."""
    server = Server(PORT, NODE_NAME.read_text(encoding="utf-8").strip())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"whoami: {server.node} listens on port {PORT}", flush=True)
    stop.wait()
    server.drain()


if __name__ == "__main__":
    main()
