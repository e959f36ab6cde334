# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a playbook of the checkout with ansible-runner and tells how far it is."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clusterops.config import ClusterConfig
from clusterops.errors import ClusterOpsError
from clusterops.state import CLUSTER_FILE, CLUSTER_FILE_ENV, State, project_root, write_private

KEPT_LOGS = 10


@dataclass(frozen=True)
class Step:
    """A task that begins on a node. ``first`` is whether no other node began it before."""

    play: str
    role: str
    task: str
    node: str
    first: bool


StepBegan = Callable[[Step], None]


@dataclass
class Failure:
    """What went wrong, in Ansible's words."""

    host: str
    task: str
    message: str


@dataclass
class Outcome:
    """What a playbook run did. Durations in seconds, per play."""

    changed: int = 0
    failures: list[Failure] = field(default_factory=list)
    play_seconds: dict[str, float] = field(default_factory=dict)
    log: Path | None = None


class Progress:
    """Turns ansible-runner's events into calls and into an :class:`Outcome`. No I/O."""

    def __init__(self, began: StepBegan, clock: Callable[[], float] = time.monotonic) -> None:
        self.outcome = Outcome()
        self._began = began
        self._clock = clock
        self._play = ""
        self._play_began = 0.0
        self._fresh_task = False

    def handle(self, event: dict[str, Any]) -> bool:
        """Take one event; False tells ansible-runner not to keep a file of it."""
        data = event.get("event_data") or {}
        kind = event.get("event")
        if kind == "playbook_on_play_start":
            self._end_play()
            self._play = str(data.get("name") or data.get("play") or "")
        elif kind in ("playbook_on_task_start", "playbook_on_handler_task_start"):
            self._fresh_task = True
        elif kind == "runner_on_start":
            self._began(
                Step(
                    play=self._play,
                    role=str(data.get("role") or ""),
                    task=str(data.get("task") or ""),
                    node=str(data.get("host") or ""),
                    first=self._fresh_task,
                )
            )
            self._fresh_task = False
        elif kind in ("runner_on_failed", "runner_on_unreachable"):
            if not data.get("ignore_errors"):
                self.outcome.failures.append(
                    Failure(
                        host=str(data.get("host") or ""),
                        task=str(data.get("task") or ""),
                        message=failure_message(data.get("res") or {}),
                    )
                )
        elif kind == "playbook_on_stats":
            self._end_play()
            self.outcome.changed = sum((data.get("changed") or {}).values())
        return False

    def _end_play(self) -> None:
        now = self._clock()
        if self._play:
            seconds = self.outcome.play_seconds.get(self._play, 0.0) + now - self._play_began
            self.outcome.play_seconds[self._play] = seconds
        self._play, self._play_began = "", now


def failure_message(result: dict[str, Any]) -> str:
    """The most telling text of a failed task, on one line."""
    for item in result.get("results") or []:
        if isinstance(item, dict) and item.get("failed"):
            return failure_message(item)
    parts = [str(result.get("msg") or "")]
    for key in ("stderr", "module_stderr", "stdout", "module_stdout"):
        text = str(result.get(key) or "").strip()
        if text and text not in parts[0]:
            parts.append(text)
            break
    text = " ".join(" ".join(parts).split())
    return text if len(text) <= 600 else f"{text[:300]} … {text[-280:]}"


def command_line(state: State, config: ClusterConfig, extra: dict[str, Any]) -> list[str]:
    """Arguments of ansible-playbook beyond the playbook.

    The checkout's own cluster.yml reaches Ansible as group variables. Another one comes in its
    resolved form as extra variables, so that it wins over the checkout's in every key.
    """
    arguments: list[str] = []
    if state.cluster_file != project_root() / CLUSTER_FILE:
        resolved = state.root / "resolved.json"
        write_private(resolved, config.model_dump_json() + "\n")
        arguments += ["-e", f"@{resolved}"]
    if extra:
        arguments += ["-e", json.dumps(extra)]
    return arguments


def environment(state: State) -> dict[str, str]:
    """Environment variables of a run: this project's configuration, whatever the shell has."""
    root = project_root()
    return {
        "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_NOCOLOR": "1",
        "CLUSTEROPS_ENDPOINT_FILE": str(state.endpoint_file),
        CLUSTER_FILE_ENV: str(state.cluster_file),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def remove_leftovers(state: State) -> None:
    """Remove the folders of runs whose process was killed."""
    for folder in state.root.glob("run-*"):
        pid = folder.name.split("-")[1]
        if not (pid.isdigit() and _is_alive(int(pid))):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


def run_playbook(
    playbook: str,
    state: State,
    config: ClusterConfig,
    began: StepBegan,
    extra: dict[str, Any] | None = None,
) -> Outcome:
    """Run a playbook of the checkout.

    Raises:
        ClusterOpsError: it failed: the failing task, host, its error and where the log is.
    """
    import ansible_runner

    progress = Progress(began)
    log = _new_log(state, playbook)
    remove_leftovers(state)
    folder = tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=state.root)
    try:
        with log.open("w", encoding="utf-8") as stream:

            def keep(event: dict[str, Any]) -> bool:
                text = event.get("stdout")
                if text:
                    stream.write(f"{text}\n")
                    stream.flush()
                return progress.handle(event)

            runner = ansible_runner.run(
                private_data_dir=folder,
                project_dir=str(project_root()),
                playbook=playbook,
                inventory=str(project_root() / "inventory"),
                cmdline=_quoted(command_line(state, config, extra or {})) or None,
                envvars=environment(state),
                event_handler=keep,
                quiet=True,
                settings={"pexpect_timeout": 1, "idle_timeout": 900},
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    outcome = progress.outcome
    outcome.log = log
    if runner.status != "successful":
        raise _failed(playbook, outcome, log, str(runner.status))
    return outcome


def _quoted(arguments: list[str]) -> str:
    import shlex

    return shlex.join(arguments)


def _failed(playbook: str, outcome: Outcome, log: Path, status: str) -> ClusterOpsError:
    where = f"the full log is {log}; run the same command again to continue"
    if not outcome.failures:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        errors = [line for line in lines if "ERROR" in line or "rror:" in line]
        last = (errors or lines or [status])[-1]
        return ClusterOpsError(f"{playbook}: {last.strip()}", remedy=where)
    # A failure that a rescue mended comes before the one that ended the run.
    final = outcome.failures[-1]
    return ClusterOpsError(f"{final.host}: {final.task}: {final.message}", remedy=where)


def _new_log(state: State, playbook: str) -> Path:
    state.create()
    name = Path(playbook).stem
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for old in sorted(state.logs.glob(f"{name}-*.log"))[: -KEPT_LOGS + 1]:
        old.unlink(missing_ok=True)
    log = state.logs / f"{name}-{stamp}.log"
    log.touch(mode=0o600)
    return log
