# SPDX-License-Identifier: GPL-3.0-or-later
"""Only an engine that `up` started is ended by `down`, and only when nobody else uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterops.errors import ClusterOpsError
from clusterops.lifecycle import own_engine
from clusterops.state import State

SYSTEMD = Path("/run/systemd/system")


class Host:
    """A machine with at most one engine, whose process may be replaced by another."""

    def __init__(self) -> None:
        self.process: dict[str, int] | None = None
        self.containers_in_it: list[str] = []
        self.systemd = False
        self.killed: list[int] = []
        self.now = 0.0
        self.stubborn = False

    def start(self) -> None:
        self.process = {"pid": 77, "started": 1000}

    def connect(self) -> Any:
        if self.process is None:
            raise ClusterOpsError("no container engine answers")
        return self

    @property
    def containers(self) -> Host:
        return self

    def list(self, **_: bool) -> list[str]:
        return self.containers_in_it

    def identity(self, pid: int) -> dict[str, int] | None:
        return self.process if self.process and self.process["pid"] == pid else None

    def kill(self, pid: int, _: int) -> None:
        self.killed.append(pid)
        if not self.stubborn:
            self.process = None

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    fake = Host()
    monkeypatch.setattr(own_engine, "connect", fake.connect)
    monkeypatch.setattr(own_engine, "_identity", fake.identity)
    monkeypatch.setattr(own_engine, "_engine_pid", lambda: fake.process["pid"])  # type: ignore[index]
    monkeypatch.setattr(own_engine.os, "kill", fake.kill)
    monkeypatch.setattr(own_engine.time, "sleep", fake.sleep)
    monkeypatch.setattr(own_engine.time, "monotonic", lambda: fake.now)
    is_dir = Path.is_dir
    monkeypatch.setattr(
        Path, "is_dir", lambda path: fake.systemd if path == SYSTEMD else is_dir(path)
    )
    return fake


def test_an_engine_that_was_there_is_never_ended(host: Host, state: State) -> None:
    host.start()
    assert own_engine.ensure(state, host.start) is False
    assert own_engine.stop_if_ours(state) is False
    assert host.killed == []


def test_an_engine_of_ours_is_ended(host: Host, state: State) -> None:
    assert own_engine.ensure(state, host.start) is True
    assert own_engine.stop_if_ours(state) is True
    assert host.process is None


def test_systemd_keeps_its_own_engine(host: Host, state: State) -> None:
    host.systemd = True
    assert own_engine.ensure(state, host.start) is True
    assert own_engine.stop_if_ours(state) is False


def test_somebody_elses_container_keeps_it_running(host: Host, state: State) -> None:
    own_engine.ensure(state, host.start)
    host.containers_in_it = ["theirs"]
    assert own_engine.stop_if_ours(state) is False
    assert host.killed == []


def test_another_process_with_the_same_number_is_never_ended(host: Host, state: State) -> None:
    own_engine.ensure(state, host.start)
    host.process = {"pid": 77, "started": 2000}
    assert own_engine.stop_if_ours(state) is False
    assert host.killed == []


def test_an_engine_that_has_gone_already(host: Host, state: State) -> None:
    own_engine.ensure(state, host.start)
    host.process = None
    assert own_engine.stop_if_ours(state) is False


def test_an_engine_that_does_not_end_is_not_called_ended(host: Host, state: State) -> None:
    own_engine.ensure(state, host.start)
    host.stubborn = True
    assert own_engine.stop_if_ours(state) is False
    assert host.now <= 31


@pytest.mark.parametrize("record", ["", "[]", "{}", "null", json.dumps({"pid": "x"})])
def test_a_damaged_record_is_no_permission(host: Host, state: State, record: str) -> None:
    host.start()
    (state.root / "engine.json").write_text(record)
    assert own_engine.stop_if_ours(state) is False
    assert host.killed == []
