# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC

import pytest

from clusterops.report.run import Run, Scaling
from clusterops.report.words import count, duration, integral, listed, movements, summary
from tests.unit.report.builders import END, START, run


def told(found: Run) -> str:
    return "\n".join(summary(found, UTC))


def test_a_run_in_plain_words() -> None:
    assert told(run()).splitlines() == [
        "In 10 min the load balancer answered about 65,800 requests: 112 a second on average, 200 "
        "at the most, at 22:01:40. About 10 of them (0.015 %) ended with an error (5xx).",
        "p99 never exceeded 250 ms: it was 40 ms most of the time, and highest at 22:03:10, while "
        "the cluster grew.",
        "Between 1 and 2 agents served, 1.4 on average.",
        "The cluster grew from 1 to 2 agents at 22:03:00, because average CPU 85 % is above 70 %; "
        "that was done 14 s later.",
        "The cluster shrank from 2 to 1 agent at 22:06:50, because average CPU 20 % is below 30 %; "
        "that was done 8 s later.",
        "A wish to scale was held back by cooldown (20 s). Cooldown: After a change the scaler "
        "rests (scaling_cooldown_s), so that its effect shows.",
        "agent-2 was taken out of service at 22:05:00: it is silent.",
        "The load generator ran the profile 'spike' for 5 min; requests came at their times, "
        "whether answers had come or not (open loop). Of 60,000 requests 12 failed, and the client "
        "saw a p99 of 300 ms.",
    ]


def test_a_time_without_anything() -> None:
    assert told(Run(START, END, "mine", "docker")).splitlines() == [
        "Nobody recorded how much traffic there was.",
        "The scaler recorded nothing in this time.",
    ]
    idle = Run(START, END, "mine", "docker", rate=[(START, 0.0), (START + 10, 0.0)],
               serving=[(START, 1)])  # fmt: skip
    assert told(idle).splitlines() == [
        "In 10 min the load balancer had no traffic worth mentioning.",
        "1 agent served all the time.",
    ]


def test_no_errors_is_worth_a_word() -> None:
    assert "None of them ended with an error" in told(run(errors=[]))


def test_an_outage_is_said() -> None:
    assert "At times no agent was in service." in told(run(serving=[(START, 1), (START + 9, 0)]))


def test_changes_that_follow_closely_are_one_movement() -> None:
    def change(second: float, before: int, after: int) -> Scaling:
        return Scaling(START + second, before, after, "busy", (), 10.0)

    changes = [change(0, 1, 2), change(30, 2, 3), change(200, 3, 4), change(210, 4, 3)]
    assert [len(group) for group in movements(changes)] == [2, 1, 1]
    text = told(Run(START, END, "mine", "docker", scalings=changes[:2]))
    assert (
        "grew from 1 to 3 agents from 22:00:00 to 22:00:30, because busy; that was done 40 s later"
        in text
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (200, "3 min 20 s"), (7200, "2 h"),
     (7500, "2 h 5 min")],
)  # fmt: skip
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_small_helpers() -> None:
    assert count(12345.6) == "12,346"
    assert [listed(list(parts)) for parts in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
    assert integral([(0, 10), (10, 20), (200, 20), (210, 0)]) == 150 + 100
