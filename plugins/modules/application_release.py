#!/usr/bin/python
# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: application_release
short_description: Run a release of an application with Docker Compose
description:
  - Puts a release in a folder of its own, pulls its image, runs its migrations when asked to,
    starts it and waits until it is ready.
  - A release that does not become ready is replaced by the one that served before.
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
      - V(started) means that the release runs and answers its readiness path.
      - V(present) means that its files and its image are there; nothing is started or stopped.
      - V(stopped) means that no release runs; the folders stay.
    type: str
    choices: [started, present, stopped]
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
    description: Compose service that brings the database up to date and ends.
    type: str
  migrate:
    description: Run O(migration_service) before the release starts.
    type: bool
    default: false
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
pull_s:
  description: Seconds that pulling the image took.
  returned: when an image was pulled
  type: float
ready_s:
  description: Seconds from the start of the release until it was ready.
  returned: when a release was started
  type: float
"""

import http.client
import time
import urllib.request

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.clusterops.playground.plugins.module_utils._commands import (
    CommandFailed,
    Commands,
)
from ansible_collections.clusterops.playground.plugins.module_utils._releases import (
    InvalidEnvironment,
    Releases,
    environment_file,
)

POLL_S = 0.2


def answers_ready(url: str) -> bool:
    """Whether the application says that it can serve."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=3) as answer:
            return answer.status == 200
    except (OSError, http.client.HTTPException, ValueError):
        return False


def wait_ready(url: str, timeout_s: float) -> float:
    """Seconds until the application was ready.

    Raises:
        CommandFailed: it was not ready in time.
    """
    started = time.monotonic()
    while not answers_ready(url):
        if time.monotonic() - started > timeout_s:
            raise CommandFailed(f"did not answer 200 on {url} within {timeout_s:g} s")
        time.sleep(POLL_S)
    return time.monotonic() - started


class Application:
    """One application on this machine, run by Compose from the folder of a release."""

    def __init__(self, commands: Commands, releases: Releases, params: dict) -> None:
        self._commands = commands
        self._releases = releases
        self._params = params
        self.ready_url = f"http://127.0.0.1:{params['port']}{params['ready_path']}"

    def compose(self, release: str, *arguments: str) -> str:
        folder = self._releases.path(release)
        _code, stdout, _stderr = self._commands.run(
            "docker",
            "compose",
            f"--project-name={self._params['name']}",
            f"--project-directory={folder}",
            f"--file={folder}/compose.yml",
            *arguments,
        )
        return stdout

    def containers(self, *filters: str) -> list[str]:
        _code, stdout, _stderr = self._commands.run(
            "docker",
            "ps",
            "--quiet",
            f"--filter=label=com.docker.compose.project={self._params['name']}",
            *filters,
        )
        return stdout.split()

    def stop_containers(self) -> None:
        """Stop whatever of the application still runs; each gets its own grace period."""
        running = self.containers()
        if running:
            self._commands.run("docker", "stop", *running)

    def runs(self, release: str) -> bool:
        """Whether this release, and no other, runs and is ready."""
        folder = self._releases.path(release)
        of_release = f"--filter=label=com.docker.compose.project.working_dir={folder}"
        return bool(self.containers(of_release)) and answers_ready(self.ready_url)

    def start(self, release: str) -> float:
        """Start a release and wait; returns the seconds until it was ready."""
        self.compose(release, "up", "--detach", "--remove-orphans", "--quiet-pull")
        return wait_ready(self.ready_url, self._params["timeout_s"])

    def has_image(self) -> bool:
        """Whether the image is here; an application without one needs none."""
        image = self._params["image"]
        if not image:
            return True
        code, _out, _err = self._commands.run("docker", "image", "inspect", image, check=False)
        return code == 0

    def pull(self) -> float:
        """Pull the image by digest unless it is here; returns the seconds it took."""
        started = time.monotonic()
        if not self.has_image():
            self._commands.run("docker", "pull", "--quiet", self._params["image"])
        return time.monotonic() - started


def release_files(params: dict) -> dict[str, str]:
    """The files of a release; Compose reads APP_IMAGE and APP_PORT from the same .env."""
    environment = {
        **{key: str(value) for key, value in params["env"].items()},
        "APP_IMAGE": params["image"] or "",
        "APP_PORT": str(params["port"]),
    }
    return {"compose.yml": params["compose"], ".env": environment_file(environment)}


def ensure_started(app: Application, releases: Releases, params: dict, check_mode: bool) -> dict:
    """Have ``release`` running; on failure, go back to the release that served before."""
    release, previous = params["release"], releases.current()
    files = release_files(params)
    result = {"previous": previous or "", "release": release}
    if previous == release and releases.matches(release, files) and app.runs(release):
        return {"changed": False, "outdated": False, **result}
    if check_mode:
        return {"changed": True, "outdated": True, **result}
    releases.write(release, files)
    result["pull_s"] = round(app.pull(), 2)
    if params["migrate"] and params["migration_service"]:
        app.compose(release, "run", "--rm", "--no-deps", params["migration_service"])
    try:
        result["ready_s"] = round(app.start(release), 2)
    except CommandFailed as error:
        if previous and previous != release:
            try:
                app.start(previous)
            except CommandFailed as again:
                raise CommandFailed(
                    f"release {release} {error}; going back failed, too: {previous} {again}"
                ) from error
            raise CommandFailed(f"release {release} {error}; {previous} serves again") from error
        raise CommandFailed(f"release {release} {error}") from error
    releases.switch(release)
    releases.prune()
    return {"changed": True, "outdated": False, **result}


def ensure_present(app: Application, releases: Releases, params: dict, check_mode: bool) -> dict:
    """Have what a start of ``release`` needs, and leave what runs as it is."""
    release, files = params["release"], release_files(params)
    result = {"previous": releases.current() or "", "release": release}
    if releases.matches(release, files) and app.has_image():
        return {"changed": False, **result}
    if not check_mode:
        releases.write(release, files)
        result["pull_s"] = round(app.pull(), 2)
    return {"changed": True, **result}


def ensure_stopped(app: Application, releases: Releases, check_mode: bool) -> dict:
    """Have nothing of the application running."""
    current = releases.current()
    result = {"previous": current or "", "release": current or ""}
    if not app.containers():
        return {"changed": False, **result}
    if not check_mode:
        if current:
            app.compose(current, "stop")
        app.stop_containers()  # of a release that never became the current one
    return {"changed": True, **result}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["started", "present", "stopped"],
                "default": "started",
            },
            "release": {"type": "str"},
            "image": {"type": "str"},
            "compose": {"type": "str"},
            "env": {"type": "dict", "default": {}, "no_log": True},
            "port": {"type": "int", "default": 5000},
            "ready_path": {"type": "str", "default": "/ready"},
            "migration_service": {"type": "str"},
            "migrate": {"type": "bool", "default": False},
            "home": {"type": "path", "default": "/opt/apps"},
            "timeout_s": {"type": "int", "default": 90},
        },
        required_if=[("state", state, ("release", "compose")) for state in ("started", "present")],
        supports_check_mode=True,
    )
    params = module.params
    releases = Releases(f"{params['home']}/{params['name']}")
    app = Application(Commands(module), releases, params)
    try:
        if params["state"] == "started":
            result = ensure_started(app, releases, params, module.check_mode)
        elif params["state"] == "present":
            result = ensure_present(app, releases, params, module.check_mode)
        else:
            result = ensure_stopped(app, releases, module.check_mode)
    except (CommandFailed, InvalidEnvironment, OSError) as error:
        module.fail_json(msg=f"application {params['name']}: {error}", release=releases.current())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
