# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the logic of virtualbox_vm against a VirtualBox made of values."""

from __future__ import annotations

from typing import Any

from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_actions import (
    Machines,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_module import (
    as_dict,
)
from ansible_collections.clusterops.playground.plugins.modules import virtualbox_vm as module

from tests.unit.plugins.modules.fake_virtualbox import FakeVirtualBox

SSH = {"name": "ssh", "host_port": 2222, "guest_port": 22}
WEB = {"name": "web", "host_port": 8080, "guest_port": 80}


def options(**given: Any) -> dict[str, Any]:
    """The module's options with its defaults, as Ansible would fill them in."""
    spec = module.OPTIONS
    params = {name: option.get("default") for name, option in spec.items()}
    for key, sub in (("nics", module.NIC_OPTIONS), ("nat_forwards", module.FORWARD_OPTIONS)):
        if key in given:
            defaults = {name: option.get("default") for name, option in sub.items()}
            given[key] = [{**defaults, **one} for one in given[key]]
    return {**params, **given}


def run(
    fake: FakeVirtualBox, check: bool = False, busy: tuple[int, ...] = (), **given: Any
) -> tuple[list[str], dict[str, Any]]:
    """Steps and the machine afterwards."""
    machines = Machines(
        fake,  # type: ignore[arg-type]
        sleep=fake.sleep,
        clock=lambda: fake.now,
        why_not_free=lambda rule: (
            "another program listens there" if rule.host_port in busy else None
        ),
    )
    todo, vm = module.ensure(machines, options(**given), check)
    return [step.action for step in todo.steps], as_dict(vm)
