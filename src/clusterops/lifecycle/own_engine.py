# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers a container engine that `up` started without systemd, so that `down` can end it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from clusterops.engine import connect
from clusterops.errors import ClusterOpsError
from clusterops.state import State, write_private

ENGINE_PID_FILE = Path("/var/run/docker.pid")
STOP_TIMEOUT_S = 30.0


def ensure(state: State, start: Callable[[], Any]) -> bool:
    """Have an engine; True when it was started by this call."""
    try:
        connect()
        return False
    except ClusterOpsError:
        start()
    if not Path("/run/systemd/system").is_dir():
        state.create()
        identity = _identity(_engine_pid())
        if identity:
            write_private(_record(state), json.dumps(identity) + "\n")
    return True


def stop_if_ours(state: State) -> bool:
    """End the engine that :func:`ensure` started, unless somebody's container is in it."""
    try:
        identity = json.loads(_record(state).read_text())
        pid = int(identity["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if _identity(pid) != identity:
        return False
    try:
        if connect().containers.list(all=True):
            return False
    except ClusterOpsError:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _identity(pid) == identity and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(_identity(pid) != identity)


def _record(state: State) -> Path:
    return state.root / "engine.json"


def _engine_pid() -> int:
    try:
        return int(ENGINE_PID_FILE.read_text())
    except (OSError, ValueError):
        return 0


def _identity(pid: int) -> dict[str, int] | None:
    """A process id and its start time (proc(5), stat field 22): together they are unique."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else {"pid": pid, "started": int(fields[19])}
