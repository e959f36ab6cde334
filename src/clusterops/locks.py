# SPDX-License-Identifier: GPL-3.0-or-later
"""One process at a time, by a lock that its holder's end frees, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def exclusively(path: Path, waits: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of the file ``path``, which is made with its folder where it is missing.

    Args:
        waits: called once if another process has the lock, before that is waited for.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waits:
                waits()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
