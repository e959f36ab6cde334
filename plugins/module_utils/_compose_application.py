# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One application on a machine, run by Compose from the folder of a release.

A release is ready when its readiness path answers 200. ``release.json`` in its folder says where
that is, so that a release from before can be started again without being described again.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.request

from ._commands import CommandFailed, Commands, PlainCommands
from ._releases import AUTHORITY, InvalidEnvironment, Releases, environment_file

FACTS = "release.json"
OVERLAY = "overlay.yml"
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

    def __init__(
        self, commands: Commands | PlainCommands, releases: Releases, name: str, timeout_s: float
    ) -> None:
        self._commands = commands
        self.releases = releases
        self.name = name
        self._timeout_s = timeout_s

    def ready_url(self, release: str) -> str:
        """Where the release says that it can serve; the release knows, as it may be an old one."""
        try:
            facts = json.loads(self.releases.read(release, FACTS))
        except (OSError, ValueError):  # of a version that did not write them
            facts = {}
        return f"http://127.0.0.1:{facts.get('port', 5000)}{facts.get('ready_path', '/ready')}"

    def compose(self, release: str, *arguments: str) -> str:
        """Run Compose on the files of a release; returns what it printed.

        Raises:
            CommandFailed: Compose failed.
        """
        folder = self.releases.path(release)
        overlay = os.path.join(folder, OVERLAY)
        _code, stdout, _stderr = self._commands.run(
            "docker",
            "compose",
            f"--project-name={self.name}",
            f"--project-directory={folder}",
            f"--file={folder}/compose.yml",
            *([f"--file={overlay}"] if os.path.exists(overlay) else []),
            *arguments,
        )
        return stdout

    def containers(self, *filters: str) -> list[str]:
        """The running containers of the application, of whichever release.

        Raises:
            CommandFailed: the engine cannot be asked.
        """
        _code, stdout, _stderr = self._commands.run(
            "docker",
            "ps",
            "--quiet",
            f"--filter=label=com.docker.compose.project={self.name}",
            *filters,
        )
        return stdout.split()

    def stop_containers(self) -> None:
        """Stop whatever of the application still runs; each gets its own grace period.

        Raises:
            CommandFailed: a container cannot be stopped.
        """
        running = self.containers()
        if running:
            self._commands.run("docker", "stop", *running)

    def runs(self, release: str) -> bool:
        """Whether this release, and no other, runs and is ready.

        Raises:
            CommandFailed: the engine cannot be asked.
        """
        folder = self.releases.path(release)
        of_release = f"--filter=label=com.docker.compose.project.working_dir={folder}"
        return bool(self.containers(of_release)) and answers_ready(self.ready_url(release))

    def start(self, release: str) -> float:
        """Start a release and wait; returns the seconds until it was ready.

        Raises:
            CommandFailed: it cannot be started, or was not ready in time.
        """
        self.compose(release, "up", "--detach", "--remove-orphans", "--quiet-pull")
        return wait_ready(self.ready_url(release), self._timeout_s)

    def stop(self) -> None:
        """Stop the current release, and what of others still runs.

        Raises:
            CommandFailed: something cannot be stopped.
        """
        current = self.releases.current()
        if current:
            self.compose(current, "stop")
        self.stop_containers()  # of a release that never became the current one

    def has_image(self, image: str | None) -> bool:
        """Whether the image is here; an application without one needs none."""
        if not image:
            return True
        code, _out, _err = self._commands.run("docker", "image", "inspect", image, check=False)
        return code == 0

    def pull(self, image: str | None) -> float:
        """Pull the image by digest unless it is here; returns the seconds it took.

        Raises:
            CommandFailed: the image cannot be pulled.
        """
        started = time.monotonic()
        if not self.has_image(image):
            self._commands.run("docker", "pull", "--quiet", image)
        return time.monotonic() - started

    def remove_images(self, like: str | None, kept: set[str]) -> list[str]:
        """Remove the images of applications in the registry of ``like`` that are not kept.

        Raises:
            CommandFailed: the images cannot be listed; one that cannot be removed just stays.
        """
        if not like or "/apps/" not in like:
            return []
        _code, stdout, _err = self._commands.run(
            "docker",
            "images",
            "--digests",
            "--format={{.Repository}}@{{.Digest}}",
            f"--filter=reference={like.partition('/apps/')[0]}/apps/*",
        )
        removed = []
        for image in sorted(set(stdout.split()) - kept):
            # One that a container still holds stays until the next time.
            code, _out, _err = self._commands.run("docker", "rmi", image, check=False)
            removed += [image] if code == 0 else []
        return removed


