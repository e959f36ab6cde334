# SPDX-License-Identifier: GPL-3.0-or-later
"""How much the tests do at a time, and what all of them are, on small and on large machines."""

from __future__ import annotations

import pytest

from clusterops.cli import side_by_side
from clusterops.cli.testing import everything


@pytest.mark.parametrize(
    ("processors", "tests", "scenarios"), [(1, 2, 2), (2, 2, 2), (4, 4, 2), (8, 6, 4), (64, 6, 32)]
)
def test_more_processors_do_more_at_a_time(processors: int, tests: int, scenarios: int) -> None:
    assert side_by_side.tests(processors) == tests
    assert side_by_side.scenarios(processors) == scenarios


def test_a_large_machine_applies_the_roles_as_well() -> None:
    small = [("lint",), ("unit",), ("e2e", "integration")]
    assert everything(2) == everything(7) == small
    assert everything(8) == [*small, ("molecule",)]
