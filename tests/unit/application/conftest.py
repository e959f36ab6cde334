# SPDX-License-Identifier: GPL-3.0-or-later
"""A small application in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

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
