# SPDX-License-Identifier: GPL-3.0-or-later
"""How a cluster's things are called in a container engine, so that they are found again."""

from __future__ import annotations

SUITE = "trixie"
"""The Debian release of the machines."""

CLUSTER_LABEL = "clusterops.cluster"
"""On everything that a cluster makes: its name."""

IMAGE_KINDS = ("node-agent", "node-control", "node", "python", "base")
"""Images of a cluster, in an order in which they can be removed: ``base`` is Debian, ``node`` a
machine with the agents' packages, ``node-agent`` one on which the agents' roles have run,
``node-control`` the control node's, ``python`` the base of Python applications."""


def image_tag(cluster_name: str, kind: str, suite: str = SUITE) -> str:
    """Name of an image of a cluster; kind is one of IMAGE_KINDS."""
    return f"clusterops/{cluster_name}-{kind}:{suite}"


def cluster_images(cluster_name: str) -> list[str]:
    """Every image name that a cluster may have given, in an order in which they can be removed."""
    return [image_tag(cluster_name, kind) for kind in IMAGE_KINDS]
