# SPDX-License-Identifier: GPL-3.0-or-later
"""What another policy would have decided on the inputs of a record. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clusterops.errors import UsageError
from clusterops.scaler.decide import Decision, decide
from clusterops.scaler.memory import NO_MEMORY
from clusterops.scaler.model import Limits
from clusterops.scaler.policy import Policy
from clusterops.scaler.record import observation_from, state_from


@dataclass(frozen=True, slots=True)
class Replayed:
    """One tick: how many agents were wanted before, what was decided, and what would have been."""

    at: str
    before: int
    recorded: int
    recorded_reason: str
    decision: Decision

    @property
    def differs(self) -> bool:
        return self.recorded != self.decision.desired


def replay(
    ticks: Iterable[Mapping[str, Any]], policy: Policy, limits: Limits
) -> Iterator[Replayed]:
    """Decide each tick anew. Every tick starts from what was really wanted then.

    Otherwise the inputs would be those of another history: agents that the other policy would
    have added were not there to be measured. Its own memory it keeps from tick to tick.

    Args:
        ticks: oldest first, as the record has them.

    Raises:
        UsageError: a tick lacks something; the message names its number.
    """
    memory = NO_MEMORY
    for number, tick in enumerate(ticks, start=1):
        try:
            now = datetime.fromisoformat(str(tick["at"])).timestamp()
            state = state_from(tick)
            decision = decide(
                policy,
                observation_from(now, tick),
                state,
                now,
                limits,
                memory,
                acting=tick["acting"],
                safety_stop=tick["safety_stop"],
            )
            recorded = tick["decision"]
            replayed = Replayed(
                str(tick["at"]),
                state.desired,
                recorded["desired"],
                str(recorded["reason"]),
                decision,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"line {number} is no recorded tick: {type(error).__name__} {error}",
                remedy="export the record with ./playground record FILE",
            ) from error
        memory = decision.memory
        yield replayed
