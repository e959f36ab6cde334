# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests stay together, and which begin first, where two processes run tests side by side."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

OWN_CLUSTER = ("test_virtualbox_cluster.py",)
"""Files of tests/e2e that bring up another cluster than that of all the others."""

LONGEST = ("virtualbox", "scaler", "load_balancer", "apps", "vagrant")
"""Folders of tests/integration: begun last, one of them would run alone at the end."""


def rank(nodeid: str) -> int:
    """Tests with a lower number begin before; those with the same one keep their order."""
    _, suite, name, *_ = PurePath(nodeid.partition("::")[0]).parts
    if suite != "integration":
        return -1
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(item.nodeid))


def group(nodeid: str) -> str:
    """Tests of one group run in one process, in their order.

    A folder of tests/integration shares machines and databases, and tests/e2e a cluster.
    """
    _, suite, name, *_ = PurePath(nodeid.partition("::")[0]).parts
    return f"{suite}/{name}" if suite == "integration" or name in OWN_CLUSTER else suite


class Grouping(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Grouping | None:
    return Grouping(config, log) if config.getoption("dist") == "loadscope" else None
