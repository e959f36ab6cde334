# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that exists in a few dictionaries, and its two services as fakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterops import clients
from clusterops.clients import AnswerError
from clusterops.errors import NotRunningError
from clusterops.state import CLUSTER_FILE_ENV, State

Json = dict[str, Any]


def server(name: str, state: str = "running", *, number: int = 0) -> Json:
    return {
        "name": name,
        "role": "control" if name == "control-1" else "agent",
        "state": state,
        "provider": "docker",
        "address": f"10.9.8.{100 + number}",
        "ports": {"ssh": 2223 + number} if state == "running" else {},
        "cpus": 0.5,
        "memory_mb": 768,
        "created_at": "2030-01-01T00:00:00Z",
    }


def agent(name: str, *, in_service: bool = True) -> Json:
    return {
        "name": name,
        "state": "running",
        "in_service": in_service,
        "healthy": True,
        "cpu_percent": 42.5,
        "memory_percent": 30.0,
        "in_flight": 3,
    }


class FakeServerManager:
    def __init__(self) -> None:
        self.list = [
            server("control-1"),
            server("agent-1", number=1),
            server("agent-2", "stopped", number=2),
        ]
        self.description: Json = {
            "name": "playground",
            "provider": "docker",
            "ssh_user": "root",
            "config": {
                "cluster_bind_address": "127.0.0.1",
                "agents_min": 1,
                "agents_max": 4,
                "scaling_hold_s": 300.0,
                "port_load_balancer": 8080,
                "port_dashboard": 9000,
                "port_prometheus": 9090,
            },
        }

    def cluster(self) -> Json:
        return self.description

    def servers(self) -> list[Json]:
        return self.list


class FakeScaler:
    def __init__(self) -> None:
        self.answers: list[Json] = []
        self.document: Json | None = {
            "mode": "auto",
            "desired": 1,
            "min": 1,
            "max": 4,
            "last_decision": {
                "at": "2030-01-01T00:00:00.000Z",
                "action": "none",
                "reason": "CPU 42 % is between 30 and 70 %",
                "blocked_by": None,
            },
            "action": None,
            "agents": [agent("agent-1")],
            "load_balancer": {
                "agents": [
                    {
                        "name": "agent-1",
                        "address": "10.9.8.101:5000",
                        "state": "in_service",
                        "in_flight": 3,
                    }
                ]
            },
            "application": {"name": "fibonacci", "release": "r1", "healthy": True, "more": 1},
            "alarms": [],
        }
        self.asked: list[int] = []
        self.refuse: AnswerError | None = None

    def status(self) -> Json:
        if self.answers:
            self.document = self.answers.pop(0)
        if self.document is None:
            raise NotRunningError("The scaler does not answer at http://127.0.0.1:9000: refused")
        return self.document

    def set_desired(self, count: int) -> Json:
        if self.refuse:
            raise self.refuse
        self.asked.append(count)
        return {"desired": count}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """The state folder of a cluster beside a temporary cluster.yml."""
    cluster_file = tmp_path / "cluster.yml"
    cluster_file.write_text("cluster_name: playground\n")
    monkeypatch.setenv(CLUSTER_FILE_ENV, str(cluster_file))
    monkeypatch.delenv("PLAYGROUND_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    return State.beside(cluster_file)


@pytest.fixture
def manager(state: State, monkeypatch: pytest.MonkeyPatch) -> FakeServerManager:
    fake = FakeServerManager()
    monkeypatch.setattr(clients, "server_manager", lambda: fake)
    return fake


@pytest.fixture
def scaler(monkeypatch: pytest.MonkeyPatch) -> FakeScaler:
    fake = FakeScaler()
    monkeypatch.setattr(clients, "scaler", lambda *_, **__: fake)
    monkeypatch.setattr(clients, "alerts", lambda _cluster: ())
    return fake
