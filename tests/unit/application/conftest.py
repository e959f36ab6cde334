# SPDX-License-Identifier: GPL-3.0-or-later
"""A small application in a folder, on a host without settings of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from clusterops.application import indexes, package

MANIFEST = """\
name: shop
environment:
  POSTGRES_URL: datastore.postgres_url
  LOG_LEVEL: {default: info}
  API_KEY:
"""

COMPOSE = """\
services:
  web:
    image: ${APP_IMAGE}
    ports: ["${APP_PORT:-5000}:5000"]
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "src").mkdir(parents=True)
    (folder / "app.yml").write_text(MANIFEST)
    (folder / "compose.yml").write_text(COMPOSE)
    (folder / "Dockerfile").write_text("FROM scratch\nUSER app\n")
    (folder / "src/main.py").write_text("print('hello')\n")
    return folder


@pytest.fixture(autouse=True)
def pip_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """pip's configuration of the host, as a dictionary that starts empty; npm has none."""
    settings: dict[str, str] = {}

    def pip(command: list[str], **_: Any) -> Any:
        value = settings.get(command[-1].removeprefix("global."))
        return subprocess.CompletedProcess(command, 0 if value else 1, value or "", "")

    monkeypatch.setattr(indexes.subprocess, "run", pip)
    for name in list(os.environ):
        if name.startswith(("PIP_", "NPM_")) or name.lower() in package.PROXY_VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(tmp_path / "npmrc"))
    return settings
