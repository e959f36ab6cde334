# SPDX-License-Identifier: GPL-3.0-or-later
"""External programs, run without a shell and with a time limit, and ended for certain."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

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


def end_marked(variable: str, value: str) -> int:
    """SIGKILL every process of this user whose ``variable`` is ``value`` or, if that ends with a
    colon, begins with it; returns how many that were. Without /proc (macOS) nothing is found.
    """
    needle = f"{variable}={value}".encode()
    ended = 0
    for _ in range(3):  # what was forked during a scan is found by the next one
        found = [pid for pid in _own_processes() if _has(pid, needle)]
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
                ended += 1
            except OSError:
                continue
        if not found:
            break
        time.sleep(0.05)
    return ended


def _has(pid: int, needle: bytes) -> bool:
    environment = _environment(pid)
    if needle.endswith(b":"):
        return any(entry.startswith(needle) for entry in environment)
    return needle in environment


def _own_processes() -> list[int]:
    own = os.getpid()
    entries = Path("/proc").iterdir() if Path("/proc").is_dir() else ()
    return [int(each.name) for each in entries if each.name.isdigit() and int(each.name) != own]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []  # gone, or another user's
