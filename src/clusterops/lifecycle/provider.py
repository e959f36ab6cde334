# SPDX-License-Identifier: GPL-3.0-or-later
"""Which provider a cluster is on: chosen once, by its first `up`, and kept until `down`."""

from __future__ import annotations

from collections.abc import Callable

from clusterops.config import ClusterConfig
from clusterops.errors import ClusterOpsError, UsageError
from clusterops.server_manager.driver import Cluster
from clusterops.server_manager.providers import AUTO, FIRST, installed, open_driver
from clusterops.state import State


def settled(
    config: ClusterConfig,
    state: State,
    asked: str | None = None,
    available: Callable[[ClusterConfig], str] | None = None,
) -> ClusterConfig:
    """The configuration with the provider that the cluster is on, or will be.

    Args:
        asked: on the command line; goes before cluster.yml.
        available: picks one of this machine's, for ``auto``.

    Raises:
        UsageError: there is no such provider, or the cluster is on another one.
    """
    recorded = state.provider()
    wanted = asked or config.cluster_provider
    if wanted != AUTO and wanted not in installed():
        names = ", ".join([AUTO, *sorted(installed())])
        raise UsageError(f"cluster_provider: found '{wanted}'; installed are: {names}")
    if wanted == AUTO:
        wanted = recorded or (available or first_available)(config)
    if recorded and wanted != recorded:
        raise UsageError(
            f"the cluster '{config.cluster_name}' is on {recorded}, and {wanted} was asked for",
            remedy="./playground down first, then up with the other provider",
        )
    return config.model_copy(update={"cluster_provider": wanted})


def first_available(config: ClusterConfig) -> str:
    """What this machine has; the container engine, which `up` can install, where it has nothing."""
    try:
        return open_driver(AUTO, Cluster.of(config)).provider
    except ClusterOpsError:
        return FIRST
