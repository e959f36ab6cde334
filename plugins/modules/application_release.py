#!/usr/bin/python
# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: application_release
short_description: Run a release of an application with Docker Compose
description:
  - Puts a release in a folder of its own, pulls its image, starts it and waits until it is ready.
  - A release that does not become ready is replaced by the one that served before, also where that
    is a release of another application.
  - Images that belong to no kept release are removed.
version_added: 0.1.0
author:
  - Cluster Operations Playground contributors (@clusterops)
options:
  name:
    description: Name of the application; also of the Compose project.
    type: str
    required: true
  state:
    description:
      - V(started) means that the release, and no other application below O(home), runs and answers
        its readiness path.
      - V(present) means that its files and its image are there; nothing is started or stopped.
      - V(migrated) runs O(migration_service) of the release; what serves is left as it is.
      - V(stopped) means that no release runs; the folders stay.
    type: str
    choices: [started, present, migrated, stopped]
    default: started
  release:
    description: Identity of the release. Required unless O(state=stopped).
    type: str
  image:
    description: Reference of the image by digest, given to Compose as C(APP_IMAGE).
    type: str
  compose:
    description: Text of the Compose file. Required unless O(state=stopped).
    type: str
  overlay:
    description: Text of a second Compose file that adds to O(compose); empty for none.
    type: str
    default: ""
  authority:
    description:
      - Certificate of an authority that the application's processes trust, as the file C(ca.crt) in
        the folder of the release, which O(overlay) can mount. Empty for none.
    type: str
    default: ""
  env:
    description: Environment of the application.
    type: dict
    default: {}
  port:
    description: Port of the agent on which the application answers.
    type: int
    default: 5000
  ready_path:
    description: Path that answers 200 when the application can serve.
    type: str
    default: /ready
  migration_service:
    description:
      - Compose service that brings the database up to date and ends.
      - Required with O(state=migrated).
    type: str
  home:
    description: Folder below which the application's releases are kept.
    type: path
    default: /opt/apps
  timeout_s:
    description: Seconds that the release may take to become ready.
    type: int
    default: 90
attributes:
  check_mode:
    description: Says whether the release would be started or stopped.
    support: full
  diff_mode:
    description: There is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Run the release
  clusterops.playground.application_release:
    name: fibonacci
    release: 3f9c1be02a77-0b1d2e
    image: 172.29.0.10:5001/apps/fibonacci@sha256:8d6f0c0a
    compose: "{{ lookup('ansible.builtin.file', 'compose.yml') }}"
    env:
      LOG_LEVEL: info

- name: Have what a start of the release needs
  clusterops.playground.application_release:
    name: fibonacci
    state: present
    release: 3f9c1be02a77-0b1d2e
    image: 172.29.0.10:5001/apps/fibonacci@sha256:8d6f0c0a
    compose: "{{ lookup('ansible.builtin.file', 'compose.yml') }}"

- name: Bring the database up to date
  clusterops.playground.application_release:
    name: fibonacci
    state: migrated
    release: 3f9c1be02a77-0b1d2e
    image: 172.29.0.10:5001/apps/fibonacci@sha256:8d6f0c0a
    compose: "{{ lookup('ansible.builtin.file', 'compose.yml') }}"
    migration_service: migrate

- name: Stop the application
  clusterops.playground.application_release:
    name: fibonacci
    state: stopped
"""

RETURN = r"""
release:
  description: The release that is current after the run.
  returned: always
  type: str
  sample: 3f9c1be02a77-0b1d2e
previous:
  description: The release that was current before the run.
  returned: always
  type: str
outdated:
  description: Whether the release does not run as given (yet); true only in check mode.
  returned: when O(state=started)
  type: bool
images_removed:
  description: Images that belonged to no kept release any more.
  returned: when a release was started
  type: list
  elements: str
pull_s:
  description: Seconds that pulling the image took.
  returned: when an image was pulled
  type: float
