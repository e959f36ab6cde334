# SPDX-License-Identifier: GPL-3.0-or-later
"""The Server Manager in the background, with a process that exists in a few variables."""

from __future__ import annotations

import signal
import stat
from typing import Any

import pytest

from clusterops import program
from clusterops.clients import AnswerError
from clusterops.errors import ClusterOpsError, NotRunningError
from clusterops.lifecycle import manager_process
from clusterops.state import CLUSTER_FILE_ENV, State

PID = 4242


class World:
    """One process, a clock, and whether a Server Manager answers."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.now = 0.0
        self.answers_at: float | None = None
        self.ends_with: str | None = None
        self.obeys: set[int] = {signal.SIGTERM, signal.SIGKILL}
        self.alive = False
        self.signals: list[int] = []
        self.program = program.digest()
        self.started: list[tuple[list[str], dict[str, Any]]] = []

    def answers(self, _: State) -> bool:
        return self.answers_at is not None and self.now >= self.answers_at

    def program_of(self, _: State) -> str:
        return self.program

    def popen(self, command: list[str], **options: Any) -> World:
        self.started.append((command, options))
        if self.ends_with is not None:
            options["stderr"].write(self.ends_with.encode())
        return self

    def poll(self) -> int | None:
        return None if self.ends_with is None else 1

    def terminate(self) -> None:
        self.signals.append(signal.SIGTERM)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, other: str = "") -> None:
        """Have the process of the pid file run, or another program under its number."""
        self.alive = True
        self.state.pid_file.write_text(f"{PID}\n")
        self.command = other or (
            f"python -m clusterops.server_manager --cluster-file {self.state.cluster_file}"
        )

    def command_line(self, pid: int) -> str:
        return self.command if self.alive and pid == PID else ""

    def kill(self, pid: int, how: int) -> None:
        assert pid == PID
        self.signals.append(how)
        if how in self.obeys:
            self.alive = False


@pytest.fixture
def world(state: State, monkeypatch: pytest.MonkeyPatch) -> World:
    fake = World(state)
    monkeypatch.setattr(manager_process, "answers", fake.answers)
    monkeypatch.setattr(manager_process, "program_of", fake.program_of)
    monkeypatch.setattr(manager_process, "_command_line", fake.command_line)
    monkeypatch.setattr(manager_process.subprocess, "Popen", fake.popen)
    monkeypatch.setattr(manager_process.os, "kill", fake.kill)
    monkeypatch.setattr(manager_process.time, "monotonic", lambda: fake.now)
    monkeypatch.setattr(manager_process.time, "sleep", fake.sleep)
    return fake


def test_one_that_answers_is_left_alone(world: World, state: State) -> None:
    world.answers_at = 0
    assert manager_process.ensure_running(state) is False
    assert world.started == []


def test_one_of_an_earlier_program_makes_room(world: World, state: State) -> None:
    world.answers_at = 0
    world.program = "another"
    world.run()
    assert manager_process.ensure_running(state) is True
    assert world.signals == [signal.SIGTERM]
    assert len(world.started) == 1


def test_it_is_started_for_this_cluster_and_outlives_the_command(
    world: World, state: State
) -> None:
    world.answers_at = 1.0
    assert manager_process.ensure_running(state) is True
    [(command, options)] = world.started
    assert command[-3:] == ["clusterops.server_manager", "--cluster-file", str(state.cluster_file)]
    assert options["start_new_session"] is True
    assert options["env"][CLUSTER_FILE_ENV] == str(state.cluster_file)
    assert not any(state.token() in word for word in command)
    log = state.root / "server-manager.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_one_that_ends_at_once_says_why(world: World, state: State) -> None:
    (state.root / "server-manager.log").write_text("Error: an older failure\n")
    world.ends_with = "INFO starting\nError: port 3000 is in use\nINFO bye\n"
    with pytest.raises(ClusterOpsError) as caught:
        manager_process.ensure_running(state)
    assert caught.value.message == "port 3000 is in use"
    assert "server-manager.log" in (caught.value.remedy or "")


def test_one_that_ends_in_silence(world: World, state: State) -> None:
    world.ends_with = ""
    with pytest.raises(ClusterOpsError, match="the Server Manager ended at once"):
        manager_process.ensure_running(state)


def test_one_that_never_answers_is_ended(world: World, state: State) -> None:
    with pytest.raises(ClusterOpsError, match="did not answer within 30 s"):
        manager_process.ensure_running(state)
    assert 30 <= world.now < 31
    assert world.signals == [signal.SIGTERM]


def test_stopping(world: World, state: State) -> None:
    assert manager_process.stop(state) is False
    world.run()
    assert manager_process.stop(state) is True
    assert world.signals == [signal.SIGTERM]


def test_stopping_one_that_does_not_listen(world: World, state: State) -> None:
    world.obeys = {signal.SIGKILL}
    world.run()
    assert manager_process.stop(state) is True
    assert world.signals == [signal.SIGTERM, signal.SIGKILL]


def test_one_that_cannot_be_ended_is_reported(world: World, state: State) -> None:
    world.obeys = set()
    world.run()
    with pytest.raises(ClusterOpsError, match="process 4242"):
        manager_process.stop(state)


def test_one_that_ends_before_the_signal_arrives(
    world: World, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: int) -> None:
        world.alive = False
        raise ProcessLookupError

    world.run()
    monkeypatch.setattr(manager_process.os, "kill", gone)
    assert manager_process.stop(state) is True


@pytest.mark.parametrize(
    "command",
    [
        "vim notes.txt",
        "python -m clusterops.server_manager --cluster-file /another/cluster.yml",
    ],
)
def test_another_program_with_the_same_number_is_never_touched(
    world: World, state: State, command: str
) -> None:
    world.run(other=command)
    assert manager_process.stop(state) is False
    assert world.signals == []


def test_a_pid_file_without_a_number(world: World, state: State) -> None:
    state.pid_file.write_text("")
    assert manager_process.running_pid(state) is None


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [({}, True), (NotRunningError("no"), False), (AnswerError("not your token", 401), False)],
)
def test_what_counts_as_an_answer(
    state: State, monkeypatch: pytest.MonkeyPatch, outcome: Any, expected: bool
) -> None:
    class Client:
        @classmethod
        def of(cls, _: State) -> Client:
            return cls()

        def cluster(self) -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    monkeypatch.setattr(manager_process, "ServerManagerClient", Client)
    assert manager_process.answers(state) is expected


def test_where_it_is(state: State) -> None:
    state.write_endpoint("http://127.0.0.1:3000")
    assert manager_process.endpoint_url(state) == "http://127.0.0.1:3000"
