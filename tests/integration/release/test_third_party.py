# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else's package: installed on its own, found by its entry points, up to the rules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples/third_party"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package in it, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--disable-pip-version-check", "--target", str(folder)),
            str(EXAMPLE),
        ],
        check=True,
        timeout=120,
    )
    return folder


def _run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_its_driver_and_its_policy_pass_the_conformance_suites(site: Path) -> None:
    suite = "tests/integration/release/conformance_of_shelf.py"
    done = _run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", suite)
    assert done.returncode == 0, done.stdout[-3000:]
    print(done.stdout.splitlines()[-1])


def test_the_command_line_takes_its_policy(site: Path) -> None:
    policy = str(EXAMPLE / "policy.yml")
    command = ("-m", "clusterops.cli", "simulate", "--trace", "step", "--policy", policy)
    with_it = _run(site, *command)
    assert with_it.returncode == 0, with_it.stderr
    without = _run(Path("/nonexistent"), *command)
    assert without.returncode == 2
    assert "in_flight" in without.stderr and "not installed" in without.stderr