ready_s:
  description: Seconds from the start of the release until it was ready.
  returned: when a release was started
  type: float
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._commands import (
    CommandFailed,
    Commands,
)
from ansible_collections.clusterops.playground.plugins.module_utils._compose_application import (
    Application,
    applications_below,
    go_back,
    kept_images,
    release_files,
    runs_alone,
)
from ansible_collections.clusterops.playground.plugins.module_utils._releases import (
    InvalidEnvironment,
    Releases,
)


def ensure_started(
    app: Application, others: list[Application], params: dict, check_mode: bool
) -> dict:
    """Have ``release`` running, alone; on failure, go back to what served before."""
    release, releases, previous = params["release"], app.releases, app.releases.current()
    files = release_files(params)
    served = [other for other in others if other.containers()]
    result = {"previous": previous or "", "release": release}
    if runs_alone(app, served, params):
        return {"changed": False, "outdated": False, **result}
    if check_mode:
        return {"changed": True, "outdated": True, **result}
    releases.write(release, files)
    result["pull_s"] = round(app.pull(params["image"]), 2)
    try:
        for other in served:
            other.stop()
        result["ready_s"] = round(app.start(release), 2)
    except CommandFailed as error:
        raise CommandFailed(go_back(app, served, release, error)) from error
    releases.switch(release)
    releases.prune()
    result["images_removed"] = app.remove_images(params["image"], kept_images([app, *others]))
    return {"changed": True, "outdated": False, **result}


def ensure_present(app: Application, params: dict, check_mode: bool) -> dict:
    """Have what a start of ``release`` needs, and leave what runs as it is."""
    release, files = params["release"], release_files(params)
    result = {"previous": app.releases.current() or "", "release": release}
    if app.releases.matches(release, files) and app.has_image(params["image"]):
        return {"changed": False, **result}
    if not check_mode:
        app.releases.write(release, files)
        result["pull_s"] = round(app.pull(params["image"]), 2)
    return {"changed": True, **result}


def ensure_migrated(app: Application, params: dict, check_mode: bool) -> dict:
    """Run the migrations of ``release``; that is a change, whatever they found to do."""
    result = ensure_present(app, params, check_mode)
    if not check_mode:
        app.compose(params["release"], "run", "--rm", "--no-deps", params["migration_service"])
    return {**result, "changed": True}


def ensure_stopped(app: Application, check_mode: bool) -> dict:
    """Have nothing of the application running."""
    current = app.releases.current()
    result = {"previous": current or "", "release": current or ""}
    if not app.containers():
        return {"changed": False, **result}
    if not check_mode:
        app.stop()
    return {"changed": True, **result}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["started", "present", "migrated", "stopped"],
                "default": "started",
            },
            "release": {"type": "str"},
            "image": {"type": "str"},
            "compose": {"type": "str"},
            "overlay": {"type": "str", "default": ""},
            "authority": {"type": "str", "default": ""},
            "env": {"type": "dict", "default": {}, "no_log": True},
            "port": {"type": "int", "default": 5000},
            "ready_path": {"type": "str", "default": "/ready"},
            "migration_service": {"type": "str"},
            "home": {"type": "path", "default": "/opt/apps"},
            "timeout_s": {"type": "int", "default": 90},
        },
        required_if=[
            ("state", "started", ("release", "compose")),
            ("state", "present", ("release", "compose")),
            ("state", "migrated", ("release", "compose", "migration_service")),
        ],
        supports_check_mode=True,
    )
    params = module.params
    commands = Commands(module)

    def application(name: str) -> Application:
        releases = Releases(f"{params['home']}/{name}")
        return Application(commands, releases, name, params["timeout_s"])

    app = application(params["name"])
    try:
        if params["state"] == "started":
            names = applications_below(params["home"], besides=app.name)
            others = [application(name) for name in names]
            result = ensure_started(app, others, params, module.check_mode)
        elif params["state"] == "present":
            result = ensure_present(app, params, module.check_mode)
        elif params["state"] == "migrated":
            result = ensure_migrated(app, params, module.check_mode)
        else:
            result = ensure_stopped(app, module.check_mode)
    except (CommandFailed, InvalidEnvironment, OSError) as error:
        module.fail_json(
            msg=f"application {params['name']}: {error}", release=app.releases.current()
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
