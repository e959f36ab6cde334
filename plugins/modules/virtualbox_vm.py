#!/usr/bin/python
# Copyright: Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: virtualbox_vm
short_description: Virtual machine of VirtualBox
version_added: "0.1.0"
description:
  - Creates, clones, changes, renames, starts, stops and removes a virtual machine of VirtualBox
    with C(VBoxManage), as the user that the module runs as.
  - A machine is found by its name in whichever group it is. VirtualBox allows several machines
    with one name; the module never makes a second one, and refuses to choose between two.
  - What VirtualBox takes silently and then does differently is refused, such as the host port
    70000, a host port that another machine's forward has, or one that is busy when a machine is
    about to be started.
  - A run that was cut off is repaired by the next one. A clone has the name
    C(NAME.cloning-XXXXXXXX) until its settings are right.
author:
  - Cluster Operations Playground contributors (@clusterops)
extends_documentation_fragment:
  - clusterops.playground.virtualbox
options:
  name:
    description:
      - Name of the machine. With O(uuid) it is the name that the machine is to have.
      - It is taken as it is, whatever it begins with; it must not have a V(/), be a UUID, or have
        more than 200 bytes.
    type: str
  uuid:
    description:
      - UUID of an existing machine, where the name is ambiguous or is to be changed.
    type: str
  rename_to:
    description:
      - New name for the machine O(name). Nothing is done if it has that name already.
    type: str
  state:
    description:
      - V(present) makes sure that the machine exists with these settings; its power stays as it
        is, and a new one is powered off.
      - V(started) makes sure that it runs without a window. A paused one is resumed, a saved one
        continues.
      - V(stopped) makes sure that it exists and does not run. A saved state is kept.
      - V(paused) and V(saved) need a machine that runs.
      - V(reset) resets a running machine like its reset button; this is always a change.
      - V(absent) removes the machine with its disks, snapshots and saved state. One that runs is
        removed with O(force=true) only. Linked clones of it must be removed before.
      - An entry of VirtualBox whose settings file is lost is removed by V(absent) with its
        O(uuid), without touching any disk.
    type: str
    choices: [present, absent, started, stopped, paused, saved, reset]
    default: present
  cpus:
    description: Number of CPUs.
    type: int
  cpu_cap_percent:
    description: How much of each of its CPUs the machine may use, also while it runs.
    type: int
  memory_mb:
    description: Memory in MB.
    type: int
  groups:
    description:
      - Groups, each a path such as V(/playground/agents); these and no others.
      - An empty list takes it out of all groups. A clone without this option is in none.
    type: list
    elements: str
  description:
    description: Description of the machine, which may have several lines.
    type: str
  os_type:
    description:
      - Type of the guest, an id or description out of C(VBoxManage list ostypes).
      - A new machine has V(Other_64) by default.
    type: str
  nics:
    description:
      - Network adapters. One that is not listed stays as it is.
      - A running machine's adapter can only be attached to something else.
    type: list
    elements: dict
    suboptions:
      number:
        description: Number of the adapter, from 1.
        type: int
        required: true
      attachment:
        description:
          - What the adapter is attached to. V(null) is an adapter without a cable, V(none) is no
            adapter.
        type: str
        required: true
        choices:
          - nat
          - "null"
          - none
          - bridged
          - intnet
          - hostonly
          - hostonlynetwork
          - natnetwork
          - generic
      network:
        description:
          - Name of the network, interface or driver. Needed unless O(nics[].attachment) is V(nat),
            V(null) or V(none).
        type: str
      mac:
        description: MAC address; VirtualBox chooses one by default.
        type: str
  nat_forwards:
    description:
      - Ports of the host that lead into the machine; these and no others, also while it runs.
      - An empty list removes all. A clone without this option has none.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the forward, without commas, percent signs and leading dashes.
        type: str
        required: true
      protocol:
        description: Protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      host_ip:
        description: Address of the host that listens; all of them when it is empty.
        type: str
        default: 127.0.0.1
      host_port:
        description: Port of the host, 1 to 65535.
        type: int
        required: true
      guest_ip:
        description: Address of the guest; the one that VirtualBox gave it when it is empty.
        type: str
        default: ""
      guest_port:
        description: Port of the guest, 1 to 65535.
        type: int
        required: true
      nic:
        description: Number of the adapter, which is attached to NAT.
        type: int
        default: 1
  clone_from:
    description:
      - Name or UUID of the machine that a new one is cloned from. Ignored if the machine exists.
      - What this module does not set is the original's, MAC addresses excepted. A clone is powered
        off first, even of a snapshot of a running machine.
    type: str
  clone_snapshot:
    description:
      - Name or UUID of the original's snapshot to clone.
      - By default the current snapshot for a linked clone, the present state for a full one.
    type: str
  clone_mode:
    description:
      - V(linked) shares the original's disks and is made in an instant, V(full) copies them.
    type: str
    choices: [linked, full]
    default: linked
  stop_grace_s:
    description:
      - How long to wait after the power button was pressed before the machine is powered off, in
        seconds.
    type: float
    default: 60
  force:
    description:
      - Powers the machine off at once instead of pressing the power button.
      - Allows V(absent) for a machine that runs, and gives up a saved state where a change needs
        that.
    type: bool
    default: false
  restart:
    description:
      - Stops a running machine, changes it and starts it again where a setting cannot be changed
        while it runs. Otherwise that is an error which names the settings.
    type: bool
    default: false
attributes:
  check_mode:
    description: Makes the same plan as a real run, and says what it would do.
    support: full
  diff_mode:
    description: Shows the state and settings of the machine before and after.
    support: full
