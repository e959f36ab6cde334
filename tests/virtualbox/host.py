# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with real VirtualBox: a container that VBoxManage calls of this machine lead into."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from clusterops.errors import CommandError
from clusterops.processes import run
from clusterops.virtualbox._vboxmanage_client import SubprocessRunner, VBoxManage

from .image import PROGRAM

LABEL = "clusterops.test=virtualbox"
PASSING = re.compile(
    r"exit code 139|Failed to create the VirtualBox object|Failed to get a console object"
)

# nsenter costs 3 ms a call, `docker exec` 100: VBoxManage is called thousands of times.
#
# Without the kernel driver a machine does not start while an adapter is in an internal network,
# yet a running one may be put into it: that is what happens here, so that machines that have
# such an adapter can be started and keep it.
_WRAPPER = """#!/bin/sh
real() {{
    nsenter --target {pid} --mount --uts --ipc --net --pid -- /usr/bin/env {settings} {program} "$@"
}}
[ "$1" = startvm ] || {{ real "$@"; exit; }}
networks=$(real showvminfo "$2" --machinereadable 2>/dev/null |
    sed -n 's/^intnet\\([0-9]*\\)="\\(.*\\)"$/\\1 \\2/p')
adapters() {{
    [ -z "$networks" ] || echo "$networks" | while read -r number network; do "$@"; done
}}
away() {{ real modifyvm "$uuid" "--nic$number" null; }}
back() {{ real controlvm "$uuid" "nic$number" intnet "$network"; }}
back_off() {{ real modifyvm "$uuid" "--nic$number" intnet "--intnet$number" "$network"; }}
uuid=$2
adapters away >/dev/null 2>&1
real "$@" && {{ adapters back; exit; }}
code=$?
adapters back_off >/dev/null 2>&1
exit $code
"""


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
        self.settings = folder / "config"
        self._environment = {
            "HOME": str(folder),
            "VBOX_USER_HOME": str(self.settings),
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
        self.pid: int = self.container.attrs["State"]["Pid"]
        self._write_program()
        # Without the driver a machine only runs if VirtualBox may fall back to interpreting.
        self.manage("setextradata", "global", "VBoxInternal/HM/FallbackToIEM", "1")
        self.manage("setproperty", "machinefolder", str(folder / "machines"))

    def manage(self, *arguments: str, timeout_s: float = 60) -> str:
        """Run VBoxManage; what it prints. Raises CommandError.

        Once in thousands of calls, when others come and go, VBoxManage crashes or does not reach
        its service: that is asked again.
        """
        again = False
        for pause_s in (0.2, 0.5, 1, 2, 0):
            try:
                return run([str(self.program), *arguments], timeout_s=timeout_s)
            except CommandError as error:
                if again and "already" in str(error):
                    return ""  # it crashed when it was done
                again = PASSING.search(str(error)) is not None
                if not again or not pause_s:
                    raise
            time.sleep(pause_s)
        raise AssertionError("not reached")

    def client(self, timeout_s: float = 60) -> VBoxManage:
        """The project's own client, for this VirtualBox."""
        return VBoxManage(SubprocessRunner(), str(self.program), timeout_s=timeout_s)

    def inside(self, *command: str) -> None:
        """Run a program beside VirtualBox, in the background, until the host is closed."""
        self.container.exec_run(list(command), detach=True, environment=self._environment)

    def kill(self, uuid_: str) -> None:
        """End a machine's process, as a crash would, and wait until VirtualBox knows."""
        code, output = self.container.exec_run(["pkill", "-9", "-f", f"startvm {uuid_}"])
        assert code == 0, output
        deadline = time.monotonic() + 10
        while 'VMState="aborted"' not in self.manage("showvminfo", uuid_, "--machinereadable"):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def path(self) -> str:
        """A PATH in which this VirtualBox comes first."""
        return f"{self.bin}{os.pathsep}{os.environ['PATH']}"

    def close(self) -> None:
        """End every machine and remove everything."""
        self.container.remove(force=True, v=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_program(self) -> None:
        settings = " ".join(f"{k}={shlex.quote(v)}" for k, v in self._environment.items())
        self.program.write_text(_WRAPPER.format(pid=self.pid, settings=settings, program=PROGRAM))
        self.program.chmod(0o755)
