# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes one value of cluster.yml and leaves the rest, with its comments, as the user wrote it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from clusterops.config_file import load_config, parse_config
from clusterops.errors import UsageError
from clusterops.state import write_whole


def with_key(text: str, key: str, value: str) -> str:
    """The text of a cluster.yml with ``key`` at the top level set to ``value``."""
    line = f"{key}: {_scalar(value)}"
    pattern = re.compile(
        rf"^{re.escape(key)}[ \t]*:[ \t]*(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s#\n](?:[^#\n]|(?<!\s)#)*?)?"
        r"(?P<rest>[ \t]+#.*|[ \t]*)$",
        re.MULTILINE,
    )
    changed, count = pattern.subn(lambda match: line + match["rest"].rstrip(), text)
    if count:
        return changed
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n"


def _scalar(value: str) -> str:
    """A text as YAML: plain where it means the same, else in double quotes."""
    plain = re.fullmatch(r"[\w./@~+-][\w./@~+:#-]*", value) and " #" not in value
    return value if plain and yaml.safe_load(value) == value else json.dumps(value)


def set_key(path: Path, key: str, value: str) -> bool:
    """Set a key in the file; False when it had the value.

    Raises:
        UsageError: the file cannot be changed like this, or cannot be written; it is as it was.
    """
    if getattr(load_config(path), key) == value:
        return False
    text = path.read_text(encoding="utf-8")
    changed = with_key(text, key, value)
    remedy = f"write it yourself: {key}: {value}"
    try:
        fits = getattr(parse_config(changed), key) == value
    except UsageError:
        fits = False
    if not fits:
        raise UsageError(f"{path}: {key} cannot be changed in this file", remedy=remedy)
    try:
        write_whole(path, changed, path.stat().st_mode & 0o777)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}", remedy=remedy) from error
    return True
