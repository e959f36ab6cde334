# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterops.scaler.health import Strikes
from clusterops.scaler.model import Agent, Lease, Observation, Plan, Trouble
from clusterops.scaler.reconcile import acting_kind, candidates, initial_desired, plan
from clusterops.scaler.troubles import after_failure, after_success
from tests.unit.scaler.builders import NOW, RULES, agent, seen, silent, state, strikes_after


def planned(
    desired: int, observation: Observation, strikes: dict[str, Strikes] | None = None, **more: Any
) -> Plan:
    busy = more.pop("busy", None)
    rules = replace(RULES, warm_agents=more.pop("warm_agents", 0))
    return plan(desired, observation, state(desired, **more), strikes or {}, NOW, rules, busy)


def step(result: Plan) -> str | None:
    if result.restores:
        return f"restore {' '.join(result.restores)}"
    return f"{result.action.kind} {result.action.agent}" if result.action else None


@pytest.mark.parametrize(
    ("desired", "agents", "expected"),
    [
        (1, [agent(1)], None),
        (2, [agent(1)], "scale_up agent-2"),
        (2, [agent(1), agent(2, "stopped")], "scale_up agent-2"),
        (1, [agent(1), agent(2)], "scale_down agent-2"),
        (1, [agent(1), agent(2), agent(3)], "scale_down agent-3"),
        # Half-done work of a killed predecessor:
        (1, [agent(1), agent(2, "running")], "scale_down agent-2"),
        (2, [agent(1), agent(2, "running")], "scale_up agent-2"),
        (1, [agent(1), agent(2, "draining")], "scale_down agent-2"),
        (2, [agent(1), agent(2, "draining")], "restore agent-2"),
        (2, [agent(1), agent(2, "draining", ready=False)], "scale_up agent-2"),
        (2, [agent(1), agent(2, "draining", cpu_percent=None)], "scale_up agent-2"),
        (2, [agent(1), agent(3, "running")], "scale_up agent-3"),
        (1, [agent(1), agent(2, "running", state="starting")], "scale_down agent-2"),
        (1, [agent(1), agent(2, "stopped", state="stopping")], None),
        (1, [agent(1), agent(2, "stopped", state="paused")], "scale_down agent-2"),
        # What serves stays, whatever its number.
        (2, [agent(1), agent(3)], None),
        # Capacity comes before tidiness.
        (2, [agent(2), agent(1, "stopped"), agent(3, "draining")], "restore agent-3"),
        # Beyond the maximum.
        (1, [agent(1), agent(7)], "scale_down agent-7"),
        (0, [agent(1)], "scale_down agent-1"),
    ],
)
def test_the_next_step(desired: int, agents: list[Agent], expected: str | None) -> None:
    assert step(planned(desired, seen(*agents))) == expected


@pytest.mark.parametrize("dead", ["stopped", "absent", "error", "paused"])
def test_a_dead_agent_is_ejected_before_anything_else(dead: str) -> None:
    result = planned(2, seen(agent(1), agent(2, state=dead, swept=False)))
    assert [eject.agent for eject in result.ejects] == ["agent-2"]
    assert result.action is None


def test_ejects_happen_while_held_and_while_acting() -> None:
    dead = seen(agent(1), agent(2, state="stopped", swept=False))
    held = planned(2, dead, lease=Lease("up", NOW + 9))
    acting = planned(2, dead, busy={"agent-4": "scale_up"})
    assert held.ejects and acting.ejects
    assert (held.blocked_by, acting.blocked_by) == ("held", "ejecting")


def test_an_ejected_agent_is_replaced() -> None:
    assert step(planned(2, seen(agent(1), agent(2, "stopped")))) == "scale_up agent-2"


def test_many_unhealthy_agents_at_once_change_nothing_and_raise_an_alarm() -> None:
    agents = (silent(1), silent(2), agent(3))
    result = planned(4, seen(*agents), strikes_after(2, *agents))
    assert not result.ejects and result.action is None
    assert result.blocked_by == "many_unhealthy"
    assert "2 of 3" in result.alarms["many_unhealthy"]


def test_one_agent_alone_may_be_ejected() -> None:
    result = planned(1, seen(silent(1)), strikes_after(2, silent(1)))
    assert [eject.agent for eject in result.ejects] == ["agent-1"]


def test_stopped_machines_are_certain_even_if_they_are_many() -> None:
    dead = [agent(n, state="stopped", swept=False) for n in (1, 2)]
    assert len(planned(2, seen(*dead)).ejects) == 2


