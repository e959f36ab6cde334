# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies that other packages bring."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from clusterops.errors import UsageError
from clusterops.scaler import policies
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.settings import settings_from

ELSEWHERE = EntryPoint(
    "theirs", "clusterops.scaler.policies.threshold:ThresholdPolicy", policies.GROUP
)
URL = {"server_manager_url": "http://10.0.0.1:3000"}


def test_an_installed_policy_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def entry_points(group: str) -> list[EntryPoint]:
        asked.append(group)
        return [ELSEWHERE]

    monkeypatch.setattr(policies, "entry_points", entry_points)
    settings = settings_from({**URL, "scaling_policy": "theirs"}, "test").model_dump()
    assert isinstance(policies.policy_from(settings), ThresholdPolicy)
    assert asked == ["clusterops.policies"]
    with pytest.raises(UsageError, match=r"'other', which is not installed; .*, theirs, threshold"):
        policies.policy_from({**settings, "scaling_policy": "other"})
