# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends HTTP requests from inside the machine: a JSON list of [method, url, body] on stdin.

Prints a JSON list of [status, body]. The pseudo method SLEEP waits url seconds.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from urllib.parse import urlsplit


def main() -> None:
    """Send what stdin says, one after the other."""
    answers: list[list[object]] = []
    for method, url, body in json.load(sys.stdin):
        if method == "SLEEP":
            time.sleep(float(url))
            continue
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
        connection.request(method, parts.path, body if body is None else body.encode())
        response = connection.getresponse()
        answers.append([response.status, response.read().decode()])
        connection.close()
    json.dump(answers, sys.stdout)


main()
