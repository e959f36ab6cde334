# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from clusterops.server_manager.driver import Cluster
from clusterops.server_manager.drivers.fake import FakeDriver, FakeWorld
from tests.driver_conformance import DriverConformance, FaultConformance, MakeDriver


class TestFakeDriver(DriverConformance, FaultConformance):
    @pytest.fixture
    def make_driver(self) -> MakeDriver:
        world = FakeWorld()
        return lambda: FakeDriver(Cluster("unit"), world)
