# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus asks in this scenario, run on the node: python3 stand_in.py PEM.

Port 9000: the scaler's list of agents, which tests write, and something to measure. Port 3000: a
Server Manager, with TLS and a token.
"""

from __future__ import annotations

import http.server
import ssl
import sys
import threading

TOKEN = "Bearer r3ad"


class Open(http.server.SimpleHTTPRequestHandler):
    """Files of the folder."""

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


class Guarded(Open):
    """The same for those with the token."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] == TOKEN:
            super().do_GET()
        else:
            self.send_error(401)


def main() -> None:
    """Serve until the end."""
    guarded = http.server.ThreadingHTTPServer(("127.0.0.1", 3000), Guarded)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(sys.argv[1])
    guarded.socket = context.wrap_socket(guarded.socket, server_side=True)
    threading.Thread(target=guarded.serve_forever, daemon=True).start()
    http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Open).serve_forever()


if __name__ == "__main__":
    main()
