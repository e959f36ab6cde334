# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of an application, and what keeps its secrets secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from clusterops.application.values import VAULT_PASSWORD, given_values
from clusterops.errors import UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.yml"
    path.touch(mode=0o600)
    return path


def test_values_are_text() -> None:
    values = given_values({"A": 1, "B": True, "C": "x", "D": 0.5}, "", Path())
    assert values == {"A": "1", "B": "true", "C": "x", "D": "0.5"}


def test_the_file_is_beside_cluster_yml_and_wins(file: Path, tmp_path: Path) -> None:
    file.write_text("API_KEY: s3cret\nDEBUG: false\n")
    values = given_values({"DEBUG": True, "LOG": "x"}, "secrets.yml", tmp_path)
    assert values == {"API_KEY": "s3cret", "DEBUG": "false", "LOG": "x"}


def test_a_file_that_others_may_read_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_text("API_KEY: s3cret\n")
    file.chmod(0o640)
    with pytest.raises(UsageError, match=r"others may read it \(mode 0640\)") as caught:
        given_values({}, "secrets.yml", tmp_path)
    assert str(caught.value.remedy).startswith("chmod 600")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- s3cret\n", "expected lines such as"),
        ("API KEY: s3cret\n", "is not the name of a variable"),
        ("API_KEY: {a: s3cret}\n", "API_KEY: found a dict"),
        ("API_KEY:\n", "API_KEY: found a NoneType"),
        ("A: b\nAPI_KEY: 's3cret\n", r"line \d+: is not valid YAML"),
    ],
)
def test_errors_tell_where_and_no_value(
    file: Path, tmp_path: Path, text: str, message: str
) -> None:
    file.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        given_values({}, "secrets.yml", tmp_path)
    assert "s3cret" not in f"{caught.value} {caught.value.remedy} {caught.value.__cause__}"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"application_env_file: .*No such file"):
        given_values({}, "none.yml", tmp_path)


def test_an_encrypted_file(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    vault = VaultLib([("default", VaultSecret(b"open sesame"))])
    file.write_bytes(vault.encrypt("API_KEY: s3cret\n"))
    file.chmod(0o644)  # nobody can read what is in it
    monkeypatch.delenv(VAULT_PASSWORD, raising=False)
    with pytest.raises(UsageError, match="is encrypted with Ansible Vault"):
        given_values({}, "secrets.yml", tmp_path)
    monkeypatch.setenv(VAULT_PASSWORD, str(password))
    assert given_values({}, "secrets.yml", tmp_path) == {"API_KEY": "s3cret"}
    password.write_text("wrong\n")
    with pytest.raises(UsageError, match="cannot be decrypted"):
        given_values({}, "secrets.yml", tmp_path)
    monkeypatch.setenv(VAULT_PASSWORD, str(tmp_path / "none"))
    with pytest.raises(UsageError, match="No such file"):
        given_values({}, "secrets.yml", tmp_path)
