# SPDX-License-Identifier: GPL-3.0-or-later
"""Vagrant with a home of its own, on the cluster of the end-to-end tests."""

from __future__ import annotations

import subprocess

from tests.e2e.cluster import ROOT, Cluster


def vagrant(cluster: Cluster, *arguments: str, timeout: float = 900) -> str:
    """Run Vagrant in the checkout, for this cluster; what it prints."""
    result = subprocess.run(
        ["vagrant", *arguments],
        cwd=ROOT,
        env={
            **cluster.environment,
            "VAGRANT_HOME": str(cluster.folder / "vagrant-home"),
            "VAGRANT_DOTFILE_PATH": str(cluster.folder / ".vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        },
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
    )
    assert result.returncode == 0, f"{result.stdout[-4000:]}\n{result.stderr[-2000:]}"
    return result.stdout


def left_of(cluster: Cluster, kind: str, *columns: str) -> str:
    """What the engine has of the cluster, of one kind (container, volume, network, image)."""
    everything = ["--all"] if kind == "container" else []
    return subprocess.run(
        ["docker", kind, "ls", *everything, *(columns or ("--quiet",)),
         "--filter", f"label=clusterops.cluster={cluster.name}"],
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout.strip()  # fmt: skip
