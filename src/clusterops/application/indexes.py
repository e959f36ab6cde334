# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own package indexes, handed to builds as secrets: they do not stay in an image."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

_NPM_KEY = re.compile(r"\s*(registry|@[\w.-]+:registry|//\S+?:_\w+)\s*=")


def pip_conf() -> str:
    """pip.conf with the host's Python package indexes; only those that a node can reach."""
    lines = []
    for key in ("index-url", "extra-index-url", "trusted-host"):
        result = subprocess.run(  # noqa: S603 - fixed program, no shell
            [sys.executable, "-m", "pip", "config", "get", f"global.{key}"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
        )
        variable = os.environ.get("PIP_" + key.upper().replace("-", "_"), "")
        words = [
            word
            for word in (variable or result.stdout).split()
            if key == "trusted-host" or word.startswith(("http://", "https://"))
        ]
        if words:
            lines.append(f"{key} = " + "\n    ".join(words))
    return "\n".join(["[global]", *lines]) + "\n" if lines else ""


def npmrc() -> str:
    """.npmrc with the host's npm registries and what logs in there, of the user's configuration."""
    path = Path(os.environ.get("NPM_CONFIG_USERCONFIG") or "~/.npmrc").expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        text = ""
    lines = [os.path.expandvars(line).strip() for line in text.splitlines() if _NPM_KEY.match(line)]
    if registry := os.environ.get("NPM_CONFIG_REGISTRY"):
        lines = [line for line in lines if not line.startswith("registry")]
        lines.append(f"registry={registry}")
    return "".join(f"{line}\n" for line in lines)
