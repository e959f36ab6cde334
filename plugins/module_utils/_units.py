# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether systemd's units run with the files that they have."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Iterable
from datetime import datetime

PROPERTIES = ("UnitFileState", "ActiveState", "InactiveExitTimestamp")
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
    properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
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


def changed_at(path: str) -> float:
    """When a file's content or its owner or mode changed; now, if it is not there."""
    try:
        return os.lstat(path).st_ctime
    except FileNotFoundError:
        return time.time()
