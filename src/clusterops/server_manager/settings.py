# SPDX-License-Identifier: GPL-3.0-or-later
"""cluster.yml as the running Server Manager sees it: read again whenever the file changes."""

from __future__ import annotations

import logging
from pathlib import Path

from clusterops.config import ClusterConfig
from clusterops.config_file import load_config
from clusterops.errors import ClusterOpsError

log = logging.getLogger(__name__)

# Machines, the network and this process are bound to these; a change needs a new start.
FIXED = ("cluster_name", "cluster_provider", "port_server_manager")


class ConfigSource:
    """The configuration in force; a broken edit of the file leaves the last good one.

    Raises:
        UsageError: the file is wrong at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._stat()
        self._config = load_config(path)
        self.problem: str | None = None

    def current(self) -> ClusterConfig:
        """The configuration in force now; looks at the file only when it has changed."""
        stamp = self._stat()
        if stamp != self._stamp:
            self._stamp = stamp
            self._reload()
        return self._config

    def _reload(self) -> None:
        try:
            new = load_config(self._path)
        except ClusterOpsError as error:
            self.problem = str(error)
        else:
            moved = [key for key in FIXED if getattr(new, key) != getattr(self._config, key)]
            if moved:
                self.problem = (
                    f"{self._path}: {', '.join(moved)} cannot change while the cluster runs; "
                    "./playground down, change, then ./playground up"
                )
            else:
                self._config = new
                self.problem = None
                log.info("read %s again", self._path)
        if self.problem:
            log.warning("the last valid configuration stays in force: %s", self.problem)

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
