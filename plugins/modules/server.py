#!/usr/bin/python
# Copyright: Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: server
short_description: Machine of a cluster, through the Server Manager API
version_added: "0.1.0"
description:
  - Creates, starts, stops and deletes a machine of a playground cluster.
  - It asks the Server Manager, which alone talks to the provider of machines. What a machine is
    like (CPUs, memory, ports) is the Server Manager's business, out of C(cluster.yml).
author:
  - Cluster Operations Playground contributors (@clusterops)
options:
  name:
    description:
      - Name of the machine, V(control-1) or V(agent-N).
    type: str
    required: true
  state:
    description:
      - V(present) makes sure that the machine exists; a new one is powered off.
      - V(started) makes sure that it exists and runs.
      - V(stopped) makes sure that it does not run. Nothing is done if it does not exist.
      - V(absent) removes the machine with its disks.
    type: str
    choices: [present, started, stopped, absent]
    default: started
  api_url:
    description:
      - Address of the Server Manager, such as V(http://127.0.0.1:3000).
    type: str
    required: true
  api_token_file:
    description:
      - File on the machine where this module runs that holds the Server Manager's token.
    type: path
    required: true
  api_ca_file:
    description:
      - With https, the certificate of the authority that the Server Manager has to prove itself
        to; the cluster's own.
    type: path
  timeout_s:
    description:
      - Longest time to wait for one answer of the Server Manager, in seconds.
    type: float
    default: 200
attributes:
  check_mode:
    description: Predicts what would change, without changing anything.
    support: full
  diff_mode:
    description: Shows the state of the machine before and after.
    support: full
seealso:
  - plugin: clusterops.playground.server_manager
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Power on an agent
  clusterops.playground.server:
    name: agent-2
    state: started
    api_url: "{{ server_manager_url }}"
    api_token_file: "{{ server_manager_token_file }}"
  delegate_to: localhost

- name: Remove an agent
  clusterops.playground.server:
    name: agent-2
    state: absent
    api_url: "{{ server_manager_url }}"
    api_token_file: "{{ server_manager_token_file }}"
  delegate_to: localhost
"""

RETURN = r"""
server:
  description:
    - The machine as it is afterwards.
    - In check mode, as it would be. A machine that does not exist has a name and the state
      V(absent) only.
  returned: success
  type: dict
  sample:
    name: agent-2
    role: agent
    state: running
    provider: docker
    address: 172.29.4.102
    ports:
      ssh: 2225
      app: 5002
      metrics: 5102
    cpus: 0.5
    memory_mb: 768
    created_at: "2025-01-01T12:00:00Z"
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._server_manager import (
    ServerManagerClient,
    ServerManagerError,
    read_token,
)

ON = ("running", "starting")
OFF = ("stopped",)


def plan(state: str, found: str) -> list[str]:
    """Calls that take a machine from the state it was found in to the wanted one."""
    if state == "absent":
        return [] if found == "absent" else ["delete"]
    if state == "stopped":
        return [] if found == "absent" or found in OFF else ["off"]
    calls = ["create"] if found == "absent" else []
    if state == "started" and found != "running":
        calls.append("on")
    return calls


def predict(state: str, server: dict[str, t.Any]) -> dict[str, t.Any]:
    """What a machine will be like, for check mode."""
    if state == "absent":
        return {"name": server["name"], "state": "absent"}
    future = {"started": "running", "stopped": "stopped"}.get(state, server["state"])
    if server["state"] == "absent":
        future = {"started": "running", "present": "stopped"}.get(state, "absent")
    return dict(server, state=future)


def ensure(
    client: t.Any, name: str, state: str, check_mode: bool
) -> tuple[bool, dict[str, t.Any], dict[str, t.Any]]:
    """Bring a machine into a state: (changed, before, after)."""
    before = client.get(name) or {"name": name, "state": "absent"}
    calls = plan(state, before["state"])
    if not calls:
        return False, before, before
    if check_mode:
        return True, before, predict(state, before)
    for call in calls:
        if call == "create":
            client.create(name)
        elif call == "delete":
            client.delete(name)
        else:
            client.power(name, call)
    return True, before, client.get(name) or {"name": name, "state": "absent"}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "started", "stopped", "absent"],
                "default": "started",
            },
            "api_url": {"type": "str", "required": True},
            # The path of a file is no secret.
            "api_token_file": {"type": "path", "required": True, "no_log": False},
            "api_ca_file": {"type": "path"},
            "timeout_s": {"type": "float", "default": 200},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        client = ServerManagerClient(
            options["api_url"],
            read_token(options["api_token_file"]),
            options["timeout_s"],
            options["api_ca_file"],
        )
        changed, before, after = ensure(
            client, options["name"], options["state"], module.check_mode
        )
    except ServerManagerError as error:
        module.fail_json(msg=f"{options['name']}: {error}")
    module.exit_json(
        changed=changed,
        server=after,
        diff={"before": {"state": before["state"]}, "after": {"state": after["state"]}},
    )


if __name__ == "__main__":
    main()
