# SPDX-License-Identifier: GPL-3.0-or-later
"""Scaling policies, found by entry point (group ``clusterops.policies``)."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from clusterops.errors import UsageError
from clusterops.scaler.policies.combined import CombinedPolicy
from clusterops.scaler.policy import Policy

GROUP = "clusterops.policies"
#: They work from a bare source tree, too.
SHIPPED = {
    "threshold": "threshold:ThresholdPolicy",
    "target_tracking": "target_tracking:TargetTrackingPolicy",
    "step": "step:StepPolicy",
    "scheduled": "scheduled:ScheduledPolicy",
}


def policy_from(settings: Mapping[str, Any]) -> Policy:
    """The policy, or the combination of policies, that the settings name.

    Raises:
        UsageError: one is not installed (the message lists those that are), or has an option
            that it cannot use.
    """
    entries: Sequence[Mapping[str, Any]] = settings.get("scaling_policies") or ()
    if not entries:
        return load_policy(settings["scaling_policy"], settings, "scaling_policy")
    named = [
        (
            str(entry["policy"]),
            load_policy(str(entry["policy"]), settings, f"scaling_policies[{place}]", entry),
        )
        for place, entry in enumerate(entries)
    ]
    return named[0][1] if len(named) == 1 else CombinedPolicy(named)


def load_policy(
    name: str, settings: Mapping[str, Any], where: str, own: Mapping[str, Any] | None = None
) -> Policy:
    """Make the policy called ``name``; ``where`` it is named, for errors.

    Args:
        own: options that were given for this policy alone; each has to be one of its own.

    Raises:
        UsageError: as for ``policy_from``.
    """
    own = own or {}
    kind = _kind(name, where)
    known = {
        parameter.name
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    try:
        for key in own.keys() - known - {"policy"}:
            close = difflib.get_close_matches(key, known, n=1)
            hint = (
                f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(sorted(known))}"
            )
            raise ValueError(f"unknown option {key!r}; {hint}")
        policy: Policy = kind(**{**settings, **own})
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{where}: {name}: {error}", remedy="change this option in cluster.yml"
        ) from error
    return policy


def _kind(name: str, where: str) -> Callable[..., Policy]:
    if name in SHIPPED:
        module, _, kind = SHIPPED[name].partition(":")
        shipped: Callable[..., Policy] = getattr(import_module(f"{__name__}.{module}"), kind)
        return shipped
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name in found:
        plugin: Callable[..., Policy] = found[name].load()
        return plugin
    known = ", ".join(sorted({*found, *SHIPPED}))
    raise UsageError(
        f"{where}: found {name!r}, which is not installed; installed: {known}",
        remedy="name an installed policy, or install the package that provides it",
    )
