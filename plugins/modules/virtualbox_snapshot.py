#!/usr/bin/python
# Copyright: Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: virtualbox_snapshot
short_description: Snapshot of a virtual machine of VirtualBox
version_added: "0.1.0"
description:
  - Takes, restores and deletes snapshots of a virtual machine.
  - VirtualBox allows several snapshots with one name. The module never takes a second one, and
    refuses to choose between two.
author:
  - Cluster Operations Playground contributors (@clusterops)
extends_documentation_fragment:
  - clusterops.playground.virtualbox
options:
  vm:
    description: Name or UUID of the machine.
    type: str
    required: true
  name:
    description: Name of the snapshot. It has no line breaks, and is no UUID.
    type: str
  uuid:
    description: UUID of an existing snapshot, where the name is ambiguous.
    type: str
  state:
    description:
      - V(present) makes sure that there is a snapshot O(name), and takes it of the machine's
        present state if there is none. One that exists is not taken again.
      - V(restored) brings the machine back to the snapshot. This is always a change, because
        nobody knows what has happened since. A snapshot of a running machine gives a saved
        machine.
      - V(absent) deletes the snapshot; the machine stays as it is.
    type: str
    choices: [present, restored, absent]
    default: present
  description:
    description: Description of the snapshot; that of an existing one is changed.
    type: str
  live:
    description:
      - Lets a running machine run while the snapshot is taken. Otherwise it is paused meanwhile.
    type: bool
    default: false
  force:
    description: Powers a running machine off to restore a snapshot. Otherwise that is an error.
    type: bool
    default: false
attributes:
  check_mode:
    description: Makes the same plan as a real run, and says what it would do.
    support: full
  diff_mode:
    description: Shows the names and descriptions of the snapshots before and after.
    support: full
seealso:
  - module: clusterops.playground.virtualbox_vm
"""

EXAMPLES = r"""
- name: Take a snapshot that linked clones can build on
  clusterops.playground.virtualbox_snapshot:
    vm: template
    name: base
    description: Debian 12 with an engine

- name: Take one of a machine without stopping it
  clusterops.playground.virtualbox_snapshot:
    vm: agent-2
    name: before the experiment
    live: true

- name: Go back
  clusterops.playground.virtualbox_snapshot:
    vm: agent-2
    name: before the experiment
    state: restored
    force: true

- name: Delete one of two snapshots of the same name
  clusterops.playground.virtualbox_snapshot:
    vm: agent-2
    uuid: 1b3652d9-1422-485f-b7dc-b41b1d7d19e5
    state: absent
"""

RETURN = r"""
snapshot:
  description: The snapshot afterwards; null when it is gone. Without UUID in check mode.
  returned: success
  type: dict
  sample:
    uuid: 1b3652d9-1422-485f-b7dc-b41b1d7d19e5
    name: base
    description: Debian 12 with an engine
    parent: null
    current: true
vm:
  description: UUID, name and state of the machine afterwards.
  returned: success
  type: dict
  sample:
    uuid: 51c24859-f7cf-4af1-8c90-ddb20c4f23fc
    name: template
    state: poweroff
steps:
  description: What was done, in check mode what would be done, in this order.
  returned: success
  type: list
  elements: str
  sample: [take]
error:
  description: The kind of error, such as V(SnapshotNotFound), V(AmbiguousName) or V(InUse).
  returned: failure
  type: str
  sample: InUse
remedy:
  description: What to do about the error; the message ends with it too.
  returned: failure
  type: str
  sample: "Remove what depends on it first: linked clones, then child snapshots."
