# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of the unit tests refuses what it should, and only that."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest


@pytest.fixture
def forgive(_guard: Any) -> Any:
    """Forget what the test provoked on purpose."""
    yield
    _guard.violations.clear()


def test_a_process_fails_the_test(forgive: None) -> None:
    with pytest.raises(pytest.fail.Exception, match="touched the world: process"):
        subprocess.run([sys.executable, "-c", "pass"])


def test_a_connection_fails_the_test(forgive: None) -> None:
    with pytest.raises(pytest.fail.Exception, match="connection to"):
        socket.create_connection(("127.0.0.1", 9), timeout=0.1)


def test_the_code_under_test_cannot_swallow_it(forgive: None) -> None:
    def careless() -> None:
        try:
            subprocess.Popen(["true"])
        except Exception:
            return

    with pytest.raises(pytest.fail.Exception):
        careless()


def test_a_server_of_this_process_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


@pytest.mark.allow_subprocess
def test_a_marked_test_may_start_a_process() -> None:
    assert subprocess.run([sys.executable, "-c", "pass"]).returncode == 0
