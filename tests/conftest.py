# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests stay together, which begin first, and which give way, where they run side by side."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

OWN_CLUSTER = ("test_virtualbox_cluster.py",)
"""Files of tests/e2e that bring up another cluster than that of all the others."""

LONGEST = ("virtualbox", "scaler", "load_balancer", "apps", "vagrant")
"""Folders of tests/integration: begun last, one of them would run alone at the end."""

NICENESS = 5
"""Of integration tests beside a cluster: its load and its time limits are measured, and the last
test of all is one of its own.
"""

_BESIDE_A_CLUSTER = pytest.StashKey[bool]()


def _place(nodeid: str) -> tuple[str, str]:
    """A test's suite, and in that its folder or file."""
    _, suite, name, *_ = PurePath(nodeid.partition("::")[0]).parts
    return suite, name


def rank(nodeid: str) -> int:
    """Tests with a lower number begin before; those with the same one keep their order."""
    suite, name = _place(nodeid)
    if suite != "integration":
        return -1
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(item.nodeid))
    suites = {_place(item.nodeid)[0] for item in items}
    config.stash[_BESIDE_A_CLUSTER] = suites >= {"e2e", "integration"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    # A process has all of its tests of clusters first, so that there is no way back to be found.
    if item.config.stash[_BESIDE_A_CLUSTER] and _place(item.nodeid)[0] == "integration":
        os.nice(max(0, NICENESS - os.nice(0)))


def group(nodeid: str) -> str:
    """Tests of one group run in one process, in their order.

    A folder of tests/integration shares machines and databases, and tests/e2e a cluster.
    """
    suite, name = _place(nodeid)
    return f"{suite}/{name}" if suite == "integration" or name in OWN_CLUSTER else suite


class Grouping(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Grouping | None:
    return Grouping(config, log) if config.getoption("dist") == "loadscope" else None
