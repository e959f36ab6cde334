# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployment document: what agents should run, as far as the scaler needs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clusterops.scaler.answers import ProbeError
from clusterops.scaler.model import Application


class DeploymentFile:
    """The deployment document, read again whenever the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._application: Application | None = None

    def read(self) -> Application | None:
        """The application, or None where nothing was deployed yet.

        Raises:
            ProbeError: the file is there and cannot be used.
        """
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                document = json.loads(self._path.read_text(encoding="utf-8"))
                self._application = parse_deployment(document)
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp = self._application = None
        except OSError as error:
            raise ProbeError(f"{self._path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProbeError(f"{self._path}: is no deployment document: {error!r}") from error
        return self._application


def parse_deployment(document: Any) -> Application:
    application = document["application"]
    port = application.get("port", 5000)
    path = application.get("ready_path", "/ready")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError(f"application.port is {port!r}")
    if not isinstance(path, str) or not path.startswith("/"):
        raise ValueError(f"application.ready_path is {path!r}")
    metrics = application.get("metrics_path")
    if metrics is not None and not (isinstance(metrics, str) and metrics.startswith("/")):
        raise ValueError(f"application.metrics_path is {metrics!r}")
    return Application(str(application["name"]), str(document["release"]), port, path, metrics)
