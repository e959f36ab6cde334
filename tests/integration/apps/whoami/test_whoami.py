# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of apps/whoami as a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

PROGRAM = Path(__file__).parents[4] / "apps/whoami/whoami.py"


@pytest.fixture
def whoami(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    (tmp_path / "name").write_text("agent-7\n")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-S", str(PROGRAM)],
        env={**os.environ, "PORT": str(port), "NODE_NAME_FILE": str(tmp_path / "name")},
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.05)
        yield process, port
    finally:
        process.kill()
        process.wait()


def test_it_answers_its_nodes_name_on_one_connection(
    whoami: tuple[subprocess.Popen[bytes], int],
) -> None:
    process, port = whoami
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    answers = {}
    for path in ("/", "/health", "/ready", "/nothing"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answers[path] = answer.status, answer.read().decode()
    assert answers["/"] == (200, "agent-7\n")
    assert json.loads(answers["/health"][1]) == {"status": "OK"}
    assert json.loads(answers["/ready"][1]) == {"ready": True}
    assert answers["/nothing"][0] == 404
    # The connection is still open, and idle: it is not waited for.
    process.send_signal(signal.SIGTERM)
    assert process.wait(3) == 0
