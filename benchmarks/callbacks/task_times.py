# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes when each play and task began, and how it ended on each host, for benchmarks/content.py.

One JSON object a line in the file that TASK_TIMES_FILE names; times in seconds.
"""

from __future__ import annotations

DOCUMENTATION = """
name: task_times
type: aggregate
short_description: When tasks began
description: [For benchmarks/content.py.]
"""

import json  # noqa: E402 - Ansible wants its documentation first
import os  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.plugins.callback import CallbackBase  # noqa: E402


class CallbackModule(CallbackBase):
    """Only writes down what it is told."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        path = Path(os.environ["TASK_TIMES_FILE"])
        self._stream = path.open("w", encoding="utf-8")

    def _write(self, event: str, **more: Any) -> None:
        line = {"event": event, "at": time.monotonic(), **more}
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._write("play", name=play.get_name())

    def _began(self, task: Any) -> None:
        role = task._role.get_name() if task._role else ""
        self._write("task", name=task.name, role=role.rpartition(".")[2], action=task.action)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._began(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._began(task)

    def _ended(self, result: Any, status: str) -> None:
        self._write("result", host=result._host.get_name(), status=status)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._ended(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._ended(result, "skipped")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._ended(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._ended(result, "unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._write("end")