def release_files(params: dict) -> dict[str, str]:
    """The files of a release; Compose reads APP_IMAGE and APP_PORT from the same .env.

    Raises:
        InvalidEnvironment: the environment cannot be written so that Compose reads it back.
    """
    environment = {
        **{key: str(value) for key, value in params["env"].items()},
        "APP_IMAGE": params["image"] or "",
        "APP_PORT": str(params["port"]),
    }
    facts = {key: params[key] for key in ("image", "port", "ready_path")}
    return {
        "compose.yml": params["compose"],
        ".env": environment_file(environment),
        FACTS: json.dumps(facts, sort_keys=True) + "\n",
        **({OVERLAY: params["overlay"]} if params["overlay"] else {}),
        **({AUTHORITY: params["authority"]} if params["authority"] else {}),
    }


def kept_images(applications: list[Application]) -> set[str]:
    """The images of every release that is kept."""
    images = set()
    for app in applications:
        for release in app.releases.kept():
            try:
                images.add(str(json.loads(app.releases.read(release, FACTS)).get("image")))
            except (OSError, ValueError):
                continue
    return images


def applications_below(home: str, besides: str = "") -> list[str]:
    """Names of the applications, besides one, that have had a release here."""
    try:
        names = sorted(os.listdir(home))
    except OSError:
        return []
    return [
        name
        for name in names
        if name != besides and os.path.islink(os.path.join(home, name, "current"))
    ]


def runs_alone(app: Application, served: list[Application], params: dict) -> bool:
    """Whether the release of ``params`` is what runs; ``served`` are others that run.

    Raises:
        CommandFailed: the engine cannot be asked.
    """
    release = params["release"]
    return (
        app.releases.current() == release
        and not served
        and app.releases.matches(release, release_files(params))
        and app.runs(release)
    )


def look(arguments: dict) -> dict:
    """Whether the module application_release would find the release running as it is given."""
    params = {"env": {}, "overlay": "", "authority": "", "port": 5000, "image": None, **arguments}
    params = {"ready_path": "/ready", "home": "/opt/apps", "state": "started", **params}
    commands = PlainCommands()

    def application(name: str) -> Application:
        return Application(commands, Releases(os.path.join(params["home"], name)), name, 0)

    try:
        if params["state"] != "started":
            return {}
        app = application(params["name"])
        names = applications_below(params["home"], besides=app.name)
        served = [other for other in map(application, names) if other.containers()]
        params["port"] = int(params["port"])
        return {"release": params["release"]} if runs_alone(app, served, params) else {}
    except (CommandFailed, InvalidEnvironment, OSError, KeyError, TypeError, ValueError):
        return {}


def go_back(app: Application, served: list[Application], release: str, error: Exception) -> str:
    """Have what served before a failed start serve again; returns what happened, in words."""
    previous = app.releases.current()
    again = [(other, other.releases.current()) for other in served]
    if not again and previous and previous != release:
        again = [(app, previous)]
    failures = []
    if served or not previous:
        try:
            app.stop_containers()
        except CommandFailed as second:
            failures.append(f"{app.name} {second}")
    for one, before in again:
        try:
            if before:
                one.start(before)
        except CommandFailed as second:
            failures.append(f"{before} {second}")
    if failures:
        return f"release {release} {error}; going back failed, too: {', '.join(failures)}"
    names = ", ".join(before if one is app else f"{one.name} {before}" for one, before in again)
    return f"release {release} {error}" + (f"; {names} serves again" if names else "")
