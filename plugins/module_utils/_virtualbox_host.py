# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What VirtualBox leaves to its users to look after on the host: free ports, one maker a name."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ._vboxmanage_errors import TimedOut
from ._vboxmanage_model import NatForward

_POLL_S = 0.1


def why_not_free(forward: NatForward) -> str | None:
    """Why a forward could not listen on this host now, or None when it could."""
    address = forward.host_ip or "0.0.0.0"  # noqa: S104 - what VirtualBox would bind
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if forward.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            # Connections that have ended do not count; a listener does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, forward.host_port))
            if kind == socket.SOCK_STREAM:
                probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "another program listens there"
            return error.strerror or str(error)
    return None


@contextlib.contextmanager
def creating(name: str, timeout_s: float) -> Iterator[None]:
    """Hold the right to make a machine of this name: VirtualBox would make two.

    It ends with the process, however that ends. Raises TimedOut.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"virtualbox-{os.getuid()}-{digest}.lock"
    deadline = time.monotonic() + timeout_s
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    break
        except BlockingIOError:
            pass
        os.close(handle)
        if time.monotonic() >= deadline:
            raise TimedOut(f"Another run has been making the machine {name!r} for too long")
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        # Removed while it is held: who waits for it looks again.
        path.unlink(missing_ok=True)
        os.close(handle)
