# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP API against its own OpenAPI document, with requests that nobody thought of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SEED = "1"


def assert_keeps_to_its_document(
    url: str, folder: Path, *more: str, examples: int, prefix: tuple[str, ...] = ()
) -> None:
    """Every check of schemathesis passes: no crash, and no answer that is not described.

    Args:
        folder: where it may leave files.
        more: further options of schemathesis.
        prefix: a command that the program is run by.
    """
    command = [
        *prefix, str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json",
        "--checks", "all", "--seed", SEED, "--max-examples", str(examples),
        "--request-timeout", "20", "--suppress-health-check", "all", "--continue-on-failure",
        "--no-color", "--generation-database", "none", "--warnings", "off", *more,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout, done.stdout
