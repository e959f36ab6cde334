# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which systems the roles support, and which packages are missing on one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping

SUPPORTED = {
    "debian-12": "Debian 12",
    "debian-13": "Debian 13",
    "ubuntu-22.04": "Ubuntu 22.04",
    "ubuntu-24.04": "Ubuntu 24.04",
}
"""By ID-VERSION_ID of os-release(5)."""

QUERY = ("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\\n")
"""With packages' names, prints what :func:`missing_of` reads, in milliseconds; no network."""
REPAIR = ("dpkg", "--configure", "-a")
"""Finishes what a run that was cut off has left."""
UPDATE = ("apt-get", "update", "--quiet", "-o", "Acquire::Retries=3")
INSTALL = (
    *("apt-get", "install", "--yes", "--quiet", "--no-install-recommends"),
    *("-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"),
    # Configuration that somebody has changed stays.
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
)
OS_RELEASE = "/etc/os-release"
POLICY = "/usr/sbin/policy-rc.d"
NO_SERVICES = "#!/bin/sh\n# Of clusterops: the packages of this run start no services.\nexit 101\n"
"""As policy-rc.d(8): a service first starts with its role's configuration."""


class UnsupportedSystem(Exception):
    """One line with what was found and what is supported."""


def system_of(os_release: str, refused: Mapping[str, str] | None = None) -> str:
    """ID-VERSION_ID of the content of os-release(5).

    Args:
        refused: systems that one role alone does not support, with its reason.

    Raises:
        UnsupportedSystem: the role does not support it.
    """
    reasons = refused or {}
    fields = dict(re.findall(r"^(\w+)=[\"']?(.*?)[\"']?$", os_release, re.MULTILINE))
    system = f"{fields.get('ID', '?')}-{fields.get('VERSION_ID', '?')}"
    if system not in SUPPORTED or system in reasons:
        found = fields.get("PRETTY_NAME") or "a system without os-release(5)"
        because = f", {reasons[system]}" if system in reasons else ""
        supported = [name for key, name in SUPPORTED.items() if key not in reasons]
        raise UnsupportedSystem(
            f"found {found} ({system}){because}; supported: {', '.join(supported)}. "
            "Apply the role to a machine with one of these"
        )
    return system


def missing_of(wanted: Iterable[str], shown: str) -> list[str]:
    """The packages that QUERY does not show as installed."""
    installed = {
        line.split()[0] for line in shown.splitlines() if line.split()[1:] == ["installed"]
    }
    return [name for name in wanted if name not in installed]


def content_of(path: str) -> str:
    """What is in a file; nothing where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def survey(
    params: dict, os_release: str, show: Callable[[list[str]], str]
) -> tuple[str, list[str]]:
    """The node's system, and which of the packages that are wanted there are missing.

    Args:
        os_release: the content of os-release(5).
        show: what a command prints, however it ends.

    Raises:
        UnsupportedSystem: the role does not support it.
    """
    system = system_of(os_release, params.get("refused"))
    wanted = (params.get("elsewhere") or {}).get(system, params["names"])
    return system, missing_of(wanted, show([*QUERY, *wanted])) if wanted else []


def look(arguments: dict) -> dict:
    """What the module packages would tell, where it would have nothing to do."""
    import subprocess

    def show(command: list[str]) -> str:
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout  # noqa: S603

    try:
        system, missing = survey(arguments, content_of(OS_RELEASE), show)
        if missing or content_of(POLICY) == NO_SERVICES:
            return {}
        found = [path for path in arguments.get("paths") or [] if os.path.exists(path)]
    except (UnsupportedSystem, OSError, KeyError, TypeError, AttributeError):
        return {}
    return {"system": system, "found": found}
