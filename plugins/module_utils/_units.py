# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether systemd's units run with the files that they have."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Iterable, Mapping
from datetime import datetime

PROPERTIES = ("UnitFileState", "ActiveState", "InactiveExitTimestamp", "MainPID")
PROC = "/proc"
SHOW = (
    *("systemctl", "show", "--timestamp", "us+utc"),
    *(word for name in PROPERTIES for word in ("--property", name)),
)
"""With the unit's name, prints what :func:`is_stale` reads (systemctl(1))."""

_ENABLED = ("enabled", "enabled-runtime", "static", "alias", "generated", "indirect")
_FORMAT = "%a %Y-%m-%d %H:%M:%S.%f UTC"


def is_stale(shown: str, changed: Iterable[float]) -> bool:
    """Whether a unit is not enabled, does not run, or began to before one of its files changed.

    ``shown`` is what SHOW prints, ``changed`` are the times at which the files changed, in seconds
    since 1970. A unit that systemd does not know is stale.
    """
    properties = _properties(shown)
    if properties.get("UnitFileState") not in _ENABLED:
        return True
    if properties.get("ActiveState") not in ("active", "reloading", "activating"):
        return True
    try:
        began = datetime.strptime(properties.get("InactiveExitTimestamp", ""), _FORMAT)
    except ValueError:
        return True
    began_s = calendar.timegm(began.timetuple()) + began.microsecond / 1e6
    return any(at > began_s for at in changed)


def _properties(shown: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def started_with(shown: str, environment: Mapping[str, str]) -> bool:
    """Whether a unit's main process was started with these variables; ``shown`` as above."""
    if not environment:
        return True
    try:
        with open(os.path.join(PROC, _properties(shown).get("MainPID", "0"), "environ"), "rb") as f:
            found = f.read().split(b"\0")
    except OSError:
        return False
    return all(f"{name}={value}".encode() in found for name, value in environment.items())


def says(url: str, text: str, timeout_s: float = 5.0) -> bool:
    """Whether the answer at an address of this node, http://HOST:PORT/PATH, holds the text."""
    import socket

    place, _slash, path = url.removeprefix("http://").partition("/")
    host, _colon, port = place.rpartition(":")
    ask = f"GET /{path} HTTP/1.0\r\nHost: {place}\r\n\r\n".encode()
    answer = b""
    try:
        with socket.create_connection((host, int(port)), timeout_s) as connection:
            connection.sendall(ask)
            while part := connection.recv(65536):
                answer += part
    except OSError:
        return False
    return text.encode() in answer


def changed_at(path: str) -> float:
    """When a file's content or its owner or mode changed; now, if it is not there."""
    try:
        return os.lstat(path).st_ctime
    except FileNotFoundError:
        return time.time()
