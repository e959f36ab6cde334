# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding or starting a container engine, with a fake of the SDK and of the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from docker.errors import DockerException

from clusterops import engine
from clusterops.errors import ClusterOpsError


class Machine:
    """A computer on which an engine answers or not."""

    def __init__(self) -> None:
        self.answers = False
        self.starts = True
        self.system = "Linux"
        self.user = 0
        self.programs = {"dockerd", "apt-get"}
        self.installed: list[str] = []
        self.refusal: Exception = DockerException("refused")
        self.now = 0.0
        self.said: list[str] = []

    def from_env(self, **_: Any) -> Any:
        if not self.answers:
            raise self.refusal
        return self

    def ping(self) -> bool:
        return True

    def start(self) -> None:
        self.answers = self.starts

    def install(self, *packages: str) -> bool:
        self.installed += packages
        self.programs.add("dockerd")
        return True

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    fake = Machine()
    patches: list[tuple[Any, str, Callable[..., Any]]] = [
        (docker, "from_env", fake.from_env),
        (engine.platform, "system", lambda: fake.system),
        (engine.os, "geteuid", lambda: fake.user),
        (engine.shutil, "which", lambda name: name if name in fake.programs else None),
        (engine, "may_install_packages", lambda: fake.user == 0 and "apt-get" in fake.programs),
        (engine, "install_packages", fake.install),
        (engine, "_start", fake.start),
        (engine.time, "monotonic", lambda: fake.now),
        (engine.time, "sleep", fake.sleep),
    ]
    for target, name, value in patches:
        monkeypatch.setattr(target, name, value)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return fake


def ensure(machine: Machine) -> Any:
    return engine.ensure_engine(machine.said.append)


def test_an_engine_that_answers_is_used_as_it_is(machine: Machine) -> None:
    machine.answers = True
    assert ensure(machine) is machine
    assert machine.said == []


def test_an_installed_engine_is_started(machine: Machine) -> None:
    assert ensure(machine) is machine
    assert machine.said == ["Starting the container engine"]
    assert machine.installed == []


def test_a_missing_engine_is_installed_by_root(machine: Machine) -> None:
    machine.programs.remove("dockerd")
    ensure(machine)
    assert "docker.io" in machine.installed


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"user": 1000}, "usermod -aG docker"),
        ({"user": 1000, "programs": {"apt-get"}}, "apt install docker.io"),
        ({"programs": set()}, "install Docker Engine"),
        ({"system": "Darwin"}, "Docker Desktop"),
    ],
)
def test_who_may_not_start_one_is_told_what_to_do(
    machine: Machine, change: dict[str, Any], remedy: str
) -> None:
    vars(machine).update(change)
    with pytest.raises(ClusterOpsError, match="no container engine answers") as caught:
        ensure(machine)
    assert remedy in (caught.value.remedy or "")
    assert machine.said == []


def test_an_engine_elsewhere_is_not_replaced_by_one_here(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    with pytest.raises(ClusterOpsError, match="DOCKER_HOST is set"):
        ensure(machine)
    assert machine.said == []


def test_a_connection_that_breaks_is_no_answer(machine: Machine) -> None:
    machine.refusal = requests.exceptions.ReadTimeout("slow")
    with pytest.raises(ClusterOpsError, match="no container engine answers"):
        engine.connect()


def test_an_engine_that_never_answers_costs_a_limited_time(machine: Machine) -> None:
    machine.starts = False
    with pytest.raises(ClusterOpsError, match="did not answer within 60 s"):
        ensure(machine)
    assert 60 <= machine.now < 62


def test_without_systemd_the_engine_outlives_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], dict[str, Any]]] = []
    monkeypatch.setattr(engine, "LOG", tmp_path / "dockerd.log")
    monkeypatch.setattr(engine.Path, "is_dir", lambda _: False)
    monkeypatch.setattr(engine.subprocess, "Popen", lambda c, **o: started.append((c, o)))
    engine._start()
    assert started[0][0] == ["dockerd"]
    assert started[0][1]["start_new_session"] is True


def test_with_systemd_the_service_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(engine.Path, "is_dir", lambda _: True)
    monkeypatch.setattr(engine, "run", lambda command, **_: commands.append(command))
    engine._start()
    assert commands == [["systemctl", "start", "docker"]]
