# SPDX-License-Identifier: GPL-3.0-or-later
"""`down` removes everything that the cluster made, in an order that leaves nothing behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound

from clusterops import engine
from clusterops.config import ClusterConfig
from clusterops.engine_names import image_tag
from clusterops.errors import ClusterOpsError
from clusterops.images import bake
from clusterops.lifecycle import take_down as module
from clusterops.server_manager import job_processes
from clusterops.server_manager.driver import ProviderUnavailable
from clusterops.server_manager.jobs import Record
from clusterops.state import State

CONFIG = ClusterConfig(cluster_name="mine")


class World:
    """A provider, an engine's images, and a Server Manager that runs."""

    def __init__(self) -> None:
        self.provider = "docker"
        self.available = True
        self.order: list[str] = []
        self.tags = {image_tag("mine", "base"), image_tag("mine", "node"), "somebody:else"}
        self.in_use: set[str] = set()
        self.builder = False
        self.unnamed: list[dict[str, str]] = []

    def stop(self, _: State) -> bool:
        self.order.append("manager")
        return True

    def open_driver(self, *_: Any) -> World:
        if not self.available:
            raise ProviderUnavailable("the container engine does not answer")
        return self

    def teardown(self) -> list[str]:
        self.order.append("machines")
        return ["container mine-agent-1", "network mine-net"]

    @property
    def images(self) -> World:
        return self

    def remove(self, tag: str) -> None:
        if tag not in self.tags:
            raise ImageNotFound("no such image")
        if tag in self.in_use:
            raise APIError("409", explanation="it is used by container x")
        self.order.append("image")
        self.tags.remove(tag)

    def prune(self, filters: dict[str, Any]) -> dict[str, Any]:
        assert filters == {"dangling": True, "label": "clusterops.cluster=mine"}
        deleted, self.unnamed = self.unnamed, []
        return {"ImagesDeleted": deleted or None}

    def remove_builder(self, _client: Any, cluster_name: str) -> bool:
        assert cluster_name == "mine"
        there, self.builder = self.builder, False
        return there

    def stop_engine(self, _: State) -> bool:
        self.order.append("engine")
        return False


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    fake = World()
    monkeypatch.setattr(module.manager_process, "stop", fake.stop)
    monkeypatch.setattr(module, "open_driver", fake.open_driver)
    monkeypatch.setattr(module.own_engine, "stop_if_ours", fake.stop_engine)
    monkeypatch.setattr(engine, "connect", lambda *_: fake)
    monkeypatch.setattr(bake, "remove_builder", fake.remove_builder)
    return fake


@pytest.fixture
def down(world: World, state: State) -> Callable[..., list[str]]:
    def call(keep_images: bool = False) -> list[str]:
        return list(module.take_down(CONFIG, state, keep_images=keep_images))

    return call


def test_everything_goes_and_is_named(world: World, state: State, down: Any) -> None:
    assert down() == [
        "Server Manager stopped",
        "container mine-agent-1",
        "network mine-net",
        f"image {image_tag('mine', 'node')} removed",
        f"image {image_tag('mine', 'base')} removed",
        f"{state.root} removed (token, keys, passwords, logs)",
    ]
    assert not state.root.exists()
    assert world.tags == {"somebody:else"}


def test_what_interrupted_and_repeated_image_builds_left_goes_too(world: World, down: Any) -> None:
    world.builder = True
    world.unnamed = [{"Deleted": "sha256:0123456789abcdef"}, {"Untagged": "x"}]
    lines = down()
    assert "container of an interrupted image build" in lines
    assert "image 0123456789ab removed" in lines
    assert not world.builder
    assert not world.unnamed


def test_nothing_can_make_machines_while_they_are_removed(world: World, down: Any) -> None:
    down()
    assert world.order == ["manager", "machines", "image", "image", "engine"]


def test_jobs_of_a_killed_server_manager_are_ended_before_the_machines_go(
    world: World, state: State, down: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[tuple[str, str]] = []

    def end(variable: str, value: str) -> int:
        assert world.order == ["manager"]
        ended.append((variable, value))
        return 1

    monkeypatch.setattr(job_processes, "end_marked", end)
    job_processes.folder(state).mkdir(parents=True)
    record = Record("deploy", "running", "2026-01-31T14:05:30.000Z", group=1)
    (job_processes.folder(state) / "deploy.json").write_text(record.text())
    assert "deploy ended" in down()
    assert ended == [("CLUSTEROPS_JOB", f"{state.root.resolve()}:deploy")]


def test_images_may_stay(world: World, down: Any) -> None:
    before = set(world.tags)
    down(keep_images=True)
    assert world.tags == before


def test_virtual_machines_leave_the_base_image_of_the_application(world: World, down: Any) -> None:
    world.provider = "virtualbox"
    down()
    assert "image" in world.order


def test_without_provider_nothing_is_forgotten(world: World, state: State, down: Any) -> None:
    world.available = False
    with pytest.raises(ProviderUnavailable):
        down()
    assert state.root.exists()


def test_a_cluster_that_never_was(world: World, state: State, down: Any) -> None:
    shutil.rmtree(state.root)
    world.available = False
    assert down() == ["Server Manager stopped"]


def test_an_image_in_use_is_told_and_the_state_stays_for_the_next_try(
    world: World, state: State, down: Any
) -> None:
    world.in_use = {image_tag("mine", "base")}
    with pytest.raises(ClusterOpsError, match="cannot be removed: it is used by container x"):
        down()
    assert state.root.exists()
    world.in_use = set()
    down()
    assert not state.root.exists()
