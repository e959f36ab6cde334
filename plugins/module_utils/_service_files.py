# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module service_files compares; :func:`look` is all of it, for its action plugin."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

from ansible_collections.clusterops.playground.plugins.module_utils._node_files import (
    FileRefused,
    NodeFile,
    is_as_wanted,
)
from ansible_collections.clusterops.playground.plugins.module_utils._units import (
    SHOW,
    changed_at,
    is_stale,
    says,
    started_with,
)

Show = Callable[[str], str]
"""What SHOW prints of a unit."""


def wanted_file(entry: dict[str, t.Any]) -> NodeFile:
    """What an entry of the parameter ``files`` asks for.

    Raises:
        FileRefused: the mode is no octal number.
    """
    secret, plain, link = (entry.get(key) for key in ("secret_content", "content", "link"))
    content = plain if secret is None else secret
    text = entry.get("mode") or ("0755" if content is None and link is None else "0644")
    try:
        mode = int(text, 8)
    except ValueError as error:
        raise FileRefused(
            f"{entry['path']}: mode is '{text}'; allowed is octal text such as 0644."
        ) from error
    return NodeFile(
        path=entry["path"],
        content=content,
        link=link,
        owner=entry.get("owner") or "root",
        group=entry.get("group") or "root",
        mode=mode,
        validate=tuple(entry.get("validate") or ()),
        prune=entry.get("prune"),
        keep=entry.get("keep") or 0,
    )


def stale_services(params: dict[str, t.Any], show: Show) -> list[str]:
    """The units that do not run with their files, or were not started with their environment."""
    every = [entry["path"] for entry in params["files"] if entry.get("prune") is None]
    found = []
    for service in params.get("services") or []:
        paths, shown = service.get("files"), show(service["name"])
        times = [changed_at(path) for path in (every if paths is None else paths)]
        environment = service.get("environment") or {}
        if is_stale(shown, times) or not started_with(shown, environment):
            found.append(service["name"])
    return found


def unlike_services(params: dict[str, t.Any]) -> list[str]:
    """The units whose answer is not the one that they should give."""
    return [
        service["name"]
        for service in params.get("services") or []
        if service.get("url") and not says(service["url"], service["says"])
    ]


def look(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Whether the module would find nothing to do. Parameters that it would refuse are not done."""
    import subprocess

    def show(unit: str) -> str:
        command = [*SHOW, unit]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout  # noqa: S603

    try:
        files = [wanted_file(entry) for entry in params["files"]]
        texts = [
            text for file in files for text in (file.path, file.content or "", file.link or "")
        ]
        done = (
            all(isinstance(text, str) for text in texts)
            and all(file.path.startswith("/") and "$" not in file.path for file in files)
            and all(is_as_wanted(file) for file in files)
            and not stale_services(params, show)
            and not unlike_services(params)
        )
    except (FileRefused, OSError, KeyError, TypeError, ValueError, AttributeError):
        done = False
    return {"done": done}
