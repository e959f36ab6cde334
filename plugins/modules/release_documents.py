#!/usr/bin/python
# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_documents
short_description: Write down which releases of applications there are, and which one is in force
description:
  - Keeps one document for each release in a folder, and a copy of the one in force. What is in them
    is never shown, because they hold the application's environment.
  - An action plugin asks first; where there is nothing to do, the module is not even started.
version_added: 0.1.0
author:
  - Cluster Operations Playground contributors (@clusterops)
options:
  state:
    description:
      - With V(present), the document of a release is there; what an earlier one said of C(migrated)
        and C(previous) stays.
      - With V(in_force), the release at O(path) is the one in force, and says which one was before;
        documents of the oldest others are removed.
    type: str
    choices: [present, in_force]
    default: present
  folder:
    description: Where the documents are; it belongs to root.
    type: path
    required: true
  group:
    description: Group that may read it and them.
    type: str
    default: root
  document:
    description: The release as JSON text; its C(release) names the file. All of it is a secret, so
      of a dictionary each value would be hidden wherever it stands in the result.
    type: json
  path:
    description: Document of the release that is to be in force.
    type: path
  in_force:
    description: Path of the copy of the one in force.
    type: path
  rolls_back:
    description: The release was in force before; it keeps its own forerunner.
    type: bool
    default: false
  keep:
    description: How many documents stay. The one in force and the one before always do.
    type: int
    default: 5
attributes:
  check_mode:
    description: Says whether something would be written or removed.
    support: full
  diff_mode:
    description: There is no diff, because of what is in the documents.
    support: none
"""

EXAMPLES = r"""
- name: Write a release down
  clusterops.playground.release_documents:
    folder: /etc/clusterops/deployments
    document: "{{ document | to_json }}"
  register: candidate

- name: Put it into force
  clusterops.playground.release_documents:
    state: in_force
    folder: /etc/clusterops/deployments
    path: "{{ candidate.path }}"
    in_force: /etc/clusterops/deployment.json
"""

RETURN = r"""
path:
  description: Path of the document.
  returned: when O(state=present)
  type: str
  sample: /etc/clusterops/deployments/3f9c1be02a77-0b1d2e.json
release:
  description: What is in force, without its values.
  returned: when O(state=in_force)
  type: dict
  sample: {"name": fibonacci, "release": 3f9c1be02a77-0b1d2e, "location": apps/fibonacci}
images:
  description: Images of the releases that are kept.
  returned: when O(state=in_force)
  type: list
  elements: str
  sample: ["172.29.0.10:5001/apps/fibonacci@sha256:8d6f0c0a"]
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._node_files import (
    FileRefused,
    is_as_wanted,
    put,
)
from ansible_collections.clusterops.playground.plugins.module_utils._release_documents import (
    DocumentMissing,
    plan,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "in_force"], "default": "present"},
            "folder": {"type": "path", "required": True},
            "group": {"type": "str", "default": "root"},
            "document": {"type": "json", "no_log": True},
            "path": {"type": "path"},
            "in_force": {"type": "path"},
            "rolls_back": {"type": "bool", "default": False},
            "keep": {"type": "int", "default": 5},
        },
        required_if=[
            ("state", "present", ["document"]),
            ("state", "in_force", ["path", "in_force"]),
        ],
        supports_check_mode=True,
    )
    changed = False
    try:
        wanted = plan(module.params)
        for file in wanted.files:
            if module.check_mode and not os.path.isdir(module.params["folder"]):
                changed = True
            elif not is_as_wanted(file):
                changed = True
                if not module.check_mode:
                    put(file, lambda _file, _temporary: None)
        for path in wanted.removed:
            changed = True
            if not module.check_mode:
                os.unlink(path)
    except (DocumentMissing, FileRefused, OSError, ValueError) as error:
        module.fail_json(msg=str(error), changed=changed)
    except KeyError as error:
        module.fail_json(msg=f"the document of the release has no {error}", changed=changed)
    module.exit_json(changed=changed, **wanted.result)


if __name__ == "__main__":
    main()
