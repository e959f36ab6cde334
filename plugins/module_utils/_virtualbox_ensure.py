# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of the module virtualbox_vm to a machine that has the wanted form."""

from __future__ import annotations

from typing import Any

from ._vboxmanage_errors import Duplicate, InvalidArgument, NotFound
from ._vboxmanage_model import NatForward, Vm, checked_uuid
from ._virtualbox_actions import Machines
from ._virtualbox_plan import Original, Plan, Request, plan
from ._virtualbox_settings import Wanted, WantedNic


def wanted_of(params: dict[str, Any]) -> Wanted:
    """The settings that the options ask for, checked. Raises VBoxManageErrors."""
    if params["name"] == "" or params["rename_to"] == "":
        raise InvalidArgument("The machine's name is empty", "Give it a name.")
    nics, forwards, groups = params["nics"], params["nat_forwards"], params["groups"]
    return Wanted(
        name=params["rename_to"] or params["name"] or "",
        groups=None if groups is None else tuple(groups),
        cpus=params["cpus"],
        cpu_cap_percent=params["cpu_cap_percent"],
        memory_mb=params["memory_mb"],
        os_type=params["os_type"],
        description=params["description"],
        nics=None if nics is None else tuple(WantedNic(**nic) for nic in nics),
        forwards=None if forwards is None else tuple(NatForward(**rule) for rule in forwards),
    )


def find(machines: Machines, params: dict[str, Any]) -> Vm | None:
    """The machine that the options mean. Raises NotFound, AmbiguousName or Duplicate."""
    name, new_name = params["name"], params["rename_to"]
    if params["uuid"]:
        found = machines.get(checked_uuid(params["uuid"]))
        if found is None and params["state"] != "absent":
            raise NotFound(f"There is no machine with the UUID {params['uuid']}")
        new_name = new_name or name
    else:
        found = machines.find(name)
    if new_name and found is not None and found.name == new_name:
        return found
    if new_name and params["state"] != "absent":
        other = machines.find(new_name)
        if other and found:
            raise Duplicate(f"There is a machine {new_name!r} already: {other.uuid}")
        if other is None and found is None:
            raise NotFound(f"There is neither a machine {name!r} nor {new_name!r}")
        return other or found
    return found


def original_of(machines: Machines, params: dict[str, Any]) -> Original | None:
    """What a new machine is cloned from. Raises NotFound, AmbiguousName or InvalidArgument."""
    if not params["clone_from"]:
        return None
    linked = params["clone_mode"] == "linked"
    vm = machines.either(params["clone_from"])
    if params["clone_snapshot"]:
        snapshot = machines.snapshot(vm.uuid, params["clone_snapshot"])
    else:
        snapshot = vm.current_snapshot if linked else None
        if linked and snapshot is None:
            raise InvalidArgument(
                f"The machine {vm.name!r} has no snapshot that a linked clone could build on",
                "Take one first, or set 'clone_mode: full'.",
            )
    return Original(vm, snapshot.uuid if snapshot else None, linked)


def ensure(machines: Machines, params: dict[str, Any], check_mode: bool) -> tuple[Plan, Vm | None]:
    """Bring a machine into the wanted form: the plan, and the machine afterwards."""
    wanted = wanted_of(params).check()
    found = find(machines, params)
    if found is not None and params["state"] != "absent":
        found = machines.settled(found)
    request = Request(
        state=params["state"],
        wanted=machines.resolved(wanted, found),
        original=original_of(machines, params) if found is None else None,
        force=params["force"],
        restart=params["restart"],
    )
    todo = plan(request, found)
    if todo.steps:
        machines.check(todo)
    if check_mode or not todo.steps:
        return todo, todo.after
    return todo, machines.carry_out(todo, request, params["stop_grace_s"])
