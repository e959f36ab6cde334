# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's folder on the host: everything the playground remembers lies in one place.

It stands beside cluster.yml, so two clusters are two folders. What machines exist is never
remembered here: that is asked of the provider.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

STATE_FOLDER = ".playground"
CLUSTER_FILE = "cluster.yml"
CLUSTER_FILE_ENV = "PLAYGROUND_CLUSTER_FILE"


def project_root() -> Path:
    """The checkout that this code runs from."""
    return Path(__file__).resolve().parents[2]


def cluster_file() -> Path:
    """The cluster.yml in force: the checkout's own, or the one the environment names."""
    named = os.environ.get(CLUSTER_FILE_ENV)
    return Path(named).absolute() if named else project_root() / CLUSTER_FILE


@dataclass(frozen=True)
class State:
    """Paths inside the state folder of one cluster."""

    root: Path
    cluster_file: Path

    @classmethod
    def beside(cls, cluster_file: Path) -> State:
        return cls(root=cluster_file.parent / STATE_FOLDER, cluster_file=cluster_file)

    @property
    def token_file(self) -> Path:
        return self.root / "token"

    @property
    def endpoint_file(self) -> Path:
        return self.root / "endpoint.json"

    @property
    def deployed_file(self) -> Path:
        """What is in force on the agents: name, release, location, commit, previous."""
        return self.root / "deployed.json"

    @property
    def ssh_dir(self) -> Path:
        return self.root / "ssh"

    @property
    def ssh_key(self) -> Path:
        return self.ssh_dir / "id_ed25519"

    @property
    def host_ca(self) -> Path:
        return self.ssh_dir / "host_ca"

    @property
    def known_hosts(self) -> Path:
        return self.ssh_dir / "known_hosts"

    @property
    def tls_dir(self) -> Path:
        return self.root / "tls"

    @property
    def tls_authority(self) -> Path:
        return self.tls_dir / "ca.crt"

    @property
    def tls_authority_key(self) -> Path:
        return self.tls_dir / "ca.key"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def audit_file(self) -> Path:
        """Who asked the Server Manager for what."""
        return self.logs / "audit.log"

    @property
    def pid_file(self) -> Path:
        return self.root / "server-manager.pid"

    @property
    def provider_file(self) -> Path:
        return self.root / "provider"

    def provider(self) -> str | None:
        """The provider whose machines the cluster has; None before it has any."""
        try:
            return self.provider_file.read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None

    def record_provider(self, provider: str) -> None:
        """Keep the provider for the cluster's life."""
        if self.provider() != provider:
            self.create()
            write_private(self.provider_file, f"{provider}\n")

    def create(self) -> None:
        """Make the folder, private to its owner. Safe to call again."""
        for folder in (self.root, self.ssh_dir, self.tls_dir, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)

    def token(self) -> str:
        """The cluster's bearer token (256 bit), made at first use."""
        try:
            return self.token_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            self.create()
            write_private(self.token_file, secrets.token_hex(32) + "\n", exclusive=True)
            return self.token_file.read_text(encoding="ascii").strip()

    def write_endpoint(self, url: str) -> None:
        """Tell Ansible's inventory and the CLI where the Server Manager of this cluster is."""
        endpoint = {
            "url": url,
            "token_file": str(self.token_file),
            "state_dir": str(self.root),
            "cluster_file": str(self.cluster_file),
            "ssh_key": str(self.ssh_key),
            "known_hosts": str(self.known_hosts),
            "ca_file": str(self.tls_authority),
        }
        write_private(self.endpoint_file, json.dumps(endpoint, indent=2) + "\n")


def write_private(path: Path, text: str, *, exclusive: bool = False) -> None:
    """Write a 0600 file; see :func:`write_whole`."""
    write_whole(path, text, 0o600, exclusive=exclusive)


def write_whole(path: Path, text: str, mode: int, *, exclusive: bool = False) -> None:
    """Write a file so that a reader sees the old text or the new, never a part.

    With ``exclusive`` a file that is already there wins.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        if exclusive:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
