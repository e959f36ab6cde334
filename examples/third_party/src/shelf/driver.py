# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that are files: one for each, in a folder for each cluster.

What a real provider does over its API happens here in a file system, so that the rules of a driver
can be seen: every change is one atomic step, a second call of the same kind changes nothing, and
what a killed process left is put right by the next.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from clusterops.server_manager.driver import (
    Cluster,
    NameTaken,
    ProviderUnavailable,
    Role,
    Server,
    ServerSpec,
    ServerState,
    UnknownServer,
    is_node_name,
    node_number,
)

FOLDER_ENV = "SHELF_FOLDER"
_OWNER = "cluster"


class ShelfDriver:
    """See :class:`clusterops.server_manager.driver.Driver`."""

    provider = "shelf"
    ssh_user = "root"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        shelf = os.environ.get(FOLDER_ENV)
        self._shelf = Path(shelf) if shelf else Path(tempfile.gettempdir(), "shelf")
        self._folder = self._shelf / cluster.name

    def check(self) -> None:
        if self._shelf.exists() and not os.access(self._shelf, os.W_OK):
            raise ProviderUnavailable(
                f"{self._shelf} cannot be written", remedy=f"set {FOLDER_ENV} to a folder of yours"
            )

    def prepare(self) -> None:
        with self._alone():
            for left in self._folder.glob(".new-*"):
                shutil.rmtree(left)

    def host_address(self) -> str:
        return "198.51.100.1"

    def network(self) -> str:
        return "198.51.100.0/24"

    def list(self) -> list[Server]:
        names = [path.parent.name for path in self._folder.glob("*/machine.json")]
        found = [server for name in names if (server := self.get(name))]
        return sorted(found, key=lambda server: node_number(server.name))

    def get(self, name: str) -> Server | None:
        if not is_node_name(name):  # also keeps "../other" from leaving the folder
            return None
        try:
            told = json.loads((self._folder / name / "machine.json").read_text("utf-8"))
        except FileNotFoundError:
            return None
        return Server(**{**told, "role": Role(told["role"]), "state": ServerState(told["state"])})

    def create(self, spec: ServerSpec) -> bool:
        number = node_number(spec.name)
        with self._alone():
            if old := self.get(spec.name):
                return self._write(replace(old, cpus=spec.cpus, memory_mb=spec.memory_mb), old)
            address = f"198.51.100.{number}"
            new = Server(
                name=spec.name,
                role=spec.role,
                state=ServerState.STOPPED,
                provider=self.provider,
                address=address,
                cpus=spec.cpus,
                memory_mb=spec.memory_mb,
                created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                ports=dict(spec.ports),
            )
            # Whole under another name first: a machine without its keys must never be seen.
            unfinished = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
            try:
                self._seed(unfinished, spec, address)
                (unfinished / "machine.json").write_text(json.dumps(asdict(new)), "utf-8")
                unfinished.rename(self._folder / spec.name)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            return True

    def start(self, name: str) -> bool:
        return self._become(name, ServerState.RUNNING)

    def stop(self, name: str, grace_s: float = 30) -> bool:
        return self._become(name, ServerState.STOPPED)

    def delete(self, name: str) -> bool:
        with self._alone():
            if self.get(name) is None:
                return False
            # Gone at once, removed afterwards: a crash in between leaves what prepare() sweeps up.
            gone = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
            (self._folder / name).rename(gone / name)
            shutil.rmtree(gone)
            return True

    def teardown(self) -> Sequence[str]:
        if not self._folder.exists():
            return []
        removed = [f"machine {server.name}" for server in self.list()]
        with self._alone():
            shutil.rmtree(self._folder)
        return [*removed, f"folder {self._folder}"]

    def _become(self, name: str, state: ServerState) -> bool:
        with self._alone():
            old = self.get(name)
            if old is None:
                raise UnknownServer(name)
            return self._write(replace(old, state=state), old)

    def _write(self, new: Server, old: Server) -> bool:
        """Put one file in the place of another; whether it differs."""
        if new == old:
            return False
        path = self._folder / new.name / "machine.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(new)), "utf-8")
        temporary.replace(path)
        return True

    def _seed(self, folder: Path, spec: ServerSpec, address: str) -> None:
        for place, (mode, content) in spec.seed([address]).items():
            path = folder / "disk" / place.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode)
            path.write_bytes(content)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One change at a time, also between processes; the folder is there and the cluster's."""
        self._shelf.mkdir(parents=True, exist_ok=True)
        with (self._shelf / f".{self._cluster.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            owner = self._folder / _OWNER
            if not self._folder.exists():
                self._folder.mkdir()
                owner.write_text(self._cluster.name, "utf-8")
            elif not owner.exists() and any(self._folder.iterdir()):
                raise NameTaken(
                    f"the folder {self._folder} exists, and this cluster did not make it",
                    remedy=f"move it, or set {FOLDER_ENV} to another folder",
                )
            yield
