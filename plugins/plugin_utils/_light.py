# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a node before a module is started there.

To start a module, a node unpacks and compiles Ansible's library: 0.3 to 0.5 s of processor time,
whatever the module does. Plain Python with the few functions that a comparison needs takes a fifth
of it. An action plugin with the name of the module asks; only where something is to be done, or
where the question fails, the module itself runs.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase

FOLDER = Path(__file__).parents[1] / "module_utils"
PACKAGE = "ansible_collections.clusterops.playground.plugins.module_utils"
LOADER = """
import json, sys, types
job = json.load(sys.stdin)
for name, text in job["sources"]:
    part = sys.modules[name] = types.ModuleType(name)
    part.__package__ = name.rpartition(".")[0]
    exec(compile(text, name, "exec"), part.__dict__)
print(json.dumps(getattr(part, job["look"])(job["arguments"])))
"""
"""Runs on the node. A module that is found in sys.modules needs no package around it."""


def job(names: t.Sequence[str], arguments: t.Mapping[str, t.Any], look: str = "look") -> str:
    """What LOADER reads: parts of module_utils, in an order in which each finds those before.

    Raises:
        TypeError: the arguments have something in them that is no JSON.
    """
    sources = [(f"{PACKAGE}.{name}", (FOLDER / f"{name}.py").read_text("utf-8")) for name in names]
    return json.dumps({"sources": sources, "look": look, "arguments": arguments})


class LightAction(ActionBase):
    """An action plugin whose module has a function LOOK in the last of PARTS."""

    PARTS: tuple[str, ...] = ()
    LOOK = "look"
    TRANSFERS_FILES = False

    def unchanged(self, answer: dict[str, t.Any]) -> dict[str, t.Any] | None:
        """The module's result where nothing is to be done; None where the module has to run."""
        raise NotImplementedError

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        found = self.unchanged(self._ask(task_vars or {}))
        if found is None:
            found = self._execute_module(task_vars=task_vars)
        return {**result, **found}

    def _update_module_args(
        self, module_name: str, module_args: dict[str, t.Any], *rest: t.Any, **named: t.Any
    ) -> None:
        super()._update_module_args(module_name, module_args, *rest, **named)
        # A module writes its arguments to the node's log, where a nested secret is escaped and so
        # is not found to be hidden. This is about that log alone.
        module_args["_ansible_no_log"] = True

    def _ask(self, task_vars: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """What ``look`` says on the node; nothing where it cannot be asked."""
        if not self._connection.has_pipelining or self._task.async_val:
            return {}
        python = str(task_vars.get("ansible_python_interpreter", ""))
        try:
            question = job(self.PARTS, self._task.args, self.LOOK)
        except TypeError:
            return {}
        command = [python if python.startswith("/") else "/usr/bin/python3", "-I", "-c", LOADER]
        said = self._low_level_execute_command(
            self._connection._shell.join(command), in_data=question.encode()
        )
        try:
            answer = json.loads(said["stdout"]) if said["rc"] == 0 else {}
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) else {}
