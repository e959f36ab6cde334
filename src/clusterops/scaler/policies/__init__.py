# SPDX-License-Identifier: GPL-3.0-or-later
"""Scaling policies, found by entry point (group ``clusterops.policies``)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from clusterops.errors import UsageError
from clusterops.scaler.model import Policy

GROUP = "clusterops.policies"


def load_policy(name: str, settings: Mapping[str, Any]) -> Policy:
    """Make the policy called ``name``.

    Raises:
        UsageError: no such policy is installed; the message lists those that are.
    """
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name in found:
        policy: Policy = found[name].load()(**settings)
        return policy
    from clusterops.scaler.policies.threshold import ThresholdPolicy

    if name == "threshold":  # works from a bare source tree too
        return ThresholdPolicy(**settings)
    known = ", ".join(sorted({*found, "threshold"}))
    raise UsageError(
        f"scaling_policy: found {name!r}, which is not installed; installed: {known}",
        remedy="name an installed policy, or install the package that provides it",
    )
