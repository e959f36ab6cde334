# SPDX-License-Identifier: GPL-3.0-or-later
"""So many requests in flight for each agent: a policy in one page."""

from __future__ import annotations

import math
from typing import Any

from clusterops.scaler.policy import Recommendation, Situation, Verdict


class InFlightPolicy:
    """As many agents as bring the requests in flight on each to ``each``.

    Between half of that and all of it nothing changes.
    """

    def __init__(self, *, each: float = 10, **_others: Any) -> None:
        """
        Raises:
            ValueError: ``each`` is not a number above 0.
        """
        if isinstance(each, bool) or not isinstance(each, int | float) or not each > 0:
            raise ValueError(f"each: found {each!r}; allowed is a number above 0")
        self.each = float(each)

    def recommend(self, situation: Situation) -> Recommendation:
        """Pure: what is returned follows from the situation alone."""
        serving = situation.serving
        if not serving:
            return Recommendation("none", "no agent is in service, so there is no load to judge")
        total = sum(agent.in_flight for agent in serving)
        average = total / len(serving)
        high = Verdict("in_flight_above", average, self.each, average > self.each)
        low = Verdict("in_flight_below", average, self.each / 2, average < self.each / 2)
        verdicts = (high, low)
        wanted = max(math.ceil(total / self.each), 1)
        told = f"{average:.1f} requests in flight for each agent"
        if high.fired:
            return Recommendation("up", f"{told}, more than {self.each:g}", verdicts, wanted=wanted)
        if low.fired and situation.missing:
            reason = f"{told}, but {', '.join(situation.missing)} does not tell how busy it is"
            return Recommendation("none", reason, verdicts, "missing_metrics")
        if low.fired and wanted < len(serving):
            reason = f"{told}, less than {self.each / 2:g}"
            return Recommendation("down", reason, verdicts, wanted=wanted)
        return Recommendation("none", f"{told}: between the limits", verdicts)
