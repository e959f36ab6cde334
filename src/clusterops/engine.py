# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine of the host: found, or installed from the distribution and started."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clusterops.errors import ClusterOpsError
from clusterops.processes import install_packages, may_install_packages, run

START_TIMEOUT_S = 60.0
DEFAULT_HOST = "unix:///var/run/docker.sock"
LOG = Path("/var/log/dockerd.log")

Progress = Callable[[str], None]


def connect(timeout_s: int = 60) -> Any:
    """A docker SDK client of an engine that answers, honouring DOCKER_HOST and contexts.

    Raises:
        ClusterOpsError: no engine answers.
    """
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=timeout_s)
        client.ping()
    except (DockerException, OSError) as error:  # requests raises its own OSErrors
        raise ClusterOpsError(
            "no container engine answers on this machine", remedy=_remedy()
        ) from error
    return client


def ensure_engine(progress: Progress) -> Any:
    """A client of the engine; installs and starts one where this process may.

    Raises:
        ClusterOpsError: there is none and it may not be installed or does not start.
    """
    try:
        return connect()
    except ClusterOpsError:
        if not _may_start():
            raise
    if not shutil.which("dockerd"):
        progress("Installing the container engine (docker.io)")
        install_packages("docker.io", "iptables")
    progress("Starting the container engine")
    _start()
    return _wait()


def _may_start() -> bool:
    """Whether this process can make an engine answer where :func:`connect` looks for one."""
    elsewhere = os.environ.get("DOCKER_HOST", DEFAULT_HOST) != DEFAULT_HOST
    if platform.system() != "Linux" or elsewhere or os.geteuid() != 0:
        return False
    return shutil.which("dockerd") is not None or may_install_packages()


def _start() -> None:
    if Path("/run/systemd/system").is_dir():
        run(["systemctl", "start", "docker"], timeout_s=START_TIMEOUT_S)
        return
    # No systemd: the engine is started directly and outlives this process, as a service would.
    with LOG.open("ab") as log:
        subprocess.Popen(
            ["dockerd"],  # noqa: S607
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait() -> Any:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return connect()
        except ClusterOpsError as error:
            if time.monotonic() > deadline:
                raise ClusterOpsError(
                    f"the container engine did not answer within {START_TIMEOUT_S:g} s",
                    remedy=f"see {LOG} or journalctl -u docker",
                ) from error
            time.sleep(0.3)


def _remedy() -> str:
    if os.environ.get("DOCKER_HOST"):
        return "DOCKER_HOST is set; is that the engine that you mean?"
    if platform.system() == "Linux" and shutil.which("dockerd") and os.geteuid() != 0:
        return "start it, and join the group docker to use it (usermod -aG docker USER)"
    if platform.system() == "Darwin":
        return "install and start Docker Desktop, OrbStack or Colima"
    if platform.system() == "Linux" and shutil.which("apt-get"):
        return "apt install docker.io, or run this command as root and it is done for you"
    return "install Docker Engine and start it"
