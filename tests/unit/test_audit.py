# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as free of known vulnerabilities, and what only looks like it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clusterops.audit import Report, describe, read_report
from clusterops.errors import ClusterOpsError

CLEAN = {"name": "yarl", "version": "1.2", "vulns": []}
SKIPPED = {"name": "uv", "skip_reason": "Dependency not found on PyPI and could not be audited"}
BAD = {
    "name": "docker",
    "version": "7.0",
    "vulns": [
        {"id": "PYSEC-1", "fix_versions": ["7.1"], "aliases": []},
        {"id": "PYSEC-2", "fix_versions": [], "aliases": []},
    ],
}


def report(*packages: dict[str, Any]) -> Report:
    return read_report(json.dumps({"dependencies": list(packages), "fixes": []}))


def test_a_clean_lock_passes() -> None:
    found = report(CLEAN)
    assert found.passed
    assert describe("node.txt", found) == [
        "ok           node.txt: 1 packages without a known vulnerability"
    ]


def test_a_vulnerability_does_not_pass_and_says_what_to_do() -> None:
    found = report(CLEAN, BAD)
    assert not found.passed
    assert describe("node.txt", found) == [
        "VULNERABLE   node.txt: docker 7.0: PYSEC-1 (mended in 7.1)",
        "VULNERABLE   node.txt: docker 7.0: PYSEC-2",
    ]


@pytest.mark.parametrize("packages", [[SKIPPED], [CLEAN, SKIPPED], []])
def test_what_was_not_looked_at_does_not_pass(packages: list[dict[str, Any]]) -> None:
    found = report(*packages)
    assert not found.passed
    [line] = describe("node.txt", found)
    assert line.startswith("NOT CHECKED  node.txt: ")


@pytest.mark.parametrize("text", ["", "No known vulnerabilities found", "[]", '{"a": 1}'])
def test_no_report_is_an_error(text: str) -> None:
    with pytest.raises(ClusterOpsError, match="gave no report"):
        read_report(text)
