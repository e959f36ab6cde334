# SPDX-License-Identifier: GPL-3.0-or-later
"""The container's health check: standard library only, since it starts often.

``python3 -S -m fibonacci.healthcheck api`` asks /health;
``python3 -S -m fibonacci.healthcheck worker`` looks at the age of the file the worker touches.
"""

import os
import socket
import sys
import time

ALIVE_FILE = "/tmp/fibonacci-worker.alive"  # noqa: S108 - private to the container
_STALE_S = 20.0


def api_is_healthy(port: int) -> bool:
    """Return whether /health on this machine answers 200 within two seconds."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(
                b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def worker_is_healthy(path: str = ALIVE_FILE) -> bool:
    """Return whether the worker went through its loop in the last twenty seconds."""
    try:
        return time.time() - os.stat(path).st_mtime < _STALE_S  # noqa: PTH116 - a light import
    except OSError:
        return False


if __name__ == "__main__":
    role = sys.argv[1] if len(sys.argv) > 1 else "api"
    healthy = (
        worker_is_healthy() if role == "worker" else api_is_healthy(int(os.getenv("PORT") or 5000))
    )
    sys.exit(0 if healthy else 1)
