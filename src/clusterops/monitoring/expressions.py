# SPDX-License-Identifier: GPL-3.0-or-later
"""PromQL as far as it has to be read here: which series an expression asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from clusterops.state import project_root

RULES_FILE = Path("roles/monitoring/files/rules.yml")

EMPTY_UNTIL = {
    "ALERTS": "an alert fires",
    "clusterops_scaler_agent_quarantined": "an agent failed to start again and again",
    "clusterops_scaler_alarm": "the scaler raises an alarm",
}
"""Metric -> what has to happen before it has a series. All others have one in a cluster that has
scaled and answered requests."""

COMPARISON = re.compile(r" (?:[=!<>]=|[<>]) ")
"""An expression with one may have no series although those that it asks for are there."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_SELECTOR = re.compile(r"(?<![\w:$])([a-zA-Z_:][\w:]*)\s*(\{[^{}]*\})?(?!\s*\(|[\w:])")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "group_left", "group_right"})


def selectors(expression: str) -> list[str]:
    """The series that an expression asks for, as ``name{matchers}``, in their order."""
    strings: list[str] = []

    def put_away(match: re.Match[str]) -> str:
        strings.append(match[0])
        return f'"{len(strings) - 1}"'

    text = _LABELS.sub(" ", _STRING.sub(put_away, expression))
    text = re.sub(r"\[[^\]]*\]", " ", text)
    found = []
    for match in _SELECTOR.finditer(text):
        if match[1] not in _WORDS:
            matchers = re.sub(r'"(\d+)"', lambda m: strings[int(m[1])], match[2] or "")
            found.append(match[1] + matchers)
    return found


def metric(selector: str) -> str:
    """The name in a selector."""
    return selector.partition("{")[0]


def rules(root: Path | None = None) -> list[dict[str, Any]]:
    """Recording rules and alerts, in their order."""
    text = ((root or project_root()) / RULES_FILE).read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
