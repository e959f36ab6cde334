# SPDX-License-Identifier: GPL-3.0-or-later
"""Acting: playbook runs, each through ansible-runner in a thread."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clusterops.processes import end_marked
from clusterops.scaler.model import Action, ActionResult
from clusterops.scaler.settings import ScalerSettings

_LOG = logging.getLogger(__name__)

#: Every process of a run carries this variable: it is how a run is ended for certain, because
#: Ansible's workers leave the process group that ansible-runner would kill.
_MARK = "CLUSTEROPS_SCALER_RUN"
_RUNS_KEPT = 20
_OUTCOMES = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
}


class Actuator:
    """Runs the playbooks of actions, several at a time."""

    def __init__(self, settings: ScalerSettings) -> None:
        self._settings = settings
        self._mark = f"{settings.state_dir.resolve()}:"

    def clean_up(self) -> int:
        """End what a killed predecessor left running; returns how many processes that were."""
        return end_marked(_MARK, self._mark)

    async def run(
        self, action: Action, on_step: Callable[[str], None], cancel: threading.Event
    ) -> ActionResult:
        """Run the action's playbook to its end. Never raises for what the playbook does."""
        started = time.monotonic()
        record = _Record(action, on_step)
        try:
            status = await asyncio.to_thread(self._run, action, record, cancel)
        except Exception as error:
            _LOG.exception("%s %s: the playbook could not be run", action.kind, action.agent)
            status, record.message = "error", f"the playbook could not be run: {error}"
        if status not in ("successful", "failed"):
            await asyncio.to_thread(end_marked, _MARK, self._mark_of(action))
        seconds = time.monotonic() - started
        if status == "successful":
            return ActionResult(True, seconds, tuple(record.stages))
        return ActionResult(
            False,
            seconds,
            tuple(record.stages),
            failed_task=record.failed_task or record.step,
            failed_host=record.failed_host,
            message=_why(status, record, self._settings.action_timeout_s),
            cancelled=status == "canceled",
        )

    def _mark_of(self, action: Action) -> str:
        return f"{self._mark}{action.agent}"

    def _run(self, action: Action, record: _Record, cancel: threading.Event) -> str:
        # Here, because it costs memory and most ticks do not act.
        import ansible_runner

        settings = self._settings
        playbook = {
            "scale_up": settings.playbook_scale_up,
            "scale_down": settings.playbook_scale_down,
            "prepare": settings.playbook_prepare,
        }[action.kind]
        if not playbook.is_file():
            raise FileNotFoundError(f"{playbook} is missing")
        settings.runner_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        run = ansible_runner.run(
            private_data_dir=str(settings.runner_dir),
            ident=f"{time.strftime('%Y%m%dT%H%M%S')}-{action.kind}-{action.agent}",
            playbook=str(playbook),
            inventory=str(settings.inventory),
            extravars={"agent": action.agent},
            envvars={
                "ANSIBLE_CONFIG": str(settings.ansible_config),
                "LC_ALL": "C.UTF-8",
                # ansible-playbook of this very environment.
                "PATH": os.pathsep.join(
                    [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
                ),
                _MARK: self._mark_of(action),
            },
            # A longer wait would delay cancel and time limit by as much.
            settings={"pexpect_timeout": 1, "suppress_ansible_output": True},
            timeout=int(settings.action_timeout_s),
            event_handler=record.handle,
            cancel_callback=cancel.is_set,
            quiet=True,
            suppress_env_files=True,
            rotate_artifacts=_RUNS_KEPT,
        )
        return str(run.status)


class _Record:
    """What the events of a run tell: the current step, stages, and the failure."""

    def __init__(self, action: Action, on_step: Callable[[str], None]) -> None:
        self._action = action
        self._on_step = on_step
        self.step: str | None = None
        self.stages: list[tuple[str, str, float]] = []
        self.failed_task: str | None = None
        self.failed_host: str | None = None
        self.message: str | None = None
        self.output: list[str] = []

    def handle(self, event: dict[str, Any]) -> bool:
        """Take one event; False keeps ansible-runner from writing a file for it."""
        try:
            self._take(event)
        except Exception:  # an odd event must not end the run
            _LOG.exception("an event of the playbook could not be read")
        return False

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("event", "")
        data = event.get("event_data") or {}
        if kind in ("playbook_on_task_start", "playbook_on_handler_task_start"):
            self.step = str(data.get("name") or data.get("task") or "")
            self._on_step(self.step)
        elif kind in _OUTCOMES:
            self._outcome(_OUTCOMES[kind], data)
        elif kind in ("verbose", "error", "warning", "playbook_on_no_hosts_matched"):
            text = str(event.get("stdout") or "").strip()
            if text:
                self.output = [*self.output, text][-20:]

    def _outcome(self, outcome: str, data: dict[str, Any]) -> None:
        task = str(data.get("task") or self.step or "")
        seconds = float(data.get("duration") or 0.0)
        result = data.get("res") or {}
        if outcome == "ok" and result.get("changed"):
            outcome = "changed"
        ignored = bool(data.get("ignore_errors"))
        self.stages.append((task, outcome, seconds))
        text = f"{self._action.kind} {self._action.agent}: {task} ... {outcome} {seconds:.1f}s"
        if outcome in ("failed", "unreachable") and not ignored:
            self.failed_task, self.failed_host = task, str(data.get("host") or "")
            self.message = _message(result)
            _LOG.error("%s: %s: %s", text, self.failed_host, self.message)
        elif outcome != "ok" or seconds >= 0.05:  # what only computes on the controller is noise
            _LOG.info("%s", text)


def _message(result: Any) -> str:
    """The one line of a task's result that says what went wrong."""
    if not isinstance(result, dict):
        return _one_line(str(result))
    if result.get("censored"):
        return "the output is hidden, because the task handles secrets"
    for key in ("msg", "stderr", "module_stderr", "stdout", "exception"):
        text = result.get(key)
        if isinstance(text, str) and text.strip():
            return _one_line(text)
    for item in result.get("results") or ():
        if isinstance(item, dict) and item.get("failed"):
            return _message(item)
    return "no message"


def _one_line(text: str) -> str:
    return " ".join(text.split())[-500:]


def _why(status: str, record: _Record, limit_s: float) -> str:
    if status == "timeout":
        return f"stopped after the time limit of {limit_s:g} s"
    if status == "canceled":
        return "it was called off"
    if record.message:
        return record.message
    errors = [text for text in record.output if "ERROR" in text] or record.output
    return _one_line(" ".join(errors)) or "ansible-playbook failed without a message"
