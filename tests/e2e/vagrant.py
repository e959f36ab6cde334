# SPDX-License-Identifier: GPL-3.0-or-later
"""Vagrant with a home of its own, on the cluster of the end-to-end tests."""

from __future__ import annotations

from tests.e2e.cluster import Cluster
from tests.vagrant import run_vagrant


def vagrant(cluster: Cluster, *arguments: str, timeout: float = 900) -> str:
    """Run Vagrant for this cluster, which must succeed; what it prints."""
    environment = {**cluster.environment, "VAGRANT_HOME": str(cluster.folder / "vagrant-home")}
    result = run_vagrant(cluster.folder, environment, *arguments, timeout=timeout)
    assert result.returncode == 0, f"{result.stdout[-4000:]}\n{result.stderr[-2000:]}"
    return result.stdout
