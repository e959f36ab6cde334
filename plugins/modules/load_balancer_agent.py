#!/usr/bin/python
# Copyright (c) Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: an agent in the load balancer's pool."""

from __future__ import annotations

DOCUMENTATION = r"""
module: load_balancer_agent
short_description: An agent in the load balancer's pool
version_added: 0.1.0
description:
  - Puts an agent into service, drains it, or removes it from the pool of the role
    P(clusterops.playground.load_balancer#role). Nothing is reloaded and no request is lost.
  - Runs on the node of the load balancer.
author:
  - Cluster Operations Playground (@clusterops)
options:
  name:
    description: Name of the agent.
    type: str
    required: true
  address:
    description:
      - IPv4 address and port of its application, such as V(10.0.0.101:5000).
      - Needed for an agent that is not in the pool yet.
    type: str
  state:
    description:
      - V(in_service) gets requests.
      - V(draining) gets no new requests and finishes those it has.
      - V(absent) is not in the pool; requests it still has are finished too.
    type: str
    choices: [in_service, draining, absent]
    default: in_service
  health_path:
    description:
      - Path of the application that the load balancer asks all the time; while it does not answer
        with 2xx or 3xx, the agent is passed over.
      - An empty text turns the checks off. Left out, they stay as they are.
    type: str
  wait_idle:
    description: >-
      With O(state=draining) or O(state=absent), wait until the agent has no request in flight.
    type: bool
    default: false
  timeout_s:
    description:
      - Longest wait of O(wait_idle), in seconds.
      - Requests that are still in flight then are a warning and RV(idle) is false; the task does
        not fail.
    type: float
    default: 30
  admin_port:
    description: Port of the load balancer's administration on 127.0.0.1.
    type: int
    default: 8081
attributes:
  check_mode:
    description: Reports what would change and changes nothing.
    support: full
  diff_mode:
    description: Shows the agent's entry before and after.
    support: full
"""

EXAMPLES = r"""
- name: Put an agent into service
  clusterops.playground.load_balancer_agent:
    name: agent-2
    address: 10.77.0.102:5000
    health_path: /ready
    state: in_service

- name: Take an agent out without losing a request
  clusterops.playground.load_balancer_agent:
    name: agent-2
    state: draining
    wait_idle: true
    timeout_s: 30

- name: Remove an agent
  clusterops.playground.load_balancer_agent:
    name: agent-2
    state: absent
"""

RETURN = r"""
agent:
  description: The agent's entry; null when it is not in the pool.
  returned: success
  type: dict
  sample: {"name": "agent-2", "address": "10.77.0.102:5000", "state": "draining", "in_flight": 0}
drained_s:
  description: Seconds waited for the agent to become idle.
  returned: success
  type: float
  sample: 0.4
idle:
  description: Whether the agent had no request in flight at the end.
  returned: success
  type: bool
  sample: true
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._load_balancer import (
    Client,
    LoadBalancerError,
    Wanted,
    apply,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "address": {"type": "str"},
            "health_path": {"type": "str"},
            "state": {
                "type": "str",
                "choices": ["in_service", "draining", "absent"],
                "default": "in_service",
            },
            "wait_idle": {"type": "bool", "default": False},
            "timeout_s": {"type": "float", "default": 30},
            "admin_port": {"type": "int", "default": 8081},
        },
        supports_check_mode=True,
    )
    params = dict(module.params)
    client = Client(params.pop("admin_port"))
    wanted = Wanted(**params)
    try:
        outcome = apply(
            client, wanted, check_mode=module.check_mode, clock=time.monotonic, sleep=time.sleep
        )
    except LoadBalancerError as exc:
        module.fail_json(msg=str(exc))
    if wanted.wait_idle and not outcome.idle and not module.check_mode:
        module.warn(
            f"Agent {wanted.name} still has {outcome.agent['in_flight']} requests in flight after "
            f"{outcome.drained_s:g} s."
        )
    module.exit_json(
        changed=outcome.changed,
        agent=outcome.agent,
        drained_s=outcome.drained_s,
        idle=outcome.idle,
        diff={"before": outcome.before, "after": outcome.agent or {}},
    )


if __name__ == "__main__":
    main()
