# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests stay together where two processes run tests side by side (--dist loadscope)."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

OWN_CLUSTER = ("test_virtualbox_cluster.py",)
"""Files of tests/e2e that bring up another cluster than that of all the others."""


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
