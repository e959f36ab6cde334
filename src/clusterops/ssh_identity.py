# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may log in to the cluster's machines, and how a machine proves that it is one.

Each cluster has a user key and a certificate authority for host keys. A machine is born with
a host key that the authority has signed, so known_hosts is one line that never changes, and
no connection ever has to be trusted on first use (ssh-keygen(1), section CERTIFICATES).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from clusterops.cluster_ca import ensure_authority
from clusterops.processes import run
from clusterops.state import State, write_private

SSHD_CONFIG = """\
# Written by the playground when the machine was made.
HostKey /etc/ssh/ssh_host_ed25519_key
HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
"""

AUTHORITY = "/etc/clusterops/ca.crt"
"""Where every machine has the certificate of the cluster's authority; roles/base keeps it so."""


def ensure_identity(state: State) -> None:
    """Make the user key, both authorities and known_hosts. Safe to call again."""
    ensure_authority(state)
    _ensure_key(state.ssh_key, "playground")
    _ensure_key(state.host_ca, "playground host authority")
    public = _public(state.host_ca)
    line = f"@cert-authority * {public}\n"
    if not state.known_hosts.exists() or state.known_hosts.read_text() != line:
        write_private(state.known_hosts, line)


def seed_files(state: State, name: str, addresses: list[str]) -> dict[str, tuple[int, bytes]]:
    """Files a new machine needs for ssh and TLS: path -> (mode, content).

    Args:
        addresses: what clients may call the machine, apart from its name.
    """
    ensure_identity(state)
    principals = ",".join([name, "127.0.0.1", "localhost", *addresses])
    with tempfile.TemporaryDirectory(dir=state.ssh_dir) as folder:
        key = Path(folder) / "host_key"
        _ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key))
        _ssh_keygen(
            "-q", "-s", str(state.host_ca), "-I", name, "-h", "-n", principals, f"{key}.pub"
        )
        return {
            "/root/.ssh/authorized_keys": (0o600, f"{_public(state.ssh_key)}\n".encode()),
            "/etc/ssh/ssh_host_ed25519_key": (0o600, key.read_bytes()),
            "/etc/ssh/ssh_host_ed25519_key.pub": (0o644, key.with_suffix(".pub").read_bytes()),
            "/etc/ssh/ssh_host_ed25519_key-cert.pub": (
                0o644,
                Path(f"{key}-cert.pub").read_bytes(),
            ),
            "/etc/ssh/sshd_config.d/10-playground.conf": (0o644, SSHD_CONFIG.encode()),
            AUTHORITY: (0o644, state.tls_authority.read_bytes()),
        }


def ssh_options(state: State) -> list[str]:
    """Options of ssh(1) that reach a machine of the cluster and nothing else."""
    return [
        "-i", str(state.ssh_key),
        "-o", "IdentitiesOnly=yes",
        "-o", f"UserKnownHostsFile={state.known_hosts}",
        "-o", "StrictHostKeyChecking=yes",
        "-o", "LogLevel=ERROR",
    ]  # fmt: skip


def _ensure_key(path: Path, comment: str) -> None:
    if path.exists() and path.with_suffix(".pub").exists():
        return
    path.unlink(missing_ok=True)
    _ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))


def _public(key: Path) -> str:
    return key.with_suffix(".pub").read_text(encoding="ascii").strip()


def _ssh_keygen(*arguments: str) -> None:
    run(["ssh-keygen", *arguments], timeout_s=30, remedy="is openssh-client installed and whole?")