def test_an_address_that_changed_is_ejected() -> None:
    moved = agent(2, pool_address="10.9.9.9:5000")
    assert [e.agent for e in planned(2, seen(agent(1), moved)).ejects] == ["agent-2"]


def test_without_the_server_manager_nothing_acts_but_health_still_ejects() -> None:
    blind = [replace(a, state=None) for a in (agent(1), silent(2), agent(3))]
    result = planned(4, seen(*blind, servers_known=False), strikes_after(2, *blind))
    assert [eject.agent for eject in result.ejects] == ["agent-2"]
    assert (result.action, result.blocked_by) == (None, "server_manager_unreachable")


def test_without_the_pool_nothing_happens() -> None:
    result = planned(3, seen(agent(1, "running"), pool_known=False))
    assert result == Plan(blocked_by="load_balancer_unreachable")


def test_nothing_is_started_before_there_is_an_application() -> None:
    result = planned(1, seen(application=None))
    assert (result.action, result.blocked_by) == (None, "no_deployment")


def test_failures_back_off_and_then_set_the_agent_aside() -> None:
    trouble, waits = Trouble(), []
    for _ in range(3):
        trouble = after_failure(trouble, "scale_up", NOW, RULES)
        waits.append(trouble.not_before - NOW)
    assert waits == [5.0, 10.0, 20.0]
    assert trouble.quarantined_until == NOW + RULES.quarantine_s
    waiting = planned(2, seen(agent(1)), troubles={"agent-2": Trouble(1, NOW + 5)})
    assert (waiting.action, waiting.blocked_by) == (None, "backoff")
    aside = planned(2, seen(agent(1), agent(2, "running")), troubles={"agent-2": trouble})
    assert step(aside) == "scale_up agent-3"
    tidy = planned(
        2,
        seen(agent(1), agent(2, "running"), agent(3)),
        troubles={"agent-2": replace(trouble, not_before=NOW)},
    )
    assert step(tidy) == "scale_down agent-2"
    assert after_success(trouble, "scale_down").quarantined_until == trouble.quarantined_until
    assert after_success(trouble, "scale_up") == Trouble()


def test_too_many_set_aside_is_an_alarm() -> None:
    aside = {f"agent-{n}": Trouble(3, NOW, NOW + 600) for n in (2, 3, 4)}
    result = planned(2, seen(agent(1)), troubles=aside)
    assert result.action is None and "not_enough_agents" in result.alarms


def test_what_an_empty_store_starts_from() -> None:
    assert initial_desired(seen(), 1, 4) == 1
    assert initial_desired(seen(agent(1), agent(2)), 1, 4) == 2
    assert initial_desired(seen(agent(1), agent(2), agent(3)), 1, 2) == 2
    assert initial_desired(seen(pool_known=False), 1, 4) is None


def test_several_agents_come_at_once_and_go_one_by_one() -> None:
    result = planned(4, seen(agent(1)))
    assert [a.agent for a in result.actions] == ["agent-2", "agent-3", "agent-4"]
    result = planned(1, seen(agent(1), agent(2), agent(3)))
    assert [a.agent for a in result.actions] == ["agent-3"]


def test_nothing_is_begun_for_an_agent_that_is_busy() -> None:
    one = planned(4, seen(agent(1)), busy={"agent-2": "scale_up"})
    assert [a.agent for a in one.actions] == ["agent-3", "agent-4"]
    full = planned(4, seen(agent(1)), busy=dict.fromkeys(["agent-2", "agent-3", "x"], "scale_up"))
    assert (full.actions, full.blocked_by) == ((), "action_in_progress")
    down = planned(1, seen(agent(1), agent(2), agent(3)), busy={"agent-3": "scale_down"})
    assert (down.actions, down.blocked_by) == ((), "action_in_progress")


def test_taking_down_is_called_off_for_an_agent_that_is_wanted_again() -> None:
    look = seen(agent(1), agent(2, "draining"))
    result = planned(2, look, busy={"agent-2": "scale_down"})
    assert (result.cancels, result.restores, result.actions) == (("agent-2",), (), ())
    assert planned(1, look, busy={"agent-2": "scale_down"}).cancels == ()


