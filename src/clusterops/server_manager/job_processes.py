# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as processes of the host: started, followed, ended, and found again after a crash.

Every process of a job carries a variable with the cluster's folder and the kind, because Ansible's
workers leave the process group that the job was started with.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from clusterops.http_api.audit import now_text
from clusterops.http_api.jobs import JobRequest
from clusterops.processes import end_marked
from clusterops.server_manager import jobs
from clusterops.state import CLUSTER_FILE_ENV, State, project_root, write_private

MARK = "CLUSTEROPS_JOB"
STOP_S = 4.0
"""How long a job may take to end by itself, and then to be gone."""
TAIL_BYTES = 16 * 1024

log = logging.getLogger(__name__)

Applications = Callable[[], Sequence[str]]
Command = Callable[[JobRequest, Path], Sequence[str]]


class Jobs:
    """The jobs of one cluster. Not for several threads: it belongs to one event loop."""

    def __init__(
        self, state: State, applications: Applications, *, command: Command = jobs.command
    ) -> None:
        """
        Args:
            applications: what may be deployed now.
        """
        self._state = state
        self.applications = applications
        self._command = command
        self._folder = folder(state)
        self._records = {record.kind: record for record in _records(state)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()

    @property
    def running(self) -> frozenset[str]:
        return frozenset(self._processes)

    def list(self) -> list[dict[str, Any]]:
        """The last job of each kind."""
        return [self._shown(kind) for kind in jobs.KINDS if kind in self._records]

    def start(self, request: JobRequest) -> dict[str, Any]:
        """Start a job. Raises what :func:`clusterops.server_manager.jobs.check` does."""
        jobs.check(request, self.running, self.applications())
        kind = request.kind
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._progress(kind).unlink(missing_ok=True)
        handle = os.open(self._log(kind), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own command line
                list(self._command(request, self._progress(kind))),
                cwd=project_root(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    CLUSTER_FILE_ENV: str(self._state.cluster_file),
                    "PYTHONUNBUFFERED": "1",
                    MARK: f"{mark(self._state)}{kind}",
                },
            )
        self._processes[kind] = process
        self._keep(
            jobs.Record(
                kind, "running", now_text(), jobs.arguments_of(request), group=process.pid
            )
        )  # fmt: skip
        self._followers[kind] = asyncio.create_task(self._follow(kind, process))
        log.info("job kind=%s started", kind)
        return self._shown(kind)

    async def stop(self, kind: str) -> dict[str, Any]:
        """End a job that runs, with all that it started.

        Raises:
            NoSuchJob: none of that kind runs.
        """
        process, follower = self._processes.get(kind), self._followers.get(kind)
        if process is None or follower is None:
            raise jobs.NoSuchJob(f"There is no {kind} to stop.")
        self._stopping.add(kind)
        _signal(process.pid, signal.SIGINT)
        await asyncio.wait({follower}, timeout=STOP_S)
        if not follower.done():
            await asyncio.to_thread(self._end, kind, process)
            await asyncio.wait({follower}, timeout=STOP_S)
        return self._shown(kind)

    async def close(self) -> None:
        """End all jobs: nothing of the Server Manager outlives it."""
        await asyncio.gather(*(self.stop(kind) for kind in self.running), return_exceptions=True)

    async def _follow(self, kind: str, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.1)
        # What it left behind, such as a playbook whose parent was killed.
        await asyncio.to_thread(self._sweep, kind)
        state, message = jobs.outcome(
            process.returncode, kind in self._stopping, _tail(self._log(kind))
        )
        ended = self._records[kind].ended(state, now_text(), message, self._figures(kind))
        self._processes.pop(kind, None)
        self._stopping.discard(kind)
        self._keep(ended)
        log.info("job kind=%s %s: %s", kind, state, message)

    def _end(self, kind: str, process: subprocess.Popen[bytes]) -> None:
        _signal(process.pid, signal.SIGKILL)
        self._sweep(kind)

    def _sweep(self, kind: str) -> None:
        end_marked(MARK, f"{mark(self._state)}{kind}")

    def _shown(self, kind: str) -> dict[str, Any]:
        shown = self._records[kind].shown()
        if kind in self._processes:
            shown["progress"] = self._figures(kind)
            shown["message"] = jobs.last_line(_tail(self._log(kind)))
        return shown

    def _figures(self, kind: str) -> dict[str, Any]:
        try:
            return jobs.progress_of(self._progress(kind).read_text(encoding="utf-8"))
        except OSError:
            return {}

    def _keep(self, record: jobs.Record) -> None:
        self._records[record.kind] = record
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(_file(self._state, record.kind), record.text())

    def _log(self, kind: str) -> Path:
        return self._folder / f"{kind}.log"

    def _progress(self, kind: str) -> Path:
        return self._folder / f"{kind}-progress.json"


def folder(state: State) -> Path:
    return state.root / "jobs"


def mark(state: State) -> str:
    """What the variables of all jobs of a cluster begin with."""
    return f"{state.root.resolve()}:"


def end_leftovers(state: State) -> list[str]:
    """End the jobs of a Server Manager that was killed; returns their kinds."""
    left = [record for record in _records(state) if record.state == "running"]
    if not left:
        return []
    for record in left:
        # A process group's number alone may belong to another program by now.
        end_marked(MARK, f"{mark(state)}{record.kind}")
        ended = record.ended(
            "stopped", now_text(), "stopped: the Server Manager ended", record.progress
        )
        write_private(_file(state, record.kind), ended.text())
    return [record.kind for record in left]


def _records(state: State) -> list[jobs.Record]:
    found = []
    for kind in jobs.KINDS:
        with suppress(OSError):
            record = jobs.read_record(_file(state, kind).read_text(encoding="utf-8"))
            if record is not None and record.kind == kind:
                found.append(record)
    return found


def _file(state: State, kind: str) -> Path:
    return folder(state) / f"{kind}.json"


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - TAIL_BYTES))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
