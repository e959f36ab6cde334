# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with real VirtualBox: a container that VBoxManage calls of this machine lead into."""

from __future__ import annotations

import os
import shlex
import shutil
import uuid
from pathlib import Path
from typing import Any

from clusterops.processes import run

from .image import PROGRAM

LABEL = "clusterops.test=virtualbox"


class VirtualBoxHost:
    """VirtualBox with a home of its own. ``bin`` holds ``VBoxManage``, to be put into PATH.

    The folder is the same inside and outside: disks and settings that VirtualBox writes below
    it can be looked at from here, and files that are made here can be given to machines.
    """

    def __init__(self, client: Any, image: str, folder: Path) -> None:
        """
        Args:
            folder: empty; VirtualBox keeps everything in there. Removed by ``close``.
        """
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.program = self.bin / "VBoxManage"
        self._environment = {
            "HOME": str(folder),
            "VBOX_USER_HOME": str(folder / "config"),
            "VBOX_IPC_SOCKETID": uuid.uuid4().hex[:12],
        }
        self.container = client.containers.run(
            image,
            ["sleep", "infinity"],
            init=True,
            detach=True,
            labels=dict([LABEL.split("=")]),
            volumes={str(folder): {"bind": str(folder), "mode": "rw"}},
        )
        self.container.reload()
        self._write_program(self.container.attrs["State"]["Pid"])
        # Without the driver a machine only runs if VirtualBox may fall back to interpreting.
        self.manage("setextradata", "global", "VBoxInternal/HM/FallbackToIEM", "1")
        self.manage("setproperty", "machinefolder", str(folder / "machines"))

    def manage(self, *arguments: str, timeout_s: float = 60) -> str:
        """Run VBoxManage; what it prints. Raises CommandError."""
        return run([str(self.program), *arguments], timeout_s=timeout_s)

    def inside(self, *command: str) -> None:
        """Run a program beside VirtualBox, in the background, until the host is closed."""
        self.container.exec_run(list(command), detach=True, environment=self._environment)

    def path(self) -> str:
        """A PATH in which this VirtualBox comes first."""
        return f"{self.bin}{os.pathsep}{os.environ['PATH']}"

    def close(self) -> None:
        """End every machine and remove everything."""
        self.container.remove(force=True, v=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_program(self, pid: int) -> None:
        # nsenter costs 3 ms a call, `docker exec` 100: VBoxManage is called thousands of times.
        settings = " ".join(f"{k}={shlex.quote(v)}" for k, v in self._environment.items())
        self.program.write_text(
            f"#!/bin/sh\nexec nsenter --target {pid} --mount --uts --ipc --net --pid -- "
            f'/usr/bin/env {settings} {PROGRAM} "$@"\n'
        )
        self.program.chmod(0o755)
