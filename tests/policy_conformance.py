# SPDX-License-Identifier: GPL-3.0-or-later
"""What every scaling policy has to do. Subclass with a method ``make``.

The policies of the project itself are tested with random options, too:
tests/unit/scaler/policies/test_properties.py.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from clusterops.scaler.decide import decide
from clusterops.scaler.model import Agent
from clusterops.scaler.policy import Policy, Situation
from tests.unit.scaler.builders import agent, limits, seen, state

SITUATIONS = 300


def _situations(*, mute: bool = False) -> Iterator[Situation]:
    """Up to eight agents, the same ones in each run."""
    chance = random.Random(20260131)
    for _ in range(SITUATIONS):
        agents = [_agent(chance, number) for number in range(1, chance.randint(0, 8) + 1)]
        warm = {one.name for one in agents if chance.random() < 0.9}
        if mute:
            agents.append(agent(9, cpu_percent=None, memory_percent=None))
            warm.add("agent-9")
        now = chance.uniform(0, 4e9)
        yield Situation(seen(*agents), chance.randint(0, 12), now, frozenset(warm))


def _agent(chance: random.Random, number: int) -> Agent:
    tells = chance.random() < 0.9
    return agent(
        number,
        cpu_percent=chance.uniform(0, 100) if tells else None,
        memory_percent=chance.uniform(0, 100) if tells else None,
        in_flight=chance.randint(0, 40),
    )


def _busier(situation: Situation) -> Situation:
    agents = tuple(
        replace(
            one,
            cpu_percent=None if one.cpu_percent is None else min(one.cpu_percent * 1.3, 100.0),
            memory_percent=one.memory_percent,
            in_flight=one.in_flight * 2 + 1,
        )
        for one in situation.observation.agents
    )
    return replace(situation, observation=replace(situation.observation, agents=agents))


class PolicyConformance:
    """Tests of one policy."""

    WRONG_OPTIONS: tuple[dict[str, Any], ...] = ()
    """Options that it must refuse."""

    def make(self, **options: Any) -> Policy:
        """A new policy, as the scaler makes it: with keywords."""
        raise NotImplementedError

    def test_settings_of_others_are_left_alone(self) -> None:
        policy = self.make(agents_max=4, scaling_interval_s=10, scale_up_cpu_percent=70)
        assert policy.recommend(next(_situations())).reason

    def test_wrong_options_are_refused_in_words(self) -> None:
        for options in self.WRONG_OPTIONS:
            with pytest.raises(ValueError, match="allowed"):
                self.make(**options)

    def test_the_same_situation_always_gets_the_same_answer(self) -> None:
        policy = self.make()
        first = [policy.recommend(situation) for situation in _situations()]
        again = [policy.recommend(situation) for situation in reversed(list(_situations()))]
        assert first == again[::-1]
        assert first == [self.make().recommend(situation) for situation in _situations()]

    def test_every_answer_has_its_reason(self) -> None:
        for situation in _situations():
            wish = self.make().recommend(situation)
            assert wish.reason and "\n" not in wish.reason
            assert wish.direction in ("up", "down", "none")

    def test_it_answers_without_any_agent(self) -> None:
        nobody = Situation(seen(), 2, 0.0, frozenset())
        assert self.make().recommend(nobody).target(2) >= 2

    def test_never_fewer_while_an_agent_does_not_tell(self) -> None:
        policy = self.make()
        for situation in _situations(mute=True):
            assert policy.recommend(situation).target(situation.desired) >= situation.desired

    def test_more_load_never_asks_for_fewer(self) -> None:
        policy = self.make()
        for situation in _situations():
            before = policy.recommend(situation).target(situation.desired)
            assert policy.recommend(_busier(situation)).target(situation.desired) >= before

    def test_what_it_wishes_stays_within_the_limits(self) -> None:
        policy = self.make()
        for situation in _situations():
            before = state(min(max(situation.desired, 1), 5))
            made = decide(policy, situation.observation, before, situation.now, limits(1, 5))
            assert 1 <= made.desired <= 5
