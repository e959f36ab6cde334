# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground app check`` against the real service, and against things that are none."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

APPS = Path(__file__).parents[4] / "apps"


def check(url: str, app: str = "fibonacci") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clusterops.cli", "app", "check", url, "--app", str(APPS / app)],
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_bundled_application_keeps_the_contract_again_and_again(api: Any, start: Any) -> None:
    start("worker")
    for _ in range(2):
        result = check(f"http://127.0.0.1:{api.port}")
        assert result.returncode == 0, result.stdout
        assert "failed" not in result.stdout and "passed" in result.stdout


def test_an_application_without_a_worker_does_not(api: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COMPUTED_WITHIN_S", "0.5")
    result = check(f"http://127.0.0.1:{api.port}")
    assert result.returncode == 1
    assert "test_a_number_is_computed_once_and_then_known[10] FAILED" in result.stdout
    assert "test_what_is_no_index_is_refused[ten] PASSED" in result.stdout


def test_another_service_does_not() -> None:
    class Agreeable(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Agreeable) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = check(f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
    assert result.returncode == 1
    assert " PASSED" not in result.stdout


def test_nothing_there_is_one_line() -> None:
    result = check("http://127.0.0.1:9")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: no application answers at http://127.0.0.1:9")
    assert "Traceback" not in result.stderr


def test_an_application_without_checks_is_told() -> None:
    result = check("http://127.0.0.1:9", "whoami")
    assert result.returncode == 2
    assert "checks: is not given" in result.stderr
