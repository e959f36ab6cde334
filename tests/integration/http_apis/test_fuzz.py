# SPDX-License-Identifier: GPL-3.0-or-later
"""Every API against its own OpenAPI document, with requests that nobody thought of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.http_apis.conftest import Api

pytestmark = pytest.mark.integration

SEED = "1"
EXAMPLES = "20"


@pytest.mark.parametrize("name", ["manager", "scaler", "metrics"])
def test_no_crash_and_no_undocumented_answer(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    api: Api = request.getfixturevalue(name)
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{api.url}/openapi.json",
        "--checks", "all", "--seed", SEED, "--max-examples", EXAMPLES, "--request-timeout", "20",
        "--suppress-health-check", "all", "--continue-on-failure", "--no-color",
        "--generation-database", "none", "--warnings", "off",
    ]  # fmt: skip
    if api.token:
        command += ["--header", f"Authorization: Bearer {api.token}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout, done.stdout
