# SPDX-License-Identifier: GPL-3.0-or-later
"""`up` finds out what is missing, makes that, and says what it did."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from clusterops import clients, engine
from clusterops.config import ClusterConfig
from clusterops.errors import UsageError
from clusterops.images import build
from clusterops.lifecycle import bring_up
from clusterops.lifecycle.provisioning import Step
from clusterops.state import State

CONFIG = ClusterConfig(cluster_name="mine", cluster_provider="docker")


class World:
    """What is there already; making it is written down."""

    def __init__(self) -> None:
        self.there: set[str] = {"engine", "images", "manager", "agent image", "template"}
        self.order: list[str] = []
        self.provider = "docker"
        self.running: str | None = None

    def have(self, what: str) -> bool:
        """Make ``what`` unless it is there; True when it was made."""
        self.order.append(what)
        made = what not in self.there
        self.there.add(what)
        return made

    def open_driver(self, *_: Any) -> Any:
        return SimpleNamespace(provider=self.provider, network=lambda: "10.9.0.0/24")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    fake = World()
    manager = bring_up.manager_process
    monkeypatch.setattr(engine, "connect", lambda *_, **__: SimpleNamespace(version=dict))
    monkeypatch.setattr(bring_up.own_engine, "ensure", lambda *_: fake.have("engine"))
    monkeypatch.setattr(build, "ensure_node_images", lambda *_: fake.have("images"))
    monkeypatch.setattr(bring_up, "ensure_identity", lambda _: fake.have("identity"))
    monkeypatch.setattr(bring_up, "open_driver", fake.open_driver)
    monkeypatch.setattr(manager, "ensure_running", lambda _: fake.have("manager"))
    monkeypatch.setattr(manager, "endpoint_url", lambda _: "http://127.0.0.1:3000")
    monkeypatch.setattr(bring_up, "_agent_image", lambda *_: fake.have("agent image"))
    monkeypatch.setattr(bring_up, "_template", lambda *_: fake.have("template"))
    monkeypatch.setattr(bring_up, "running_name", lambda _: fake.running)
    return fake


def test_a_second_run_changes_nothing(world: World, state: State, stages: Any) -> None:
    assert bring_up.prepare(CONFIG, state, stages) is False
    assert stages.seen["Server Manager"].result == "running at http://127.0.0.1:3000"
    assert stages.seen["Machine images"].result == "up to date"


@pytest.mark.parametrize("missing", ["engine", "images", "manager", "agent image"])
def test_whatever_is_missing_is_made_and_counts_as_a_change(
    world: World, state: State, stages: Any, missing: str
) -> None:
    world.there.remove(missing)
    assert bring_up.prepare(CONFIG, state, stages) is True
    assert bring_up.prepare(CONFIG, state, stages) is False


def test_keys_are_there_before_the_server_manager_makes_machines(
    world: World, state: State, stages: Any
) -> None:
    bring_up.prepare(CONFIG, state, stages)
    assert world.order.index("identity") < world.order.index("manager")


@pytest.mark.parametrize("there", [True, False])
def test_virtualbox_needs_a_template_and_no_container_engine(
    world: World, state: State, stages: Any, there: bool
) -> None:
    world.provider = "virtualbox"
    if not there:
        world.there.remove("template")
    config = ClusterConfig(cluster_provider="virtualbox")
    world.there.add("identity")
    assert bring_up.prepare(config, state, stages) is not there
    assert world.order == ["identity", "manager", "template"]
    assert state.provider() == "virtualbox"


def test_a_running_cluster_keeps_its_name(world: World, state: State, stages: Any) -> None:
    world.running = "old"
    with pytest.raises(UsageError, match=r"found 'mine', but the cluster that runs is 'old'"):
        bring_up.prepare(CONFIG, state, stages)
    assert world.order == []
    world.running = "mine"
    bring_up.prepare(CONFIG, state, stages)


@pytest.mark.parametrize(
    ("answers", "cluster", "name"),
    [(False, {}, None), (True, {"name": "mine"}, "mine"), (True, {}, None)],
)
def test_the_name_of_what_runs(
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    answers: bool,
    cluster: dict[str, str],
    name: str | None,
) -> None:
    client = SimpleNamespace(of=lambda _: SimpleNamespace(cluster=lambda: cluster))
    monkeypatch.setattr(bring_up.manager_process, "answers", lambda _: answers)
    monkeypatch.setattr(clients, "ServerManagerClient", client)
    assert bring_up.running_name(state) == name


@pytest.mark.parametrize(("changed", "result"), [(0, "nothing changed"), (3, "3 changes")])
def test_provisioning_shows_every_task_and_counts_changes(
    state: State, stages: Any, monkeypatch: pytest.MonkeyPatch, changed: int, result: str
) -> None:
    def run(playbook: str, _: State, __: ClusterConfig, began: Any, ___: Any) -> Any:
        assert playbook == "site.yml"
        base = "clusterops.playground.base"
        for node, first in (("agent-1", True), ("agent-2", False)):
            began(Step("Agents", base, "Install packages", node, first))
        began(Step("Agents", base, "Validating arguments against arg spec 'main'", "agent-1", True))
        began(Step("Agents", "", "Gather facts", "agent-1", True))
        return SimpleNamespace(changed=changed)

    monkeypatch.setattr(bring_up.provisioning, "run_playbook", run)
    assert bring_up.provision(CONFIG, state, stages) == changed
    stage = stages.seen["ansible-playbook site.yml"]
    assert stage.steps == [
        "Agents · base · Install packages · agent-1",
        "Agents · Gather facts · agent-1",
    ]
    assert stage.others == ["Agents · base · Install packages · agent-2"]
    assert stage.result == result
