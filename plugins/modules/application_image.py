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
  - An image that the registry already has is never built again.
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
    description: Address of the registry, C(HOST:PORT), reached without TLS.
    type: str
    required: true
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

import http.client
import os
import tarfile
import tempfile
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._archives import (
    UnsafeArchive,
    extract,
)
from ansible_collections.clusterops.playground.plugins.module_utils._commands import (
    CommandFailed,
    Commands,
)

MANIFEST_TYPES = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    )
)


def registry_digest(registry: str, repository: str, tag: str, timeout_s: float = 5) -> str | None:
    """Digest of a tag in the registry, or nothing when the registry does not have it.

    Raises:
        CommandFailed: the registry cannot be reached.
    """
    url = f"http://{registry}/v2/{repository}/manifests/{tag}"
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": MANIFEST_TYPES})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            return answer.headers["Docker-Content-Digest"]
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise CommandFailed(f"the registry {registry} answered {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed(f"the registry {registry} cannot be reached: {error}") from error


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
    """Load the base image if it is missing, build, push."""
    base, archive = params["base_image"], params["base_archive"]
    if base and archive:
        code, _out, _err = commands.run("docker", "image", "inspect", base, check=False)
        if code != 0:
            commands.run("docker", "load", "--input", archive)
    with tempfile.TemporaryDirectory(prefix="application-image-") as folder:
        extract(params["archive"], folder)
        commands.run(*build_command(params, folder, image), DOCKER_BUILDKIT="1")
    commands.run("docker", "push", "--quiet", image)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "tag": {"type": "str", "required": True},
            "registry": {"type": "str", "required": True},
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
        digest = registry_digest(params["registry"], repository, params["tag"])
        missing = digest is None
        if missing and not module.check_mode:
            build_and_push(Commands(module), params, tagged)
            digest = registry_digest(params["registry"], repository, params["tag"])
            if digest is None:
                module.fail_json(msg=f"the registry does not have {tagged} after the push")
    except (CommandFailed, UnsafeArchive, OSError, tarfile.TarError) as error:
        module.fail_json(msg=f"image of application {params['name']}: {error}")
    image = f"{params['registry']}/{repository}@{digest}" if digest else ""
    module.exit_json(changed=missing, built=missing and not module.check_mode, image=image)


if __name__ == "__main__":
    main()