"""

import typing as t
from dataclasses import asdict, dataclass

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_errors import (
    Busy,
    Inaccessible,
    InvalidArgument,
    InvalidState,
    SnapshotNotFound,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_model import (
    Snapshot,
    Vm,
    checked_uuid,
    is_uuid,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_actions import (
    Machines,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_module import (
    CLIENT_OPTIONS,
    machines_of,
    reported,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_plan import (
    RESTING,
    pick_snapshot,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_settings import (
    checked_text,
)

OPTIONS = {
    "vm": {"type": "str", "required": True},
    "name": {"type": "str"},
    "uuid": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "restored", "absent"], "default": "present"},
    "description": {"type": "str"},
    "live": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    **CLIENT_OPTIONS,
}


@dataclass(frozen=True)
class Plan:
    """Steps (take, edit, poweroff, restore, delete), and the snapshot before and after them."""

    steps: tuple[str, ...]
    before: Snapshot | None
    after: Snapshot | None
    vm_state: str


def plan(params: dict[str, t.Any], vm: Vm) -> Plan:
    """What has to be done. Raises VBoxManageErrors; nothing has been done then."""
    if not vm.accessible:
        raise Inaccessible(f"The settings of the machine {vm.uuid} cannot be read")
    if vm.state not in RESTING:
        raise Busy(f"The machine {vm.name!r} is {vm.state}")
    state, description = params["state"], checked_description(params["description"])
    try:
        found = pick_snapshot(vm.snapshots, params["uuid"] or checked_name(params["name"]))
    except SnapshotNotFound:
        if state == "restored" or (params["uuid"] and state == "present"):
            raise
        found = None
    if state == "absent":
        return Plan(("delete",) if found else (), found, None, vm.state)
    if state == "restored" and found:
        if vm.online and not params["force"]:
            raise InvalidState(
                f"The machine {vm.name!r} is {vm.state}, and a snapshot is restored while it is "
                "powered off",
                "Stop it first, or set 'force: true' to power it off.",
            )
        # Whether the snapshot has a saved state, VirtualBox says afterwards.
        after = Snapshot(found.uuid, found.name, found.description, found.parent, True)
        steps = ("poweroff", "restore") if vm.online else ("restore",)
        return Plan(steps, found, after, "poweroff")
    if found is None:
        current = vm.current_snapshot
        parent = current.uuid if current else None
        after = Snapshot("", params["name"], description or "", parent, True)
        return Plan(("take",), None, after, vm.state)
    if description is None or description == found.description:
        return Plan((), found, found, vm.state)
    after = Snapshot(found.uuid, found.name, description, found.parent, found.current)
    return Plan(("edit",), found, after, vm.state)


def checked_name(name: str) -> str:
    """A name that VBoxManage reports as it is, and takes for a name. Raises InvalidArgument."""
    checked_text(name, "The snapshot's name", lines=False)
    if not name.strip() or is_uuid(name.strip("{}")):
        raise InvalidArgument(
            f"A snapshot cannot be called {name!r}", "A name has letters and is no UUID."
        )
    return name


def checked_description(text: str | None) -> str | None:
    if text is None:
        return None
    return checked_text(text.replace("\r\n", "\n"), "The snapshot's description")


def ensure(
    machines: Machines, params: dict[str, t.Any], check_mode: bool
) -> tuple[Plan, Snapshot | None, Vm]:
    """Bring a snapshot into the wanted state: plan, snapshot and machine afterwards."""
    vm = machines.settled(machines.either(params["vm"]))
    todo = plan(params, vm)
    if check_mode or not todo.steps:
        return todo, todo.after, vm
    uuid = todo.before.uuid if todo.before else ""
    for step in todo.steps:
        if step == "poweroff":
            machines.stop(vm.uuid, 0)
        elif step == "take":
            uuid = machines.take(
                vm.uuid, params["name"], todo.after.description, live=params["live"] and vm.online
            )
        elif step == "edit":
            machines.describe(vm.uuid, uuid, todo.after.description)
        else:
            machines.on_snapshot(vm.uuid, step, uuid)
    vm = machines.settled(machines.client.vm(vm.uuid))
    return todo, next((one for one in vm.snapshots if one.uuid == uuid), None), vm


def main() -> None:
    module = AnsibleModule(
        argument_spec=OPTIONS,
        required_one_of=[("name", "uuid")],
        mutually_exclusive=[("name", "uuid")],
        supports_check_mode=True,
    )
    params = module.params
    with reported(module, params["vm"]):
        if params["uuid"]:
            params["uuid"] = checked_uuid(params["uuid"])
        todo, after, vm = ensure(machines_of(module), params, module.check_mode)
    snapshot = asdict(after) if after else None
    if snapshot is not None:
        snapshot["uuid"] = snapshot["uuid"] or None
    state = todo.vm_state if module.check_mode else vm.state
    module.exit_json(
        changed=bool(todo.steps),
        snapshot=snapshot,
        vm={"uuid": vm.uuid, "name": vm.name, "state": state},
        steps=list(todo.steps),
        diff={"before": shown(todo.before), "after": shown(after)},
    )


def shown(snapshot: Snapshot | None) -> dict[str, t.Any]:
    if snapshot is None:
        return {"state": "absent"}
    return {
        "state": "present",
        "name": snapshot.name,
        "description": snapshot.description,
        "current": snapshot.current,
    }


if __name__ == "__main__":
    main()
