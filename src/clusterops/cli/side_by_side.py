# SPDX-License-Identifier: GPL-3.0-or-later
"""How much `test` does at a time, by the processors that it may use."""

from __future__ import annotations

import os

TESTS_MOST = 6
"""There are not more groups of tests than that which take long; tests/conftest.py makes them."""
ROLES_WITH_ALL = 8
"""With so many processors `all` applies the roles, too, and still ends within 40 minutes."""


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def tests(processors: int) -> int:
    """Processes that run tests with real programs. With three on two processors a cluster under
    load is too slow to be measured.
    """
    return min(max(2, processors), TESTS_MOST)


def scenarios(processors: int) -> int:
    """Scenarios of roles, each of which has two nodes."""
    return max(2, processors // 2)
