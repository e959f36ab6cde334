# SPDX-License-Identifier: GPL-3.0-or-later
"""Markdown that says what it was given, whatever is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

_ANSIBLE = re.compile(r"\b(?:[CVIBOEMP]|RV)\(((?:[^()\\]|\\.|\([^()]*\))*)\)")
_ANSIBLE_LINK = re.compile(r"\bL\(([^,()]*),\s*([^()]*)\)")
_ANSIBLE_URL = re.compile(r"\bU\(([^()]*)\)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks and bars within a cell do not end it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines) + "\n"


def code(text: object) -> str:
    """Text as code, with whatever backticks it has."""
    shown = str(text)
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def value(thing: Any) -> str:
    """A default or a choice as it is written in YAML's short form."""
    return code(thing if isinstance(thing, str) and thing else json.dumps(thing, default=str))


def block(text: str, language: str = "yaml") -> str:
    """A fenced block."""
    return f"```{language}\n{text.strip()}\n```\n"


def of_ansible(text: str | Sequence[str] | None) -> str:
    """Ansible's own marks (``C(…)``, ``V(…)``, ``L(text,address)``) as Markdown."""
    whole = text if isinstance(text, str) else "\n\n".join(text or ())
    whole = _ANSIBLE_LINK.sub(r"[\1](\2)", whole)
    whole = _ANSIBLE_URL.sub(r"<\1>", whole)
    return _ANSIBLE.sub(lambda match: code(match[1].replace("\\", "")), whole)


def _cell(text: str) -> str:
    words = " ".join(text.replace("<br>", "\n").split("\n")).strip()
    # Within code a bar does not end a cell, and a backslash would be shown.
    parts = re.split(r"(``.+?``|`[^`]+`)", words)
    return "".join(part if part.startswith("`") else part.replace("|", "\\|") for part in parts)