seealso:
  - module: clusterops.playground.virtualbox_vm_info
  - module: clusterops.playground.virtualbox_snapshot
"""

EXAMPLES = r"""
- name: Run an agent, cloned from a template in an instant
  clusterops.playground.virtualbox_vm:
    name: agent-2
    state: started
    clone_from: template
    groups: [/playground]
    cpus: 1
    memory_mb: 768
    nat_forwards:
      - {name: ssh, host_port: 2225, guest_port: 22}
      - {name: app, host_port: 5002, guest_port: 5000}

- name: Give it half of a CPU while it runs
  clusterops.playground.virtualbox_vm:
    name: agent-2
    cpu_cap_percent: 50

- name: Give it more memory, which it has to be stopped for
  clusterops.playground.virtualbox_vm:
    name: agent-2
    memory_mb: 1024
    restart: true

- name: Shut it down, and power it off if it still runs after half a minute
  clusterops.playground.virtualbox_vm:
    name: agent-2
    state: stopped
    stop_grace_s: 30

- name: Rename one of two machines of the same name
  clusterops.playground.virtualbox_vm:
    uuid: 51c24859-f7cf-4af1-8c90-ddb20c4f23fc
    name: gandalf-old

- name: Remove it with its disks, running or not
  clusterops.playground.virtualbox_vm:
    name: agent-2
    state: absent
    force: true
"""

RETURN = r"""
vm:
  description:
    - The machine as it is afterwards, in check mode as it would be.
    - A machine that does not exist has the state V(absent) only. In check mode, a machine that
      would be created has no UUID, and what VirtualBox would choose is null.
  returned: success
  type: dict
  sample:
    uuid: 51c24859-f7cf-4af1-8c90-ddb20c4f23fc
    name: agent-2
    state: running
    accessible: true
    groups: [/playground]
    cpus: 1
    cpu_cap_percent: 100
    memory_mb: 768
    os_type: Debian (64-bit)
    description: ""
    config_file: /home/user/VirtualBox VMs/playground/agent-2/agent-2.vbox
    state_since: "2025-01-01T12:00:00Z"
    nics:
      - number: 1
        attachment: nat
        network: ""
        mac: 0800276B647F
        adapter_type: 82540EM
        cable_connected: true
    forwards:
      - name: ssh
        protocol: tcp
        host_ip: 127.0.0.1
        host_port: 2225
        guest_ip: ""
        guest_port: 22
        nic: 1
    snapshots:
      - uuid: 1b3652d9-1422-485f-b7dc-b41b1d7d19e5
        name: base
        description: ""
        parent: null
        current: true
steps:
  description: What was done, in check mode what would be done, in this order.
  returned: success
  type: list
  elements: str
  sample: [clone, start]
error:
  description: The kind of error, such as V(NotFound), V(Locked) or V(DriverMissing).
  returned: failure
  type: str
  sample: AmbiguousName
remedy:
  description: What to do about the error; the message ends with it too.
  returned: failure
  type: str
  sample: "Names are not unique in VirtualBox: use the UUID."
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_ensure import (
    ensure,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_module import (
    CLIENT_OPTIONS,
    as_dict,
    machines_of,
    reported,
    settings,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_plan import (
    STATES,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_settings import (
    ATTACHMENTS,
)

NIC_OPTIONS = {
    "number": {"type": "int", "required": True},
    "attachment": {"type": "str", "required": True, "choices": list(ATTACHMENTS)},
    "network": {"type": "str"},
    "mac": {"type": "str"},
}
FORWARD_OPTIONS = {
    "name": {"type": "str", "required": True},
    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
    "host_ip": {"type": "str", "default": "127.0.0.1"},
    "host_port": {"type": "int", "required": True},
    "guest_ip": {"type": "str", "default": ""},
    "guest_port": {"type": "int", "required": True},
    "nic": {"type": "int", "default": 1},
}
OPTIONS = {
    "name": {"type": "str"},
    "uuid": {"type": "str"},
    "rename_to": {"type": "str"},
    "state": {"type": "str", "choices": list(STATES), "default": "present"},
    "cpus": {"type": "int"},
    "cpu_cap_percent": {"type": "int"},
    "memory_mb": {"type": "int"},
    "groups": {"type": "list", "elements": "str"},
    "description": {"type": "str"},
    "os_type": {"type": "str"},
    "nics": {"type": "list", "elements": "dict", "options": NIC_OPTIONS},
    "nat_forwards": {"type": "list", "elements": "dict", "options": FORWARD_OPTIONS},
    "clone_from": {"type": "str"},
    "clone_snapshot": {"type": "str"},
    "clone_mode": {"type": "str", "choices": ["linked", "full"], "default": "linked"},
    "stop_grace_s": {"type": "float", "default": 60},
    "force": {"type": "bool", "default": False},
    "restart": {"type": "bool", "default": False},
    **CLIENT_OPTIONS,
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=OPTIONS,
        required_one_of=[("name", "uuid")],
        required_by={"rename_to": "name", "clone_snapshot": "clone_from"},
        mutually_exclusive=[("uuid", "rename_to"), ("uuid", "clone_from")],
        supports_check_mode=True,
    )
    params = module.params
    with reported(module, params["name"] or params["uuid"]):
        todo, vm = ensure(machines_of(module), params, module.check_mode)
    module.exit_json(
        changed=bool(todo.steps),
        vm=as_dict(vm),
        steps=[step.action for step in todo.steps],
        diff={"before": settings(todo.before), "after": settings(vm)},
    )


if __name__ == "__main__":
    main()