def test_what_a_failed_start_has_left_is_taken_down_to_its_end() -> None:
    look = seen(agent(1), agent(2, None))
    going = {"agent-2": "scale_down"}
    failed = {"agent-2": Trouble(failures=1, undo=True)}
    assert planned(2, look, busy=going).cancels == ("agent-2",)
    assert planned(2, look, busy=going, troubles=failed).cancels == ()


def test_no_agent_goes_while_one_that_is_to_stay_looks_silent() -> None:
    look = seen(agent(1, ready=False, cpu_percent=None), agent(2))
    result = planned(1, look, {"agent-1": Strikes(silent=1, unready=1)})
    assert (result.actions, result.blocked_by) == ((), "suspicion")
    assert step(planned(1, look)) == "scale_down agent-2"


def test_a_clock_that_was_set_back_does_not_prolong_a_rest() -> None:
    beyond = NOW + RULES.quarantine_s + 1
    for trouble in (Trouble(3, not_before=beyond), Trouble(3, quarantined_until=beyond)):
        look = seen(agent(1), agent(2, "stopped"))
        assert step(planned(2, look, troubles={"agent-2": trouble})) == "scale_up agent-2"


def test_where_no_application_is_ready_another_agent_tells_whether_it_is_the_agents() -> None:
    unready = agent(1, ready=False)
    strikes = strikes_after(30, unready)
    result = planned(1, seen(unready), strikes)
    assert "none_ready" in result.alarms and not result.ejects
    assert step(result) == "scale_up agent-2"
    assert planned(4, seen(*(agent(n, ready=False) for n in (1, 2, 3, 4))), strikes).actions == ()
    assert step(planned(1, seen(unready), strikes_after(29, unready))) is None
    # It is: the new one serves, and the old one leaves.
    ejects = planned(1, seen(unready, agent(2)), strikes).ejects
    assert [(eject.agent, eject.suspect) for eject in ejects] == [("agent-1", True)]


def test_a_start_that_failed_is_rolled_back_before_it_is_tried_again() -> None:
    failed = {"agent-2": after_failure(Trouble(), "scale_up", NOW, RULES)}
    look = seen(agent(1), agent(2, "running"))
    back = planned(2, look, troubles=failed)
    assert step(back) == "scale_down agent-2" and "rolled back" in back.actions[0].reason
    undone = {"agent-2": after_success(failed["agent-2"], "scale_down")}
    off = seen(agent(1), agent(2, "stopped"))
    assert planned(2, off, troubles=undone).blocked_by == "backoff"
    assert plan(2, off, state(2, troubles=undone), {}, NOW + 5, RULES).actions[0].kind == "scale_up"
    # Nothing was left: nothing to roll back.
    assert planned(2, off, troubles=failed).blocked_by == "backoff"
    # A rollback that fails does not stand in the way of the next try for ever.
    twice = {"agent-2": after_failure(failed["agent-2"], "scale_down", NOW - 10, RULES)}
    assert step(planned(2, look, troubles=twice)) == "scale_up agent-2"
    # What serves all the same stays.
    assert step(planned(2, seen(agent(1), agent(2)), troubles=failed)) is None


RELEASE = {"agent-2": "r1"}


@pytest.mark.parametrize(
    ("desired", "warm", "agents", "prepared", "expected"),
    [
        (1, 1, [agent(1)], {}, "prepare agent-2"),
        (1, 1, [agent(1), agent(2, "stopped")], {}, "prepare agent-2"),
        (1, 1, [agent(1), agent(2, "stopped")], {"agent-2": "r0"}, "prepare agent-2"),
        (1, 1, [agent(1), agent(2, "stopped")], RELEASE, None),
        (1, 2, [agent(1), agent(2, "stopped")], RELEASE, "prepare agent-3"),
        (1, 0, [agent(1)], {}, None),
        # The machine that was prepared is gone.
        (1, 1, [agent(1)], RELEASE, "prepare agent-2"),
        # Prepared agents come first.
        (2, 0, [agent(1), agent(3, "stopped")], {"agent-3": "r1"}, "scale_up agent-3"),
        # First things first.
        (2, 1, [agent(1)], {}, "scale_up agent-2"),
        (1, 1, [agent(1), agent(4, "running")], RELEASE, "scale_down agent-4"),
        (4, 4, [agent(n) for n in (1, 2, 3, 4)], {}, None),
    ],
)
def test_the_warm_pool(
    desired: int, warm: int, agents: list[Agent], prepared: dict[str, str], expected: str | None
) -> None:
    assert step(planned(desired, seen(*agents), warm_agents=warm, prepared=prepared)) == expected


