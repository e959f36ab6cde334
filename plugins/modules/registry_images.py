#!/usr/bin/python
# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_images
short_description: Keep only some images in a container registry
description:
  - Removes from a registry every image below a path that is not named.
  - The registry must allow deletion. The space is free after its garbage has been collected.
version_added: 0.1.0
author:
  - Cluster Operations Playground contributors (@clusterops)
options:
  registry:
    description: Address of the registry, C(HOST:PORT).
    type: str
    required: true
  authority:
    description:
      - File on the managed node with the certificate of the authority that has signed the
        registry's certificate. Without it the registry is reached without TLS.
    type: path
  path:
    description: Only repositories below this path are looked at.
    type: str
    default: apps
  keep:
    description: References by digest, C(HOST:PORT/REPOSITORY@DIGEST), of the images that stay.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: Says which images would be removed.
    support: full
  diff_mode:
    description: There is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Keep the images of the releases that are kept
  clusterops.playground.registry_images:
    registry: 172.29.0.10:5001
    keep:
      - 172.29.0.10:5001/apps/fibonacci@sha256:8d6f0c0a
"""

RETURN = r"""
removed:
  description: The images that were removed.
  returned: success
  type: list
  elements: str
  sample: ["172.29.0.10:5001/apps/fibonacci@sha256:1a2b3c4d"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._registry import (
    Registry,
    RegistryError,
    images,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "registry": {"type": "str", "required": True},
            "authority": {"type": "path"},
            "path": {"type": "str", "default": "apps"},
            "keep": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    removed: list[str] = []
    try:
        registry = Registry(module.params["registry"], module.params["authority"])
        for repository, digest in images(registry, module.params["path"]):
            reference = f"{registry.address}/{repository}@{digest}"
            if reference in module.params["keep"]:
                continue
            if not module.check_mode:
                registry.delete(repository, digest)
            removed.append(reference)
    except RegistryError as error:
        module.fail_json(msg=str(error), removed=removed)
    module.exit_json(changed=bool(removed), removed=removed)


if __name__ == "__main__":
    main()
