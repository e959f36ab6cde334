# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from typing import Any

import pytest

from clusterops.cli import main, scale
from clusterops.cli.scale import progress
from clusterops.clients import AnswerError


def document(serving: int, desired: int, action: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "mode": "auto",
        "desired": desired,
        "min": 1,
        "max": 4,
        "action": action,
        "agents": [{"name": f"agent-{n + 1}", "in_service": n < serving} for n in range(4)],
    }


def starting(agent: str, step: str) -> dict[str, Any]:
    return {"kind": "scale_up", "agent": agent, "step": step, "started_at": time.time()}


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "POLL_S", 0)


def test_scale_waits_and_says_what_happens(
    manager: Any, scaler: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    scaler.answers = [
        document(1, 1),
        document(1, 3, starting("agent-2", "powering on")),
        document(1, 3, starting("agent-2", "deploying")),
        document(2, 3),
        document(3, 3),
    ]
    assert main(["scale", "3"]) == 0
    assert scaler.asked == [3]
    out = capsys.readouterr().out.splitlines()
    assert "scale up agent-2: powering on" in out[0]
    assert "scale up agent-2: deploying" in out[1]
    assert out[-2] == "3 agents in service."
    assert out[-1].startswith("For 300 s the policy may raise the number above 3")


@pytest.mark.parametrize("count", ["0", "5", "-1"])
def test_out_of_range_is_exit_2_with_the_range(
    manager: Any, scaler: Any, capsys: pytest.CaptureFixture[str], count: str
) -> None:
    assert main(["scale", "--", count]) == 2
    assert f"N: found {count}, allowed: a whole number from 1 to 4" in capsys.readouterr().err
    assert scaler.asked == []


def test_not_a_number_is_exit_2(manager: Any, scaler: Any) -> None:
    assert main(["scale", "many"]) == 2


def test_no_wait_returns_at_once(manager: Any, scaler: Any) -> None:
    scaler.answers = [document(1, 1)]
    assert main(["scale", "2", "--no-wait"]) == 0
    assert scaler.asked == [2]


def test_a_silent_scaler_is_exit_3(manager: Any, scaler: Any) -> None:
    scaler.document = None
    assert main(["scale", "2"]) == 3


def test_a_refusal_of_the_range_is_bad_usage(manager: Any, scaler: Any) -> None:
    scaler.refuse = AnswerError("desired: allowed: 1 to 4", 422)
    assert main(["scale", "2"]) == 2


def test_the_time_limit_is_exit_1_and_says_how_far_it_came(
    manager: Any, scaler: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler.answers = [document(1, 1), document(1, 2, starting("agent-2", "waiting for ssh"))]
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(
        scale._wait, "__kwdefaults__", {"clock": lambda: next(clock), "sleep": lambda _: None}
    )
    assert main(["scale", "2"]) == 1
    err = capsys.readouterr().err
    assert "After 180 s: 1 of 2 in service; scale up agent-2: waiting for ssh" in err


def test_a_restart_of_the_scaler_is_waited_for(manager: Any, scaler: Any) -> None:
    scaler.answers = [document(1, 1), None, document(2, 2)]
    assert main(["scale", "2"]) == 0


def test_going_down_is_done_when_the_action_is_over() -> None:
    leaving = {"kind": "scale_down", "agent": "agent-2", "step": "powering off"}
    assert not progress(document(2, 1), 1, rising=False).done
    assert not progress(document(1, 1, leaving), 1, rising=False).done
    assert progress(document(1, 1), 1, rising=False).done


def test_going_down_ends_when_the_policy_wants_more() -> None:
    found = progress(document(2, 3), 1, rising=False)
    assert found.done
    assert "policy wants 3" in found.line


def test_going_up_is_done_even_when_the_policy_went_further() -> None:
    assert progress(document(4, 4), 3, rising=True).done


def test_what_holds_it_up_is_said() -> None:
    held = {**document(1, 2), "mode": "held"}
    assert "the scaler is held" in progress(held, 2, rising=True).line
    blocked = {**document(1, 2), "blocked_by": "cooldown"}
    assert "waiting: cooldown" in progress(blocked, 2, rising=True).line
