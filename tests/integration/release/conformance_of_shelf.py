# SPDX-License-Identifier: GPL-3.0-or-later
"""The suites for the example package, which is installed beside the process that runs this."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from clusterops.scaler.policies import policy_from
from clusterops.scaler.policy import Policy
from clusterops.server_manager.driver import Cluster
from clusterops.server_manager.providers import installed, open_driver
from tests.driver_conformance import DriverConformance, MakeDriver
from tests.policy_conformance import PolicyConformance


class TestShelf(DriverConformance):
    @pytest.fixture
    def make_driver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeDriver:
        monkeypatch.setenv("SHELF_FOLDER", str(tmp_path))
        return lambda: open_driver("shelf", Cluster("conformance"))

    def test_another_cluster_is_not_seen(self, make_driver: MakeDriver, tmp_path: Path) -> None:
        assert "shelf" in installed()
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "precious").write_text("not ours")
        stranger = open_driver("shelf", Cluster("other"))
        with pytest.raises(Exception, match="did not make it"):
            stranger.prepare()
        assert (tmp_path / "other" / "precious").read_text() == "not ours"


class TestInFlight(PolicyConformance):
    WRONG_OPTIONS = ({"each": 0}, {"each": "many"}, {"each": True})

    def make(self, **options: Any) -> Policy:
        [found] = [e for e in entry_points(group="clusterops.policies") if e.name == "in_flight"]
        policy: Policy = found.load()(**options)
        return policy

    def test_cluster_yml_takes_it_by_its_name(self) -> None:
        policy = policy_from({"scaling_policies": [{"policy": "in_flight", "each": 3}]})
        assert policy.each == 3.0  # type: ignore[attr-defined]
