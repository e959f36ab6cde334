# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a scenario, and the system that they have."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
import testinfra
from testinfra.host import Host


def node(name: str) -> Host:
    """A node of this scenario: "node", on which every test runs that names no other, or "other"."""
    scenario = os.environ["MOLECULE_SCENARIO_NAME"]
    return testinfra.get_host(f"docker://molecule-{scenario}-{_system()}-{name}")


def _system() -> str:
    return os.environ.get("NODE_SYSTEM") or "debian-13"


@pytest.fixture(scope="session")
def other() -> Host:
    """The node whose role has other values."""
    return node("other")


@pytest.fixture(scope="session")
def system() -> str:
    """ID-VERSION_ID of the nodes' os-release(5)."""
    return _system()


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition, a minute at most: the machine may be busy."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it did not happen within a minute"
            time.sleep(0.2)

    return wait
