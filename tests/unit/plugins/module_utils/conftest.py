# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorded web service of VirtualBox, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clusterops.virtualbox._vboxwebsrv import VBoxWebService

from .vboxwebsrv_replay import Replay, replaying


@pytest.fixture
def replay() -> Iterator[Replay]:
    with replaying() as service:
        yield service


@pytest.fixture
def client(replay: Replay) -> VBoxWebService:
    return VBoxWebService(replay.url, timeout_s=10, connections=1)
