# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's own policies pass the suite that those of others have to pass."""

from __future__ import annotations

from typing import Any

import pytest

from clusterops.scaler.policies.step import StepPolicy
from clusterops.scaler.policies.target_tracking import TargetTrackingPolicy
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.policy import Policy, Recommendation, Situation
from tests.policy_conformance import PolicyConformance


class TestThreshold(PolicyConformance):
    def make(self, **options: Any) -> Policy:
        return ThresholdPolicy(**options)


class TestTargetTracking(PolicyConformance):
    WRONG_OPTIONS = ({"metric": "luck"}, {"target": 0}, {"tolerance": "wide"})

    def make(self, **options: Any) -> Policy:
        return TargetTrackingPolicy(**options)


class TestStep(PolicyConformance):
    WRONG_OPTIONS = ({"up": "all"}, {"up": [], "down": []}, {"metric": "luck"})

    def make(self, **options: Any) -> Policy:
        return StepPolicy(**options)


class _Hasty:
    """Takes an agent away whenever it can, whatever is known."""

    def __init__(self, **_others: Any) -> None:
        self.calls = 0

    def recommend(self, situation: Situation) -> Recommendation:
        self.calls += 1
        return Recommendation("down", f"call {self.calls}")


def test_a_policy_that_keeps_no_rule_does_not_pass() -> None:
    class Suite(PolicyConformance):
        def make(self, **options: Any) -> Policy:
            return _Hasty(**options)

    suite = Suite()
    for rule in (
        suite.test_the_same_situation_always_gets_the_same_answer,
        suite.test_it_answers_without_any_agent,
        suite.test_never_fewer_while_an_agent_does_not_tell,
    ):
        with pytest.raises(AssertionError):
            rule()
