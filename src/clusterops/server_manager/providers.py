# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the driver that cluster.yml asks for among the installed ones."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from clusterops.errors import UsageError
from clusterops.server_manager.driver import ENTRY_POINTS, Cluster, Driver, ProviderUnavailable

AUTO = "auto"
NEVER_AUTOMATIC = frozenset({"fake"})
FIRST = "docker"


def installed() -> dict[str, EntryPoint]:
    """Every provider that some installed package brings, by name."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def open_driver(provider: str, cluster: Cluster) -> Driver:
    """The driver of ``provider``, checked to answer; ``auto`` takes the first that answers.

    Raises:
        UsageError: no such provider is installed.
        ProviderUnavailable: it does not answer.
    """
    found = installed()
    if provider != AUTO:
        if provider not in found:
            names = ", ".join([AUTO, *sorted(found)])
            raise UsageError(f"cluster_provider: found '{provider}'; installed are: {names}")
        return _checked(found[provider], cluster)
    candidates = sorted(found.keys() - NEVER_AUTOMATIC, key=lambda name: (name != FIRST, name))
    problems: list[ProviderUnavailable] = []
    for name in candidates:
        try:
            return _checked(found[name], cluster)
        except ProviderUnavailable as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    reasons = "; ".join(
        f"{name}: {problem}" for name, problem in zip(candidates, problems, strict=True)
    )
    raise ProviderUnavailable(f"no provider of machines answers: {reasons or 'none is installed'}")


def _checked(point: EntryPoint, cluster: Cluster) -> Driver:
    driver: Driver = point.load()(cluster)
    driver.check()
    return driver
