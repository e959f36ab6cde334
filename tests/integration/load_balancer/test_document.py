# SPDX-License-Identifier: GPL-3.0-or-later
"""The administration interface against its own OpenAPI document."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Machine
from .machine import run

pytestmark = pytest.mark.integration


def test_no_crash_and_no_undocumented_answer(lb: Machine, tmp_path: Path) -> None:
    """It listens on the machine's loopback only: so the requests are made in its network."""
    pid = run("docker", "inspect", "--format", "{{.State.Pid}}", lb.name).strip()
    command = [
        "nsenter", f"--net=/proc/{pid}/ns/net",
        str(Path(sys.executable).with_name("schemathesis")), "run",
        "http://127.0.0.1:8081/openapi.json",
        "--checks", "all", "--seed", "1", "--max-examples", "30", "--request-timeout", "20",
        "--suppress-health-check", "all", "--continue-on-failure", "--no-color",
        "--generation-database", "none", "--warnings", "off",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout, done.stdout
