#!/usr/bin/python
# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Have packages installed on a system that the roles support
description:
  - Looks with dpkg-query, which takes milliseconds; apt runs only where something is missing, after
    an update of its lists.
  - No service is started by its installation.
  - Refuses a system that is neither Debian 12 or 13 nor Ubuntu 22.04 or 24.04.
version_added: 0.1.0
author:
  - Cluster Operations Playground contributors (@clusterops)
options:
  names:
    description: Real package names; virtual ones never count as installed.
    type: list
    elements: str
    required: true
  elsewhere:
    description: What some systems have instead of O(names), by C(ID-VERSION_ID) of os-release(5).
    type: dict
    default: {}
  refused:
    description: Systems that are refused nevertheless, by C(ID-VERSION_ID), with the reason.
    type: dict
    default: {}
  paths:
    description: Paths to look for as well, because a task for that alone would cost a second.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Says which packages would be installed; needs no package lists.
    support: full
  diff_mode:
    description: There is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Install the engine
  clusterops.playground.packages:
    names: [docker.io, docker-cli, docker-compose]
    elsewhere:
      ubuntu-24.04: [docker.io, docker-compose-v2]
  register: engine
"""

RETURN = r"""
system:
  description: C(ID-VERSION_ID) of the node's os-release(5).
  returned: success
  type: str
  sample: debian-13
installed:
  description: Packages that were, or in check mode would be, installed.
  returned: success
  type: list
  elements: str
found:
  description: Those of O(paths) that exist.
  returned: success
  type: list
  elements: str
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._commands import (
    CommandFailed,
    Commands,
)
from ansible_collections.clusterops.playground.plugins.module_utils._packages import (
    INSTALL,
    NO_SERVICES,
    OS_RELEASE,
    POLICY,
    REPAIR,
    UPDATE,
    UnsupportedSystem,
    content_of,
    survey,
)

TRIES = 5
"""Of the update: at boot the system's own one may hold the lock."""


def update(commands: Commands) -> None:
    """Fetch the package lists.

    Raises:
        CommandFailed: it did not work for about half a minute.
    """
    attempt = 1
    while True:
        try:
            commands.run(*UPDATE, DEBIAN_FRONTEND="noninteractive")
            return
        except CommandFailed:
            if attempt == TRIES:
                raise
        time.sleep(2**attempt)
        attempt += 1


def install(commands: Commands, missing: list[str]) -> None:
    """Install packages, with no service started.

    Raises:
        CommandFailed: apt or dpkg refused.
    """
    own_policy = not os.path.exists(POLICY)
    if own_policy:
        with open(POLICY, "w", encoding="utf-8") as file:
            file.write(NO_SERVICES)
        os.chmod(POLICY, 0o755)  # noqa: S103 - a program for everybody
    try:
        commands.run(*REPAIR, DEBIAN_FRONTEND="noninteractive")
        update(commands)
        commands.run(*INSTALL, *missing, DEBIAN_FRONTEND="noninteractive")
    finally:
        if own_policy:
            os.unlink(POLICY)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "elsewhere": {"type": "dict", "default": {}},
            "refused": {"type": "dict", "default": {}},
            "paths": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    commands = Commands(module)
    try:
        system, missing = survey(
            module.params,
            content_of(OS_RELEASE),
            lambda command: commands.run(*command, check=False)[1],
        )
        if not module.check_mode:
            if content_of(POLICY) == NO_SERVICES:
                os.unlink(POLICY)  # a run was cut off
            if missing:
                install(commands, missing)
    except (CommandFailed, UnsupportedSystem, OSError) as error:
        module.fail_json(msg=str(error))
    found = [path for path in module.params["paths"] if os.path.exists(path)]
    module.exit_json(changed=bool(missing), system=system, installed=missing, found=found)


if __name__ == "__main__":
    main()
