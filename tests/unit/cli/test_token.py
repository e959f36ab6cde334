# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterops import clients, tokens
from clusterops.cli import audit, main
from clusterops.errors import NotRunningError
from clusterops.http_api.audit import Audit, AuditFile
from clusterops.state import CLUSTER_FILE_ENV, State


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    file = tmp_path / "cluster.yml"
    file.write_text("cluster_name: unit\n")
    monkeypatch.setenv(CLUSTER_FILE_ENV, str(file))
    return State.beside(file)


def test_show_says_where_the_tokens_are_and_not_what(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", "show"]) == 3
    tokens.ensure(state)
    assert main(["token", "show"]) == 0
    said = capsys.readouterr().out
    for role in tokens.FILES:
        assert str(tokens.path(state, role)) in said
        assert tokens.path(state, role).read_text().strip() not in said


def test_reveal_prints_one(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    tokens.ensure(state)
    assert main(["token", "show", "--reveal", "read"]) == 0
    assert capsys.readouterr().out == tokens.path(state, "read").read_text()
    assert main(["token", "show", "--reveal", "x"]) == 2
    assert "allowed: admin, read, scaler" in capsys.readouterr().err


def test_rotate_needs_a_cluster_that_runs(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    tokens.ensure(state)
    before = state.token()
    assert main(["token", "rotate"]) == 3
    assert state.token() == before and not tokens.is_pending(state)


class FakeScaler:
    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries = list(entries)

    def audit(self, *, limit: int) -> list[dict[str, Any]]:
        return self.entries[:limit]


def fill(state: State) -> None:
    state.create()
    log = Audit("server-manager", AuditFile(state.audit_file))
    for who, status in (("admin", 200), ("none", 401)):
        log.request(
            who=who, peer="127.0.0.1", method="POST", path="/api/v1/servers/power",
            what={"action": "turn on", "server": "agent-1"} if who == "admin" else {},
            status=status, seconds=0.1,
        )  # fmt: skip


def test_audit_shows_both_services_newest_first(
    state: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(state)
    scaler = FakeScaler(
        {"at": "2001-01-01T00:00:00.000Z", "service": "scaler", "who": "admin", "peer": "::1",
         "method": "POST", "path": "/api/v1/desired", "action": "2 agents", "status": 200,
         "seconds": 0.0, "left_out": 7},
    )  # fmt: skip
    monkeypatch.setattr(audit, "_scaler", lambda: scaler)
    assert main(["audit"]) == 0
    newest, older, oldest = capsys.readouterr().out.splitlines()
    assert "none@127.0.0.1  401" in newest
    assert "turn on agent-1 (POST /api/v1/servers/power)" in older
    assert "scaler  admin@::1  200  2 agents" in oldest and "7 more before it" in oldest
    assert main(["audit", "--refused", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["audit"]
    assert [entry["status"] for entry in found] == [401]


def test_audit_without_the_scaler_shows_the_rest(
    state: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(state)

    def gone() -> FakeScaler:
        raise NotRunningError("The scaler does not answer.", remedy=clients.START)

    monkeypatch.setattr(audit, "_scaler", gone)
    assert main(["audit", "--limit", "1"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    assert "Without the scaler's entries" in said.err
