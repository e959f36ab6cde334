# SPDX-License-Identifier: GPL-3.0-or-later
"""The smallest application that can be deployed, as a beginning for one's own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from clusterops.application.manifest import Manifest
from clusterops.errors import UsageError
from clusterops.state import project_root

EXAMPLE = "whoami"
"""The application of the repository that new ones are copied from …"""

COPIED = ("Dockerfile", "compose.yml", "whoami.py")
"""… and its files, but for what carries its name."""

SCHEMA = "app.schema.json"

_APP_YML = """\
# yaml-language-server: $schema={schema}
# What the cluster has to know about this application.
name: {name}

# Where its source is, from here. The image is built from it, once, on the control node.
source: {{path: .}}
build:
  context: .
  dockerfile: Dockerfile
  base_image: python:3.13-slim
  base_image_arg: BASE_IMAGE
compose_file: compose.yml

# The port of the node on which it answers, and the paths that say that it runs and that it can
# serve. An agent comes into the load balancer when ready_path answers 200.
port: 5000
health_path: /health
ready_path: /ready

# A Compose service that brings the database up to date and ends; it runs once for each release.
# migration_service: migrate

# Variables that its processes need, and where their values come from:
# environment:
#   POSTGRES_URL: datastore.postgres_url  # the cluster's own database and queue
#   REDIS_URL: datastore.redis_url
#   LOG_LEVEL: {{default: info}}            # unless cluster.yml says otherwise
#   API_KEY:                              # cluster.yml has to give it (application_env)
"""


def manifest_text(name: str, schema: str) -> str:
    """A commented app.yml; ``schema`` is where its JSON Schema is, for editors."""
    return _APP_YML.format(name=name, schema=schema)


def write_application(parent: Path, name: str, example: Path | None = None) -> Path:
    """Make the folder ``parent/name`` with an application that works.

    Raises:
        UsageError: the name cannot be one, or the folder exists.
    """
    pattern = Manifest.model_json_schema()["properties"]["name"]["pattern"]
    try:
        Manifest.model_validate({"name": name})
    except ValueError as error:
        raise UsageError(f"NAME: found '{name}'; allowed: {pattern}") from error
    folder = parent / name
    if folder.exists():
        raise UsageError(f"{folder}: exists already", remedy="choose another name")
    example = example or project_root() / "apps" / EXAMPLE
    schema = os.path.relpath(project_root() / SCHEMA, folder)
    files = {
        "app.yml": manifest_text(name, schema),
        "README.md": f"# {name}\n",
        **{file: (example / file).read_text(encoding="utf-8") for file in COPIED},
    }
    parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all.
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{name}-") as temporary:
        made = Path(temporary, name)
        made.mkdir()
        for file, text in files.items():
            (made / file).write_text(text, encoding="utf-8")
        made.rename(folder)
    return folder
