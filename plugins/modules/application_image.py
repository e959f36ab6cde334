#!/usr/bin/python
# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: application_image
short_description: Build an application's image once and push it to the cluster's registry
description:
  - Builds the image of an application from an archive of its source with the local container
    engine, and pushes it to a registry under a tag made from its content.
  - An image that the registry already has is never built again. One that was pushed does not stay
    on the managed node; the layers of its build do, up to 4 GB of them.
version_added: 0.1.0
author:
  - Cluster Operations Playground contributors (@clusterops)
options:
  name:
    description: Name of the application; the image is C(apps/NAME).
    type: str
    required: true
  tag:
    description: Tag of the image; the same content must always have the same tag.
    type: str
    required: true
  registry:
    description: Address of the registry, C(HOST:PORT).
    type: str
    required: true
  authority:
    description:
      - File on the managed node with the certificate of the authority that has signed the
        registry's certificate. Without it the registry is reached without TLS.
    type: path
  archive:
    description: Path of a tar archive of the source on the managed node.
    type: path
    required: true
  context:
    description: Build context inside the archive.
    type: str
    default: .
  dockerfile:
    description: Dockerfile inside the archive.
    type: str
    default: Dockerfile
  build_args:
    description: Build arguments.
    type: dict
    default: {}
  base_image:
    description: Image to load from O(base_archive) before the build.
    type: str
  base_archive:
    description: Path of an archive made by C(docker save) that holds O(base_image).
    type: path
  build_secrets:
    description:
      - Files that the build may read but that never become part of the image, as secret id to path.
      - A file that does not exist is left out.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Says whether the image would be built.
    support: full
  diff_mode:
    description: There is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Build the application once
  clusterops.playground.application_image:
    name: fibonacci
    tag: 3f9c1be02a77
    registry: 172.29.0.10:5001
    archive: /var/lib/clusterops/builds/fibonacci-3f9c1be02a77.tar.gz
"""

RETURN = r"""
image:
  description: Reference of the image by digest; empty in check mode when it would be built.
  returned: success
  type: str
  sample: 172.29.0.10:5001/apps/fibonacci@sha256:8d6f0c0a…
built:
  description: Whether the image was built in this run.
  returned: success
  type: bool
"""

import json
import os
import tarfile
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._archives import (
    UnsafeArchive,
    extract,
)
from ansible_collections.clusterops.playground.plugins.module_utils._commands import (
    CommandFailed,
    Commands,
)
from ansible_collections.clusterops.playground.plugins.module_utils._registry import (
    Registry,
    RegistryError,
)

BUILD_CACHE = "4GB"
"""What ``docker builder prune`` leaves of the layers of earlier builds."""


def archived_image_id(path: str) -> str | None:
    """Id of the image in an archive made by ``docker save``; nothing where it does not tell."""
    try:
        with tarfile.open(path) as archive:
            stream = archive.extractfile("manifest.json")
            config = json.load(stream)[0]["Config"] if stream else ""
    except (KeyError, ValueError, IndexError):
        return None
    return "sha256:" + config.rpartition("/")[2].removesuffix(".json")


def load_base(commands: Commands, image: str, archive: str) -> None:
    """Have the base image as it is in the archive; one of the same name may be an older one."""
    code, stdout, _err = commands.run(
        "docker", "image", "inspect", "--format={{.Id}}", image, check=False
    )
    if code != 0 or stdout.strip() != archived_image_id(archive):
        commands.run("docker", "load", "--input", archive)


def build_command(params: dict, folder: str, image: str) -> list[str]:
    """The build: with the node's own network, so that its name resolution is the node's."""
    command = [
        "docker",
        "build",
        "--network=host",
        "--progress=plain",
        f"--tag={image}",
        f"--file={os.path.join(folder, params['dockerfile'])}",
    ]
    for key, value in sorted(params["build_args"].items()):
        command.append(f"--build-arg={key}={value}")
    for key, path in sorted(params["build_secrets"].items()):
        if os.path.exists(path):
            command.append(f"--secret=id={key},src={path}")
    command.append(os.path.join(folder, params["context"]))
    return command


def build_and_push(commands: Commands, params: dict, image: str) -> None:
    """Build, push, and keep nothing here but the layers that later builds may use again."""
    if params["base_image"] and params["base_archive"]:
        load_base(commands, params["base_image"], params["base_archive"])
    with tempfile.TemporaryDirectory(prefix="application-image-") as folder:
        extract(params["archive"], folder)
        commands.run(*build_command(params, folder, image), DOCKER_BUILDKIT="1")
    commands.run("docker", "push", "--quiet", image)
    commands.run("docker", "rmi", image, check=False)
    commands.run(
        "docker", "builder", "prune", "--force", f"--keep-storage={BUILD_CACHE}", check=False
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "tag": {"type": "str", "required": True},
            "registry": {"type": "str", "required": True},
            "authority": {"type": "path"},
            "archive": {"type": "path", "required": True},
            "context": {"type": "str", "default": "."},
            "dockerfile": {"type": "str", "default": "Dockerfile"},
            "build_args": {"type": "dict", "default": {}},
            "base_image": {"type": "str"},
            "base_archive": {"type": "path"},
            "build_secrets": {"type": "dict", "default": {}, "no_log": False},
        },
        required_together=[("base_image", "base_archive")],
        supports_check_mode=True,
    )
    params = module.params
    repository = f"apps/{params['name']}"
    tagged = f"{params['registry']}/{repository}:{params['tag']}"
    try:
        registry = Registry(params["registry"], params["authority"])
        digest = registry.digest(repository, params["tag"])
        missing = digest is None
        if missing and not module.check_mode:
            build_and_push(Commands(module), params, tagged)
            digest = registry.digest(repository, params["tag"])
            if digest is None:
                module.fail_json(msg=f"the registry does not have {tagged} after the push")
    except (CommandFailed, RegistryError, UnsafeArchive, OSError, tarfile.TarError) as error:
        module.fail_json(msg=f"image of application {params['name']}: {error}")
    image = f"{params['registry']}/{repository}@{digest}" if digest else ""
    module.exit_json(changed=missing, built=missing and not module.check_mode, image=image)


if __name__ == "__main__":
    main()
