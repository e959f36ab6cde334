# SPDX-License-Identifier: GPL-3.0-or-later
"""The few bytes of sd_notify(3) that a service needs."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> None:
    """Tell systemd (``READY=1``, ``WATCHDOG=1``, …); does nothing outside of it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto(message.encode(), address)
    except OSError:
        return  # a supervisor that does not listen is no reason to stop


def watchdog_interval_s() -> float | None:
    """Half of the time within which systemd wants a sign of life, or None."""
    try:
        micros = int(os.environ["WATCHDOG_USEC"])
    except (KeyError, ValueError):
        return None
    return micros / 2_000_000 if micros > 0 else None
