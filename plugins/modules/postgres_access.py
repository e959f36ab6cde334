#!/usr/bin/python
# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_access
short_description: Users of PostgreSQL, each with a database of its own
description:
  - Has a user and a database of the same name for each application, and a user that may ask for
    statistics. One question to PostgreSQL tells what is there.
  - Needs nothing but C(psql) on the node, and to be root there. PostgreSQL is given verifiers in
    place of passwords, so that none is ever in its log.
  - An action plugin asks first; where there is nothing to do, the module is not even started.
version_added: 0.1.0
author:
  - Cluster Operations Playground contributors (@clusterops)
options:
  applications:
    description: Those who have a database. Others that are there stay.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the user and of the database.
        type: str
        required: true
      password:
        description: The user's password.
        type: str
        required: true
  monitoring_user:
    description: User that may ask for statistics, and has no password. None if empty.
    type: str
    default: ""
  port:
    description: Port of PostgreSQL, whose socket is used.
    type: int
    default: 5432
attributes:
  check_mode:
    description: Says what would be changed.
    support: full
  diff_mode:
    description: There is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Let the application use PostgreSQL
  clusterops.playground.postgres_access:
    applications:
      - name: fibonacci
        password: "{{ fibonacci_postgres_password }}"
    monitoring_user: prometheus
"""

RETURN = r"""
changes:
  description: What was, or in check mode would be, made or put right.
  returned: success
  type: list
  elements: str
  sample: [user fibonacci, database fibonacci]
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._commands import (
    CommandFailed,
    describe_failure,
)
from ansible_collections.clusterops.playground.plugins.module_utils._postgres_access import (
    STATE,
    AccessRefused,
    psql,
    statements,
)


def run(module: AnsibleModule, sql: str) -> str:
    """What psql prints.

    Raises:
        CommandFailed: PostgreSQL cannot be asked, or refuses.
    """
    command = psql(module.params["port"])
    code, stdout, stderr = module.run_command(command, data=sql)
    if code != 0:
        raise CommandFailed(describe_failure(command[4:], code, "", stderr))
    return stdout


def main() -> None:
    application = {
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
    }
    module = AnsibleModule(
        argument_spec={
            "applications": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": application,
            },
            "monitoring_user": {"type": "str", "default": ""},
            "port": {"type": "int", "default": 5432},
        },
        supports_check_mode=True,
    )
    try:
        wanted = statements(module.params, json.loads(run(module, STATE)))
        if not module.check_mode:
            for _what, sql in wanted:
                run(module, f"{sql};\n")
    except (AccessRefused, CommandFailed) as error:
        module.fail_json(msg=str(error))
    changes = [what for what, _sql in wanted]
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
