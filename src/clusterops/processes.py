# SPDX-License-Identifier: GPL-3.0-or-later
"""External programs of the host, run without a shell and with a time limit."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

from clusterops.errors import ClusterOpsError, CommandError


def run(
    command: list[str],
    *,
    timeout_s: float = 60,
    remedy: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program and return what it prints.

    Args:
        environment: variables on top of this process's own.

    Raises:
        CommandError: it failed; the message has the command, the exit code and stderr.
        ClusterOpsError: it is not installed, cannot be run, or took too long.
    """
    try:
        result = subprocess.run(  # noqa: S603 - no shell
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            env={**os.environ, **environment} if environment else None,
        )
    except FileNotFoundError as error:
        raise ClusterOpsError(f"'{command[0]}' is not installed", remedy=remedy) from error
    except OSError as error:
        raise ClusterOpsError(
            f"'{command[0]}' cannot be run: {error.strerror}", remedy=remedy
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ClusterOpsError(
            f"'{command[0]}' took longer than {timeout_s:g} s", remedy=remedy
        ) from error
    if result.returncode != 0:
        raise CommandError(command[0], result.returncode, result.stderr, remedy=remedy)
    return result.stdout


def may_install_packages() -> bool:
    """Whether this process may add packages of the distribution (root on Debian or Ubuntu)."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install_packages(*packages: str) -> bool:
    """Install packages of the distribution; False where this process may not.

    Raises:
        ClusterOpsError: apt failed, or took too long.
    """
    if not may_install_packages():
        return False
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], timeout_s=900, environment=environment)
    run(
        ["apt-get", "install", "-yq", "--no-install-recommends", *packages],
        timeout_s=900,
        environment=environment,
        remedy=f"apt-get install {' '.join(packages)} shows the whole story",
    )
    return True
