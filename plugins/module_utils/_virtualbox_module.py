# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the VirtualBox modules share: the client, the form of a machine, the form of an error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ._vboxmanage_client import SubprocessRunner, VBoxManage
from ._vboxmanage_errors import VBoxManageError
from ._vboxmanage_model import Vm
from ._virtualbox_actions import Machines

CLIENT_OPTIONS = {
    "executable": {"type": "path"},
    "timeout_s": {"type": "float", "default": 300},
}
SETTINGS = (
    "name",
    "state",
    "groups",
    "cpus",
    "cpu_cap_percent",
    "memory_mb",
    "os_type",
    "description",
    "nics",
    "forwards",
)


def machines_of(module: Any) -> Machines:
    """The machines of the user that the module runs as. Raises ProgramMissing."""
    timeout_s = module.params["timeout_s"]
    # AnsibleModule.run_command has no time limit.
    client = VBoxManage(SubprocessRunner(), module.params["executable"], timeout_s=timeout_s)
    return Machines(client, timeout_s=timeout_s)


def as_dict(vm: Vm | None) -> dict[str, Any]:
    """A machine for a result; one that check mode foretells has no UUID, and what nobody can
    know yet is null."""
    if vm is None:
        return {"state": "absent"}
    result = asdict(vm)
    for key in ("groups", "nics", "forwards", "snapshots"):
        result[key] = list(result[key])
    if not vm.uuid:
        for key in ("uuid", "cpus", "memory_mb", "os_type", "config_file", "state_since"):
            result[key] = result[key] or None
    return result


def settings(vm: Vm | None) -> dict[str, Any]:
    """The part of a machine that a diff shows."""
    result = as_dict(vm)
    return {key: result[key] for key in SETTINGS if key in result}


@contextlib.contextmanager
def reported(module: Any, subject: str) -> Iterator[None]:
    """Turn VirtualBox's errors into the module's failure: one line, with the remedy."""
    try:
        yield
    except VBoxManageError as error:
        text = " ".join(f"{subject}: {error}".split())
        module.fail_json(msg=text, error=type(error).__name__, remedy=error.remedy)
