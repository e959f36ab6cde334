# SPDX-License-Identifier: GPL-3.0-or-later
"""The administration interface against its own OpenAPI document."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.fuzz import assert_keeps_to_its_document

from .conftest import Machine
from .machine import run

pytestmark = pytest.mark.integration


def test_no_crash_and_no_undocumented_answer(lb: Machine, tmp_path: Path) -> None:
    """It listens on the machine's loopback only: so the requests are made in its network."""
    pid = run("docker", "inspect", "--format", "{{.State.Pid}}", lb.name).strip()
    network = ("nsenter", f"--net=/proc/{pid}/ns/net")
    assert_keeps_to_its_document("http://127.0.0.1:8081", tmp_path, examples=30, prefix=network)
