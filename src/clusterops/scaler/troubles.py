# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed actions of an agent: back-off, rollback, and when it is set aside. Pure."""

from __future__ import annotations

from dataclasses import replace

from clusterops.scaler.model import ActionKind, Rules, State, Trouble


def after_failure(trouble: Trouble, kind: ActionKind, now: float, rules: Rules) -> Trouble:
    """The back-off after one more failed action of an agent.

    What a start or a preparation has left is to be undone; if that fails, too, the next start
    goes on from there.
    """
    failures = trouble.failures + 1
    delay = min(rules.backoff_s * 2.0 ** min(failures - 1, 16), rules.backoff_limit_s)
    brings = kind != "scale_down"
    set_aside = brings and failures % rules.quarantine_failures == 0
    return Trouble(
        failures=failures,
        not_before=now + delay,
        quarantined_until=now + rules.quarantine_s if set_aside else trouble.quarantined_until,
        suspect=trouble.suspect,
        undo=brings,
    )


def after_success(trouble: Trouble, kind: ActionKind) -> Trouble:
    """A machine that serves is forgiven; one that was taken down starts anew when it is needed.

    One that was rolled back still waits for its next try.
    """
    if kind == "scale_up":
        return Trouble()
    if kind == "scale_down" and trouble.undo:
        return replace(trouble, undo=False, suspect=False)
    suspect = trouble.suspect and kind != "scale_down"
    return Trouble(quarantined_until=trouble.quarantined_until, suspect=suspect)


def waits(state: State, name: str, now: float, rules: Rules) -> bool:
    """Whether an agent's next try is still to come."""
    return _ahead(trouble_of(state, name).not_before, now, rules.backoff_limit_s)


def quarantined(state: State, name: str, now: float, rules: Rules) -> bool:
    """Whether an agent is set aside."""
    return _ahead(trouble_of(state, name).quarantined_until, now, rules.quarantine_s)


def trouble_of(state: State, name: str) -> Trouble:
    """What is remembered of an agent's failures."""
    return state.troubles.get(name, Trouble())


def _ahead(until: float, now: float, most_s: float) -> bool:
    """Whether a time is still to come; not if it is further off than it can be, because the
    clock was set back.
    """
    return now < until <= now + most_s
