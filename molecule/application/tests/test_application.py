# SPDX-License-Identifier: GPL-3.0-or-later
"""An application, built and released on the same node."""

from __future__ import annotations

import json
from typing import Any

from testinfra.host import Host

RUN = "curl -sS --fail --retry 5 --retry-connrefused http://127.0.0.1:{}/"


def _deployment(host: Host, path: str = "/etc/clusterops/deployment.json") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(host.file(path).content_string)
    return document


def test_the_release_serves(host: Host) -> None:
    assert host.check_output(RUN.format(5000)) == "hello"


def test_the_image_comes_from_the_registry_by_digest(host: Host) -> None:
    image = _deployment(host)["image"]
    assert image.startswith("127.0.0.1:5001/apps/greeter@sha256:")
    running = host.check_output("docker ps --format '{{.Image}}' --no-trunc")
    assert running == image


def test_a_release_is_a_folder_and_current_is_a_link(host: Host) -> None:
    release = _deployment(host)["release"]
    assert host.check_output("readlink /opt/apps/greeter/current").endswith(release)
    assert host.file("/opt/apps/greeter/current/.env").mode == 0o600


def test_deployments_are_for_their_group_alone(host: Host) -> None:
    file = host.file("/etc/clusterops/deployment.json")
    assert (file.user, file.group, file.mode) == ("root", "clusterops", 0o640)


def test_it_survives_a_restart_of_the_engine(host: Host) -> None:
    host.check_output("systemctl restart docker")
    assert host.check_output(RUN.format(5000)) == "hello"


def test_other_values(other: Host) -> None:
    assert other.check_output(RUN.format(5055)) == "good day"
    document = _deployment(other, "/srv/deployment.json")
    assert document["image"].startswith("127.0.0.1:5002/apps/greeter@sha256:")
    file = other.file("/srv/deployment.json")
    assert (file.group, file.mode) == ("deployers", 0o640)
    kept = other.check_output("ls /srv/deployments")
    assert kept.split() == [f"{document['release']}.json"]
    assert not other.file("/etc/clusterops/deployment.json").exists
