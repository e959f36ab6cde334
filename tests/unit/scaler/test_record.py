# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded tick tells everything that its decision was made of."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.errors import UsageError
from clusterops.scaler.decide import decide
from clusterops.scaler.explain import GUARDS, explain
from clusterops.scaler.memory import NO_MEMORY
from clusterops.scaler.model import Action, ActionKind, Lease, Observation, Plan, State
from clusterops.scaler.policies.threshold import ThresholdPolicy
from clusterops.scaler.record import alarms_of, observation_from, state_from, tick_record
from clusterops.scaler.replay import replay
from tests.unit.scaler.builders import LIMITS, NOW, agent, seen, state

POLICY = ThresholdPolicy()
AT = "2026-01-02T03:04:05.000Z"


def recorded(
    look: Observation, before: State, acting: ActionKind | None = None, **more: Any
) -> dict[str, Any]:
    """As the API gives it."""
    decision = decide(POLICY, look, before, NOW, LIMITS, NO_MEMORY, acting=acting)
    record = tick_record(look, decision, Plan(**more), before, acting=acting)
    return {"at": AT, **json.loads(json.dumps(record))}


percents = st.none() | st.floats(0, 100)


@given(
    loads=st.lists(st.tuples(percents, percents), max_size=4),
    desired=st.integers(0, 5),
    floor=st.integers(0, 4),
    paused=st.booleans(),
    held=st.booleans(),
    acting=st.sampled_from([None, "scale_up", "scale_down"]),
)
def test_a_record_gives_the_same_decision_again(
    loads: list[tuple[float | None, float | None]],
    desired: int,
    floor: int,
    paused: bool,
    held: bool,
    acting: ActionKind | None,
) -> None:
    look = seen(*(agent(n, cpu_percent=c, memory_percent=m) for n, (c, m) in enumerate(loads, 1)))
    lease = Lease("up", NOW + 5) if held else None
    before = state(desired, floor=floor, floor_until=NOW + 9, paused=paused, lease=lease)
    tick = recorded(look, before, acting)
    again = decide(
        POLICY, observation_from(NOW, tick), state_from(tick), NOW, LIMITS, acting=tick["acting"]
    )
    decision = tick["decision"]
    assert (again.desired, again.reason) == (decision["desired"], decision["reason"])
    assert again.blocked_by == decision["blocked_by"]


def test_replay_shows_where_another_policy_differs() -> None:
    ticks = [recorded(seen(agent(1, cpu_percent=cpu)), state(1)) for cpu in (40.0, 60.0, 90.0)]
    eager = ThresholdPolicy(scale_up_cpu_percent=50.0)
    found = list(replay(ticks, eager, replace(LIMITS, cooldown_up_s=0)))
    assert [(one.recorded, one.decision.desired) for one in found] == [(1, 1), (1, 2), (2, 2)]
    assert [one.differs for one in found] == [False, True, False]
    assert "60 % is above 50 %" in found[1].decision.reason


@pytest.mark.parametrize("broken", [{}, {"at": "noon"}, {"agents": [{"name": "x"}]}])
def test_replay_names_the_line_that_is_no_tick(broken: dict[str, Any]) -> None:
    good = recorded(seen(agent(1)), state(1))
    bad = {**good, **broken} if broken else {}
    with pytest.raises(UsageError, match="line 2 is no recorded tick"):
        list(replay([good, bad], POLICY, LIMITS))


def test_explain_says_why_it_scaled() -> None:
    tick = recorded(
        seen(agent(1, cpu_percent=90.0, in_flight=7)),
        state(1),
        actions=(Action("scale_up", "agent-2", "it is wanted, and its machine is absent"),),
    )
    text = "\n".join(explain(tick))
    assert "1 agent wanted, 1 in service." in text
    assert "1 more, so 2: average CPU 90 % is above 70 %." in text
    assert "Next: scale up agent-2, because it is wanted" in text
    assert "cpu_above: 90.0, limit 70: yes" in text
    assert "agent-1: in service, running, CPU 90 %, memory 50 %, 7 in flight" in text


def test_explain_says_why_it_did_not_scale() -> None:
    tick = recorded(seen(agent(1, cpu_percent=90.0)), state(1, last_scaling_at=NOW - 10))
    event = {"kind": "finished", "agent": "agent-1", "message": "scale_up took 12.0 s"}
    text = "\n".join(explain(tick, [event]))
    assert "Nothing was changed: average CPU 90 % is above 70 %, but the cooldown lasts" in text
    assert f"Guard: cooldown. {GUARDS['cooldown']}" in text
    assert "finished agent-1: scale_up took 12.0 s" in text


def test_explain_tells_of_agents_that_do_not_answer() -> None:
    silent = agent(2, cpu_percent=None, memory_percent=None, ready=False)
    text = "\n".join(explain(recorded(seen(agent(1), silent, problems=("x: no",)), state(2))))
    assert "agent-2: in service, running, no metrics, not ready" in text
    assert "Problem: x: no" in text


def test_explain_of_an_empty_cluster_names_no_rules_and_no_agents() -> None:
    tick = recorded(seen(), state(0))
    tick["decision"]["verdicts"] = []
    tick["plan"]["ejects"] = ["agent-3"]
    text = "\n".join(explain(tick))
    assert "0 agents wanted, 0 in service." in text
    assert "Rules:" not in text and "Agents:" not in text
    assert "agent-3 was taken out of the load balancer at once." in text


def test_alarms_tell_which_part_is_silent() -> None:
    look = replace(
        seen(),
        pool_known=False,
        servers_known=False,
        problems=("load balancer: refused", "/etc/deployment.json: is no deployment document"),
    )
    assert alarms_of(look, Plan(alarms={"stuck": "agent-1"})) == {
        "stuck": "agent-1",
        "load_balancer_unreachable": "load balancer: refused",
        "server_manager_unreachable": "Server Manager: unreachable",
        "deployment_unreadable": "/etc/deployment.json: is no deployment document",
    }
    assert alarms_of(seen(), Plan()) == {}