def test_preparing_an_agent_stands_in_nobodys_way() -> None:
    preparing = {"agent-2": "prepare"}
    assert acting_kind(preparing) is None
    look = seen(agent(1), agent(2, "running"), agent(3, "stopped"))
    assert step(planned(2, look, busy=preparing)) == "scale_up agent-3"
    assert step(planned(1, look, busy=preparing, warm_agents=2)) is None  # one at a time
    too_many = seen(agent(1), agent(2, "running"), agent(3))
    assert step(planned(1, too_many, busy=preparing)) == "scale_down agent-3"
    waiting = {"agent-2": after_failure(Trouble(), "prepare", NOW, RULES)}
    assert step(planned(1, seen(agent(1)), troubles=waiting, warm_agents=1)) is None
    # An agent that was left half prepared by a scaler that was killed.
    left = planned(1, seen(agent(1), agent(2, "running")), warm_agents=1)
    assert step(left) == "scale_down agent-2"


def test_another_agent_replaces_one_that_stopped_answering() -> None:
    suspect = {"agent-2": Trouble(suspect=True)}
    look = seen(agent(1), agent(2, "running", ready=False, cpu_percent=None))
    assert step(planned(2, look, troubles=suspect)) == "scale_up agent-3"
    # It is used when there is no other one.
    assert [a.agent for a in planned(4, look, troubles=suspect).actions] == [
        "agent-2", "agent-3", "agent-4",
    ]  # fmt: skip
    silent = {"agent-2": Strikes(silent=2)}
    ejects = planned(2, seen(agent(1), agent(2, ready=False, cpu_percent=None)), silent).ejects
    assert [eject.suspect for eject in ejects] == [True]


# --- a model of the cluster: any start, any interruption -----------------------------------

KINDS = st.sampled_from(["serving", "draining", "running", "stopped", "absent"])


def effects(kind: str) -> list[str]:
    """What an agent is after each stage of a playbook; a kill may come after any of them."""
    return {"scale_up": ["running", "serving"], "scale_down": ["draining", "running", "stopped"]}[
        kind
    ]


@settings(max_examples=300)
@given(
    start=st.lists(KINDS, min_size=4, max_size=4),
    desired=st.integers(0, 4),
    kills=st.lists(st.integers(0, 3), max_size=12),
)
def test_it_converges_from_anywhere_whatever_is_killed(
    start: list[str], desired: int, kills: list[int]
) -> None:
    cluster = {n: kind for n, kind in enumerate(start, 1)}
    interruptions = list(kills)
    for _ in range(60):
        look = seen(*(agent(n, kind) for n, kind in cluster.items()))
        result = planned(desired, look)
        assert not result.ejects
        for name in result.restores:
            cluster[int(name.split("-")[1])] = "serving"
        if result.restores:
            continue
        if result.action is None:
            break
        number = int(result.action.agent.split("-")[1])
        serving = sum(kind == "serving" for kind in cluster.values())
        if result.action.kind == "scale_down" and cluster[number] == "serving":
            assert serving > desired  # never below what is wanted
        stages = effects(result.action.kind)
        if result.action.kind == "scale_down" and cluster[number] == "running":
            stages = ["running", "stopped"]
        if interruptions:
            stages = stages[: interruptions.pop(0)]
        for stage in stages:
            cluster[number] = stage
    else:
        pytest.fail("no end of it")
    assert sum(kind == "serving" for kind in cluster.values()) == desired
    assert not {"running", "draining"} & set(cluster.values())  # powered, but unused


@given(
    kinds=st.lists(KINDS, min_size=4, max_size=4),
    desired=st.integers(0, 4),
    aside=st.sets(st.integers(1, 4)),
)
def test_choices_are_stable_and_never_give_up_what_serves(
    kinds: list[str], desired: int, aside: set[int]
) -> None:
    look = seen(*(agent(n, kind) for n, kind in enumerate(kinds, 1)))
    troubles = {f"agent-{n}": Trouble(3, 0, NOW + 9) for n in aside}
    chosen = candidates(look, state(desired, troubles=troubles), NOW, RULES, {})[:desired]
    assert len(set(chosen)) == len(chosen) <= desired
    serving = [f"agent-{n}" for n, kind in enumerate(kinds, 1) if kind == "serving"]
    assert set(serving[:desired]) <= set(chosen)
