# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clusterops import tokens
from clusterops.config import ClusterConfig
from clusterops.errors import ClusterOpsError
from clusterops.lifecycle import rotation
from clusterops.state import State


class FakeStages:
    @contextmanager
    def stage(self, title: str) -> Iterator[Any]:
        yield SimpleNamespace(result="", step=lambda text: None)


class World:
    """What the change meets: machines, and a control node that takes tokens or does not."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.servers = [{"name": "control-1", "state": "running"}]
        self.runs = 0
        self.broken = False

    def run_playbook(self, playbook: str, *_: Any) -> None:
        self.runs += 1
        assert tokens.is_pending(self.state), "old and new are right while it runs"
        assert (Path(__file__).parents[3] / playbook).is_file()
        if self.broken:
            raise ClusterOpsError("control-1: unreachable")
        tokens.promote(self.state)

    def rotate(self) -> bool:
        stages: Any = FakeStages()
        return rotation.rotate(ClusterConfig(), self.state, stages)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    state = State.beside(tmp_path / "cluster.yml")
    tokens.ensure(state)
    made = World(state)
    client = SimpleNamespace(of=lambda _: SimpleNamespace(servers=lambda: made.servers))
    monkeypatch.setattr(rotation, "ServerManagerClient", client)
    monkeypatch.setattr(rotation.provisioning, "run_playbook", made.run_playbook)
    return made


def test_every_token_is_replaced(world: World) -> None:
    before = {role: tokens.path(world.state, role).read_text() for role in tokens.FILES}
    assert world.rotate() is False
    for role, token in before.items():
        assert tokens.path(world.state, role).read_text() != token
    assert world.runs == 1 and not tokens.is_pending(world.state)


def test_where_the_control_node_takes_none_the_old_ones_stay_right(world: World) -> None:
    world.broken = True
    old = world.state.token()
    with pytest.raises(ClusterOpsError, match="unreachable"):
        world.rotate()
    assert world.state.token() == old and tokens.is_pending(world.state)
    world.broken = False
    assert world.rotate() is True, "it goes on with the same change"
    assert world.state.token() != old and not tokens.is_pending(world.state)


def test_a_control_node_that_is_off_is_said_first(world: World) -> None:
    world.servers[0]["state"] = "stopped"
    with pytest.raises(ClusterOpsError, match="control-1 is stopped"):
        world.rotate()
    assert not tokens.is_pending(world.state)


def test_before_there_are_machines_only_the_host_changes(world: World) -> None:
    world.servers.clear()
    assert world.rotate() is False
    assert world.runs == 0 and not tokens.is_pending(world.state)
