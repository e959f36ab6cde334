# SPDX-License-Identifier: GPL-3.0-or-later
"""Vagrant, run in the checkout for the cluster of a test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_vagrant(
    folder: Path, environment: Mapping[str, str], *arguments: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run Vagrant to its end; what it knows of machines is kept beside the cluster's cluster.yml.

    Args:
        folder: where cluster.yml is.
        environment: variables besides; VAGRANT_HOME is among them, as the user's is not for tests.
        timeout: seconds.
    """
    return subprocess.run(
        ["vagrant", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            **environment,
            "PLAYGROUND_CLUSTER_FILE": str(folder / "cluster.yml"),
            "VAGRANT_DOTFILE_PATH": str(folder / ".vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
