# SPDX-License-Identifier: GPL-3.0-or-later
"""The Server Manager as a background process of the host: started, found again, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from clusterops import program, tokens
from clusterops.clients import AnswerError, ServerManagerClient
from clusterops.errors import ClusterOpsError, NotRunningError
from clusterops.state import CLUSTER_FILE_ENV, State, project_root

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


def ensure_running(state: State) -> bool:
    """Have a Server Manager that answers to this cluster's token; True when it was started.

    One that an earlier version of the program started makes room: it knows nothing of new settings.

    Raises:
        ClusterOpsError: it does not start; the message has its own last words.
    """
    tokens.ensure(state)
    if answers(state) and (program_of(state) == program.digest() or not stop(state)):
        return False
    log = state.root / "server-manager.log"
    with log.open("ab") as stream:
        log.chmod(0o600)
        position = stream.tell()
        process = subprocess.Popen(  # noqa: S603 - this interpreter, fixed module
            [
                sys.executable,
                "-P",
                "-m",
                "clusterops.server_manager",
                "--cluster-file",
                str(state.cluster_file),
            ],
            cwd=project_root(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env={**os.environ, CLUSTER_FILE_ENV: str(state.cluster_file)},
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers(state):
        if process.poll() is not None:
            raise ClusterOpsError(
                _last_words(log, position) or "the Server Manager ended at once",
                remedy=f"see {log}",
            )
        if time.monotonic() > deadline:
            process.terminate()
            raise ClusterOpsError(
                f"the Server Manager did not answer within {START_TIMEOUT_S:g} s",
                remedy=f"see {log}",
            )
        time.sleep(0.1)
    return True


def answers(state: State) -> bool:
    """Whether this cluster's Server Manager answers."""
    try:
        ServerManagerClient.of(state).cluster()
    except (NotRunningError, AnswerError):
        return False
    return True


def program_of(state: State) -> str | None:
    """The digest of the program that answers; see :mod:`clusterops.program`."""
    try:
        found = ServerManagerClient.of(state).cluster().get("program")
    except (NotRunningError, AnswerError):
        return None
    return str(found) if found else None


def stop(state: State) -> bool:
    """End the Server Manager of this cluster; False when none runs.

    Raises:
        ClusterOpsError: it does not end.
    """
    pid = running_pid(state)
    if pid is None:
        return False
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if running_pid(state) != pid:
                return True
            time.sleep(0.05)
    raise ClusterOpsError(f"the Server Manager (process {pid}) does not end")


def running_pid(state: State) -> int | None:
    """Process id of this cluster's Server Manager, checked against what the process says it is.

    A process id alone may belong to another program by now.
    """
    try:
        pid = int(state.pid_file.read_text().strip())
    except (OSError, ValueError):
        return None
    command = _command_line(pid)
    ours = "clusterops.server_manager" in command and str(state.cluster_file) in command
    return pid if ours else None


def _command_line(pid: int) -> str:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self").exists():
            return ""
        shown = subprocess.run(  # noqa: S603 - fixed program; where there is no /proc (macOS)
            ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
        )
        return shown.stdout
    is_zombie = status.rpartition(")")[2].split()[0] == "Z"
    return "" if is_zombie else raw.replace(b"\0", b" ").decode("utf-8", "replace")


def _last_words(log: Path, position: int) -> str:
    with log.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(position)
        lines = [line.strip() for line in stream if line.strip()]
    errors = [line for line in lines if line.startswith("Error: ")]
    return (errors or lines or [""])[-1].removeprefix("Error: ")


def endpoint_url(state: State) -> str:
    """Where the Server Manager says it is."""
    return str(json.loads(state.endpoint_file.read_text(encoding="utf-8"))["url"])
