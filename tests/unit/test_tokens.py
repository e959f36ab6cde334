# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of a cluster, and a change of them that may be cut off at any point."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clusterops import tokens
from clusterops.errors import ClusterOpsError
from clusterops.http_api.access import ADMIN, READ, SCALER, AccessUnknown, digest
from clusterops.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State.beside(tmp_path / "cluster.yml")
    tokens.ensure(made)
    return made


def current(state: State) -> dict[str, str]:
    return {role: tokens.path(state, role).read_text().strip() for role in tokens.FILES}


def right(state: State) -> set[str]:
    """Every token that the Server Manager takes, as hashes."""
    return {each for hashes in tokens.HostTokens(state)().values() for each in hashes}


def given_to_control(state: State) -> set[str]:
    known = json.loads(tokens.access_file(state).read_text())
    assert known.keys() == {ADMIN, READ}
    return {each for hashes in known.values() for each in hashes}


def test_each_purpose_has_a_private_token_of_its_own(state: State) -> None:
    found = current(state)
    assert len(set(found.values())) == 3
    assert all(len(bytes.fromhex(token)) == 32 for token in found.values())
    for file in (*(tokens.path(state, role) for role in found), tokens.access_file(state)):
        assert file.stat().st_mode & 0o777 == 0o600
    assert found[ADMIN] == state.token()


def test_making_them_again_changes_nothing(state: State) -> None:
    before = {file: file.stat().st_mtime_ns for file in state.root.iterdir() if file.is_file()}
    tokens.ensure(state)
    after = {file: file.stat().st_mtime_ns for file in state.root.iterdir() if file.is_file()}
    assert after == before


def test_one_that_is_lost_is_made_again(state: State) -> None:
    before = current(state)
    tokens.path(state, READ).unlink()
    tokens.ensure(state)
    after = current(state)
    assert after[READ] != before[READ] and after[ADMIN] == before[ADMIN]
    assert digest(after[READ]) in right(state) & given_to_control(state)
    assert digest(before[READ]) not in right(state)


def test_the_control_node_is_given_hashes_alone(state: State) -> None:
    text = tokens.access_file(state).read_text()
    assert not any(token in text for token in current(state).values())
    assert given_to_control(state) == {digest(current(state)[role]) for role in (ADMIN, READ)}


def test_during_a_change_old_and_new_are_right_and_afterwards_the_new_alone(state: State) -> None:
    old = current(state)
    tokens.begin(state)
    scalers = current(state)[SCALER]
    assert scalers != old[SCALER], "the scaler's is replaced first"
    assert current(state)[ADMIN] == old[ADMIN], "people's, once the control node takes them"
    assert {digest(token) for token in old.values()} <= right(state)
    assert len(given_to_control(state)) == 4
    tokens.promote(state)
    new = current(state)
    assert not set(new.values()) & set(old.values())
    assert {digest(token) for token in (*old.values(), *new.values())} == right(state)
    assert given_to_control(state) == {digest(new[role]) for role in (ADMIN, READ)}
    tokens.finish(state)
    assert {digest(token) for token in new.values()} == right(state)
    assert not tokens.is_pending(state)


STEPS: list[Callable[[State], None]] = [tokens.begin, tokens.promote, tokens.finish]


@pytest.mark.parametrize("done", [1, 2])
def test_a_change_that_was_cut_off_is_finished_by_the_next(state: State, done: int) -> None:
    old = current(state)
    for step in STEPS[:done]:
        step(state)
    planned = json.loads(tokens.pending_file(state).read_text())["new"]
    for step in STEPS:
        step(state)
    assert current(state) == planned
    assert right(state) == {digest(token) for token in planned.values()}
    assert not {digest(token) for token in old.values()} & given_to_control(state)


def test_cut_off_between_two_files_nobody_is_locked_out(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens.begin(state)
    put = tokens._put

    def killed(state: State, role: str, token: str) -> None:
        if role == READ:
            raise KeyboardInterrupt
        put(state, role, token)

    monkeypatch.setattr(tokens, "_put", killed)
    with pytest.raises(KeyboardInterrupt):
        tokens.promote(state)
    monkeypatch.undo()
    assert {digest(token) for token in current(state).values()} <= right(state)
    assert {digest(current(state)[role]) for role in (ADMIN, READ)} <= given_to_control(state)


def test_a_damaged_change_says_so(state: State) -> None:
    tokens.pending_file(state).write_text("{}")
    with pytest.raises(ClusterOpsError, match=r"tokens\.next"):
        tokens.promote(state)
    with pytest.raises(AccessUnknown):
        tokens.HostTokens(state)()


def test_changed_files_are_seen_by_a_server_manager_that_runs(state: State) -> None:
    known = tokens.HostTokens(state)
    before = known()
    assert known() is before, "they are not read for each request"
    tokens.begin(state)
    assert known() != before


def test_the_command_for_the_playbook_promotes(state: State) -> None:
    old = current(state)
    assert tokens.main(["--state-dir", str(state.root)]) == 1, "there is no change under way"
    tokens.begin(state)
    assert tokens.main(["--state-dir", str(state.root)]) == 0
    assert current(state)[ADMIN] != old[ADMIN]
