# SPDX-License-Identifier: GPL-3.0-or-later
"""A service's certificate, renewed and taken into use while the service runs."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from clusterops.errors import ClusterOpsError

LOOK_S = 3600.0
"""How often a certificate that nobody touched is looked at: it ends some day."""

log = logging.getLogger(__name__)

Issue = Callable[[], tuple[Path, Path, Path]]
"""Have a certificate that is good for some time: its file, its key's and its authority's."""


class Certificate:
    """The TLS settings of a service.

    Raises:
        ClusterOpsError: there is no certificate to begin with.
    """

    def __init__(self, issue: Issue, clock: Callable[[], float] = time.monotonic) -> None:
        self._issue = issue
        self._clock = clock
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._load()

    def context(self) -> ssl.SSLContext:
        """What the next connection is made with."""
        if self._clock() >= self._look_at or _stamps(self._files) != self._stamps:
            try:
                self._load()
            except (ClusterOpsError, OSError) as error:
                log.error("the certificate in use stays: %s", error)
        return self._context

    def _load(self) -> None:
        certificate, key, authority = self._issue()
        self._context.load_cert_chain(certificate, key)
        self._files = (certificate, authority)
        self._stamps = _stamps(self._files)
        self._look_at = self._clock() + LOOK_S


def _stamps(files: Sequence[Path]) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
            found.append((status.st_mtime_ns, status.st_ino))
        except OSError:
            found.append(None)
    return found
