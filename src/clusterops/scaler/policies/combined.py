# SPDX-License-Identifier: GPL-3.0-or-later
"""Several policies as one: out beats in, and the reason names the winner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clusterops.scaler.policy import Policy, Recommendation, Situation, Verdict


class CombinedPolicy:
    """Up when any policy says so, to the most that one asks for; down when all agree, to the
    least that all of them allow. A policy without an opinion does not count.
    """

    def __init__(self, policies: Sequence[tuple[str, Policy]]) -> None:
        """
        Args:
            policies: each with its name; of equal wishes the first one's reason is given.
        """
        self._policies = tuple(policies)

    def recommend(self, situation: Situation) -> Recommendation:
        """Ask all of them."""
        wishes = [(name, policy.recommend(situation)) for name, policy in self._policies]
        lows = [wish.low for _, wish in wishes if wish.low is not None]
        highs = [wish.high for _, wish in wishes if wish.high is not None]
        name, wish = _winner(wishes, situation.desired)
        return replace(
            wish,
            reason=f"{name}: {wish.reason}",
            verdicts=tuple(
                Verdict(f"{one}.{verdict.rule}", verdict.value, verdict.limit, verdict.fired)
                for one, its in wishes
                for verdict in its.verdicts
            ),
            low=max(lows, default=None),
            high=min(highs, default=None),
        )


def _winner(
    wishes: Sequence[tuple[str, Recommendation]], desired: int
) -> tuple[str, Recommendation]:
    """The wish that prevails: the most agents that anyone with an opinion asks for."""
    opinions = [(name, wish) for name, wish in wishes if not wish.silent] or list(wishes)
    # max() keeps the first of equals; one that is blocked (metrics are missing) says so.
    return max(
        opinions,
        key=lambda opinion: (opinion[1].target(desired), opinion[1].blocked_by is not None),
    )
