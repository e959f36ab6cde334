# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates, with a fake of ssh-keygen."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from clusterops import ssh_identity
from clusterops.errors import CommandError
from clusterops.state import State


class FakeKeygen:
    """Makes the files that ssh-keygen would make, with text that says what they are."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.made = 0

    def __call__(self, command: list[str], **_: object) -> str:
        self.calls.append(command)
        assert command[0] == "ssh-keygen"
        if "-s" in command:
            public = Path(command[-1])
            names = command[command.index("-n") + 1]
            authority = Path(command[command.index("-s") + 1]).read_text()
            certificate = public.with_name(public.name.replace(".pub", "-cert.pub"))
            certificate.write_text(f"certificate for {names} by {authority}")
        else:
            self.made += 1
            path = Path(command[-1])
            assert not path.exists(), "ssh-keygen would ask whether to overwrite"
            path.write_text(f"private {self.made}\n")
            path.chmod(0o600)
            path.with_suffix(".pub").write_text(f"public {self.made}\n")
        return ""


@pytest.fixture
def keygen(monkeypatch: pytest.MonkeyPatch) -> FakeKeygen:
    fake = FakeKeygen()
    monkeypatch.setattr(ssh_identity, "run", fake)
    return fake


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State.beside(tmp_path / "cluster.yml")


def test_known_hosts_is_one_line_that_trusts_the_authority(
    state: State, keygen: FakeKeygen
) -> None:
    ssh_identity.ensure_identity(state)
    public = state.host_ca.with_suffix(".pub").read_text().strip()
    assert state.known_hosts.read_text() == f"@cert-authority * {public}\n"


def test_a_second_call_changes_nothing(state: State, keygen: FakeKeygen) -> None:
    ssh_identity.ensure_identity(state)
    stamp = state.known_hosts.stat()
    ssh_identity.ensure_identity(state)
    assert keygen.made == 2
    assert state.known_hosts.stat() == stamp


def test_half_a_key_is_made_again(state: State, keygen: FakeKeygen) -> None:
    state.create()
    state.ssh_key.write_text("cut off")
    ssh_identity.ensure_identity(state)
    assert state.ssh_key.read_text().startswith("private")


def test_a_changed_known_hosts_is_repaired(state: State, keygen: FakeKeygen) -> None:
    ssh_identity.ensure_identity(state)
    state.known_hosts.write_text("")
    ssh_identity.ensure_identity(state)
    assert state.known_hosts.read_text().startswith("@cert-authority * public")


def test_a_machine_is_born_with_a_signed_key(state: State, keygen: FakeKeygen) -> None:
    files = ssh_identity.seed_files(state, "agent-1", ["10.0.0.101"])
    authority = state.host_ca.read_text()
    certificate = files["/etc/ssh/ssh_host_ed25519_key-cert.pub"][1].decode()
    assert certificate == f"certificate for agent-1,127.0.0.1,localhost,10.0.0.101 by {authority}"
    user = state.ssh_key.with_suffix(".pub").read_bytes()
    assert files["/root/.ssh/authorized_keys"] == (0o600, user)
    assert files["/etc/ssh/ssh_host_ed25519_key"][0] == 0o600
    assert files["/etc/clusterops/ca.crt"] == (0o644, state.tls_authority.read_bytes())
    assert b"PasswordAuthentication no" in files["/etc/ssh/sshd_config.d/10-playground.conf"][1]


def test_no_host_key_stays_on_the_host_and_no_two_are_equal(
    state: State, keygen: FakeKeygen
) -> None:
    name = "/etc/ssh/ssh_host_ed25519_key"
    first = ssh_identity.seed_files(state, "agent-1", [])[name]
    assert ssh_identity.seed_files(state, "agent-1", [])[name] != first
    assert sorted(path.name for path in state.ssh_dir.iterdir()) == [
        "host_ca", "host_ca.pub", "id_ed25519", "id_ed25519.pub", "known_hosts",
    ]  # fmt: skip
    assert stat.S_IMODE(state.ssh_dir.stat().st_mode) == 0o700


def test_a_failure_leaves_no_half_made_host_key(
    state: State, keygen: FakeKeygen, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh_identity.ensure_identity(state)

    def refuse(command: list[str], **_: object) -> str:
        raise CommandError("ssh-keygen", 255, "invalid format")

    monkeypatch.setattr(ssh_identity, "run", refuse)
    with pytest.raises(CommandError, match="'ssh-keygen' failed with exit code 255"):
        ssh_identity.seed_files(state, "agent-1", [])
    assert not list(state.ssh_dir.glob("tmp*"))


def test_ssh_never_trusts_on_first_use(state: State) -> None:
    options = ssh_identity.ssh_options(state)
    assert "StrictHostKeyChecking=yes" in options
    assert f"UserKnownHostsFile={state.known_hosts}" in options
    assert options[:2] == ["-i", str(state.ssh_key)]
