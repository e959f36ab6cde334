# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of the host, decided without starting anything: which may start, and as what command.

A caller never names a program, a path or an argument: it picks one of three kinds and values that
are checked, and a job is this project's own command line with them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from clusterops.errors import ClusterOpsError
from clusterops.http_api.jobs import DeployRequest, JobRequest, JobState, Kind, LoadRequest

KINDS: tuple[str, ...] = get_args(Kind)
APPLICATIONS = "apps"
PROGRESS = (
    "elapsed_s", "duration_s", "requests", "failures", "requests_per_s",
    "p50_ms", "p95_ms", "p99_ms",
)  # fmt: skip
_RELEASING = {"deploy", "rollback"}
_MESSAGE_LENGTH = 300


class JobRefused(ClusterOpsError):
    """A job that cannot start now."""


class NoSuchJob(ClusterOpsError):
    """There is nothing of that kind to stop."""


class UnknownApplication(ClusterOpsError):
    """An application that this project does not have."""


@dataclass(frozen=True)
class Record:
    """A job that was started. ``group`` is its process group while it runs."""

    kind: str
    state: JobState
    started_at: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    ended_at: str | None = None
    progress: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    group: int | None = None

    def ended(self, state: JobState, at: str, message: str, progress: Mapping[str, Any]) -> Record:
        return replace(
            self, state=state, ended_at=at, message=message, progress=progress, group=None
        )

    def shown(self) -> dict[str, Any]:
        """As the API tells it."""
        found = asdict(self)
        del found["group"]
        return found

    def text(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def read_record(text: str) -> Record | None:
    """A record from its file's text; None where it is none."""
    try:
        record = Record(**json.loads(text))
    except (ValueError, TypeError):
        return None
    return record if record.kind in KINDS else None


def arguments_of(request: JobRequest) -> dict[str, Any]:
    """What a job was asked to do."""
    return request.model_dump(exclude={"kind"})


def check(request: JobRequest, running: Collection[str], applications: Collection[str]) -> None:
    """Return where a job may start.

    Args:
        running: kinds that run.
        applications: what may be deployed.

    Raises:
        UnknownApplication: it would deploy something else.
        JobRefused: another one is in its way.
    """
    if isinstance(request, DeployRequest) and request.application not in applications:
        raise UnknownApplication(
            f"application: found {request.application!r}; allowed: {', '.join(applications)}"
        )
    if request.kind in running:
        raise JobRefused(f"A {request.kind} is running; it has to end, or be stopped, first.")
    if request.kind in _RELEASING and _RELEASING & set(running):
        raise JobRefused("A release is being changed already; that has to end, or be stopped.")


def command(request: JobRequest, progress: Path) -> list[str]:
    """The command line of a job: this very program.

    Args:
        progress: the file that load tells its figures in, each second.
    """
    own = [sys.executable, "-P", "-m", "clusterops.cli"]
    if isinstance(request, LoadRequest):
        return [
            *own, "load", f"--profile={request.profile}", f"--duration={request.duration_s:g}",
            f"--rate={request.rate:g}", f"--progress={progress}",
        ]  # fmt: skip
    if isinstance(request, DeployRequest):
        return [*own, "deploy", request.application]
    return [*own, "rollback"]


def known_applications(root: Path, configured: str) -> list[str]:
    """What may be deployed: the folders in apps/, and what cluster.yml names."""
    found = [
        f"{APPLICATIONS}/{manifest.parent.name}"
        for manifest in sorted((root / APPLICATIONS).glob("*/app.yml"))
    ]
    return found if configured in found else [*found, configured]


def progress_of(text: str) -> dict[str, Any]:
    """The figures of a load that runs; none where its file does not have them."""
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(data, dict) or not all(key in data for key in PROGRESS):
        return {}
    return {key: data[key] for key in PROGRESS}


def last_line(output: str) -> str:
    """The line of a job's output that says most: its error, or else the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error: ")]
    found = (errors or lines or [""])[-1].removeprefix("Error: ")
    return "".join(c if c.isprintable() else "?" for c in found)[:_MESSAGE_LENGTH]


def outcome(code: int, asked_to_stop: bool, output: str) -> tuple[JobState, str]:
    """How a job ended, and in which words."""
    said = last_line(output)
    if asked_to_stop:
        return "stopped", "stopped" + (f"; last: {said}" if said else "")
    if code == 0:
        return "done", said
    return "failed", said or f"it ended with exit code {code}"
