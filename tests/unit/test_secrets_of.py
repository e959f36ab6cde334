# SPDX-License-Identifier: GPL-3.0-or-later
"""What is secret in a cluster, and whether a text gives it away."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops import tokens
from clusterops.cluster_ca import issue
from clusterops.secrets_of import Secret, found_in, harmless_files, secrets_of
from clusterops.state import State

PASSWORD = "Zq7mRk2pVx9sLw4tBn8c"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAAhead\nMIDDLEmiddle\nTAILtail\n-----END X-----\n"


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State.beside(tmp_path / "cluster.yml")
    state.token()
    issue(state, "control-1", [])
    (state.root / "secrets").mkdir()
    (state.root / "secrets/postgres-fibonacci").write_text(f"{PASSWORD} salt=abc\n")
    state.ssh_key.write_text(KEY)
    state.host_ca.write_text(KEY.replace("middle", "other"))
    state.known_hosts.write_text("@cert-authority * ssh-ed25519 AAAA\n")
    (state.logs / "site.log").write_text("nothing\n")
    return state


def test_every_secret_is_listed(state: State) -> None:
    secrets, unknown = secrets_of(state, {"API_KEY": "0123456789abcdef", "SHORT": "yes"})
    assert {each.name: each.text for each in secrets if not each.name.startswith("tls/")} == {
        "token": state.token(),
        "secrets/postgres-fibonacci": PASSWORD,
        "ssh/id_ed25519": "MIDDLEmiddle",
        "ssh/host_ca": "MIDDLEother",
        "application_env_file: API_KEY": "0123456789abcdef",
    }
    assert {each.name for each in secrets} > {"tls/ca.key", "tls/control-1.key"}
    assert unknown == []


def test_every_token_is_one_also_in_the_middle_of_a_change(state: State) -> None:
    tokens.begin(state)
    secrets, unknown = secrets_of(state)
    assert unknown == []
    assert {each.name for each in secrets} >= {*tokens.FILES.values(), "tokens.next"}
    (planned,) = (each.text for each in secrets if each.name == "tokens.next")
    assert planned != state.token()
    tokens.promote(state)
    assert planned == state.token()


def test_a_key_is_told_from_its_certificate(state: State) -> None:
    secrets, _ = secrets_of(state)
    text = "".join(path.read_text() for path in state.tls_dir.glob("*.crt"))
    assert found_in(text, secrets) == []
    assert found_in((state.tls_dir / "control-1.key").read_text(), secrets) == ["tls/control-1.key"]


@pytest.mark.parametrize("name", ["new", "tls/new.p12", "more/token.txt"])
def test_a_file_that_nobody_has_thought_of_is_told(state: State, name: str) -> None:
    (state.root / name).parent.mkdir(exist_ok=True)
    (state.root / name).write_text("secret?")
    assert secrets_of(state)[1] == [name]
    assert state.root / name in list(harmless_files(state))


@pytest.mark.parametrize("name", ["token-read", "tokens/reader", "secrets/more"])
def test_new_tokens_and_passwords_are_secrets(state: State, name: str) -> None:
    (state.root / name).parent.mkdir(exist_ok=True)
    (state.root / name).write_text(PASSWORD[::-1])
    secrets, unknown = secrets_of(state)
    assert PASSWORD[::-1] in {each.text for each in secrets}
    assert unknown == []
    assert state.root / name not in list(harmless_files(state))


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_base64_does_not_hide_a_secret(before: bytes, after: bytes) -> None:
    text = base64.b64encode(before + PASSWORD.encode() + after).decode()
    secret = Secret("password", PASSWORD)
    assert found_in(text, [secret]) == ["password"]
    assert found_in(text[: len(text) // 3], [secret]) == []


def test_a_secret_does_not_show_itself() -> None:
    assert PASSWORD not in repr([Secret("password", PASSWORD)])
