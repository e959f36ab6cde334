# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from clusterops.scaler.health import NO_STRIKES, Strikes, count_strikes, suspected, unhealthy
from clusterops.scaler.model import Agent
from tests.unit.scaler.builders import NOW, RULES, agent, seen, silent, strikes_after


def ejected(strikes: dict[str, Strikes], *agents: Agent) -> list[str]:
    ejects, _alarms = unhealthy(seen(*agents), strikes, RULES)
    return [eject.agent for eject in ejects]


def test_two_silent_looks_eject_and_one_does_not() -> None:
    agents = (agent(1), silent(2), agent(3))
    for looks, expected in ((1, []), (2, ["agent-2"])):
        strikes = strikes_after(looks, *agents)
        assert suspected(strikes)
        assert ejected(strikes, *agents) == expected
    assert not suspected(strikes_after(3, agent(1), agent(2)))


def test_strikes_count_in_a_row_and_in_the_pool_only() -> None:
    once = strikes_after(1, agent(1), silent(2))
    again = count_strikes(once, seen(agent(1), agent(2)))["agent-2"]
    assert (again.silent, again.unready, again.unready_s) == (0, 0, 0.0)
    assert "agent-2" not in strikes_after(5, agent(1), replace(silent(2), pool=None))
    unknown = seen(agent(1), agent(2, swept=False, ready=None))
    assert count_strikes(once, unknown)["agent-2"].silent == 1


@pytest.mark.parametrize(
    ("looks", "every_s", "leaves"),
    [(6, 1.0, False), (7, 1.0, True), (2, 3.5, True), (1, 60.0, False)],
)
def test_an_application_that_stays_unready_leaves_if_others_are_ready(
    looks: int, every_s: float, leaves: bool
) -> None:
    agents = (agent(1), agent(2, ready=False))
    strikes = strikes_after(looks, *agents, every_s=every_s)
    assert ejected(strikes, *agents) == (["agent-2"] if leaves else [])
    everyone = (agent(1, ready=False), agent(2, ready=False))  # the database, perhaps
    assert ejected(strikes_after(60, *everyone), *everyone) == []


def test_an_agent_that_has_just_come_has_its_time_to_become_ready() -> None:
    unready = agent(2, ready=False)
    first = count_strikes({}, seen(agent(1), unready, at=NOW))
    assert first["agent-2"].unready_s == 0.0


def test_a_clock_that_is_set_back_counts_no_time() -> None:
    once = strikes_after(2, agent(1), agent(2, ready=False))
    earlier = seen(agent(1), agent(2, ready=False), at=NOW - 3600)
    strikes = count_strikes(once, earlier)
    assert strikes["agent-2"].unready_s == 0.0
    assert ejected(strikes, *earlier.agents) == []
    later = replace(earlier, at=NOW - 3600 + RULES.unready_s)
    assert ejected(count_strikes(strikes, later), *later.agents) == ["agent-2"]


def test_agents_that_are_not_known_have_no_strikes() -> None:
    assert ejected({}, silent(1), agent(2)) == []
    assert not suspected({"agent-1": NO_STRIKES})


def test_a_look_that_others_make_long_counts_from_its_beginning() -> None:
    fine = count_strikes({}, seen(agent(1), agent(2), at=NOW), NOW - 3)
    later = seen(agent(1), agent(2, ready=False), at=NOW + 4)
    assert count_strikes(fine, later, NOW + 1)["agent-2"].unready_s == 7.0
