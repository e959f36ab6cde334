#!/usr/bin/python
# Copyright: Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: virtualbox_vm_info
short_description: Virtual machines of VirtualBox, with all their settings
version_added: "0.1.0"
description:
  - Lists the virtual machines of the user that the module runs as, with state, groups, adapters,
    NAT forwards and snapshots, in two calls of C(VBoxManage) for all of them.
  - A machine whose settings file is lost is listed with RV(vms[].accessible=false).
author:
  - Cluster Operations Playground contributors (@clusterops)
extends_documentation_fragment:
  - clusterops.playground.virtualbox
options:
  names:
    description: Only machines with one of these names. Several can have the same one.
    type: list
    elements: str
  uuids:
    description: Only machines with one of these UUIDs.
    type: list
    elements: str
  group:
    description: Only machines in this group or in a group below it, such as V(/playground).
    type: str
  states:
    description:
      - Only machines in one of these states, as in RV(vms[].state), such as V(running),
        V(poweroff), V(paused), V(saved), V(aborted) or V(inaccessible).
    type: list
    elements: str
  guest_properties:
    description:
      - Reads the properties that guest and host left, such as the guest's addresses, with one
        more call for each machine.
    type: bool
    default: false
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
seealso:
  - module: clusterops.playground.virtualbox_vm
"""

EXAMPLES = r"""
- name: Look at the running machines of a cluster
  clusterops.playground.virtualbox_vm_info:
    group: /playground
    states: [running]
    guest_properties: true
  register: machines

- name: Show their addresses
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.guest_properties['/VirtualBox/GuestInfo/Net/0/V4/IP'] }}"
  loop: "{{ machines.vms }}"
"""

RETURN = r"""
vms:
  description: The machines, in VirtualBox's order.
  returned: success
  type: list
  elements: dict
  contains:
    uuid:
      description: Identity of the machine.
      type: str
    name:
      description: Name, which several machines can have.
      type: str
    state:
      description: State in VirtualBox's words, such as V(running) or V(poweroff).
      type: str
    accessible:
      description: Whether VirtualBox can read the machine's settings.
      type: bool
    groups:
      description: Groups; V(/) is no group.
      type: list
      elements: str
    cpus:
      description: Number of CPUs.
      type: int
    cpu_cap_percent:
      description: How much of each CPU the machine may use.
      type: int
    memory_mb:
      description: Memory in MB.
      type: int
    os_type:
      description: Type of the guest.
      type: str
    description:
      description: Description.
      type: str
    config_file:
      description: Path of the settings file.
      type: str
    state_since:
      description: When the machine came into its state, in UTC, to the second.
      type: str
    nics:
      description: Network adapters.
      type: list
      elements: dict
    forwards:
      description: NAT forwards.
      type: list
      elements: dict
    snapshots:
      description: Snapshots, each after its parent.
      type: list
      elements: dict
    guest_properties:
      description: Values by name, with O(guest_properties=true).
      type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_errors import (
    NotFound,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_model import (
    Vm,
    checked_uuid,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_module import (
    CLIENT_OPTIONS,
    as_dict,
    machines_of,
    reported,
)

OPTIONS = {
    "names": {"type": "list", "elements": "str"},
    "uuids": {"type": "list", "elements": "str"},
    "group": {"type": "str"},
    "states": {"type": "list", "elements": "str"},
    "guest_properties": {"type": "bool", "default": False},
    **CLIENT_OPTIONS,
}


def selected(vm: Vm, params: dict[str, t.Any]) -> bool:
    """Whether the options ask for this machine. Raises InvalidArgument."""
    names, uuids, states = params["names"], params["uuids"], params["states"]
    if uuids is not None and vm.uuid not in {checked_uuid(uuid) for uuid in uuids}:
        return False
    if names is not None and vm.name not in names:
        return False
    if states is not None and vm.state not in states:
        return False
    if params["group"] is None:
        return True
    group = params["group"].rstrip("/")
    return any(one == group or one.startswith(f"{group}/") for one in vm.groups)


def gather(client: t.Any, params: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """The machines that the options ask for. Raises VBoxManageErrors."""
    found = []
    for vm in client.inventory():
        if not selected(vm, params):
            continue
        result = as_dict(vm)
        if params["guest_properties"]:
            result["guest_properties"] = {}
            if vm.accessible:
                try:
                    properties = client.guest_properties(vm.uuid)
                except NotFound:
                    # Removed since it was listed.
                    continue
                result["guest_properties"] = {one.name: one.value for one in properties}
        found.append(result)
    return found


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    with reported(module, "The machines cannot be listed"):
        vms = gather(machines_of(module).client, module.params)
    module.exit_json(changed=False, vms=vms)


if __name__ == "__main__":
    main()
