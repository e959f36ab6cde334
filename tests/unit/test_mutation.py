# SPDX-License-Identifier: GPL-3.0-or-later
"""Which changes to the code may go unnoticed by the tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterops.errors import ClusterOpsError, UsageError
from clusterops.mutation import (
    ACCEPTED,
    COPIED,
    MUTATED,
    TESTS,
    Mutant,
    judge,
    prepare,
    read_accepted,
    read_survivors,
)
from clusterops.state import project_root

DIFF = """\
--- src/clusterops/scaler/guards.py
+++ src/clusterops/scaler/guards.py
@@ -1,3 +1,3 @@
 def small(count):
-    return count < 2
+    return count <= 2
"""
SMALL = Mutant("clusterops.scaler.guards.small", "return count < 2", "return count <= 2")
ENTRY = """
[[accepted]]
function = "clusterops.scaler.guards.small"
before = "return count < 2"
after = "return count <= 2"
reason = "{}"
"""


def survivor(name: str) -> str:
    return json.dumps([{"name": name, "diff": DIFF}])


def test_a_mutant_is_known_by_what_it_changes() -> None:
    assert read_survivors(survivor("clusterops.scaler.guards.x_small__mutmut_7")) == [SMALL]
    [method] = read_survivors(survivor("clusterops.scaler.guards.xǁGuardǁ__init____mutmut_12"))
    assert method.function == "clusterops.scaler.guards.Guard.__init__"


def test_a_survivor_that_nobody_accepted_is_refused() -> None:
    verdict = judge([SMALL, SMALL], {})
    assert (verdict.passed, verdict.survivors) == (False, (SMALL,))


def test_a_survivor_that_is_listed_passes() -> None:
    accepted = read_accepted(ENTRY.format("There is never half an agent."))
    assert judge([SMALL], accepted).passed


def test_the_list_holds_no_mutant_that_a_test_kills_by_now() -> None:
    verdict = judge([], read_accepted(ENTRY.format("There is never half an agent.")))
    assert (verdict.passed, verdict.stale) == (False, (SMALL,))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ENTRY.format(" "), "no reason"),
        (ENTRY.format("a") * 2, "is there twice"),
        (ENTRY.format("a").replace("before", "from"), "needs function, before, after and reason"),
    ],
)
def test_entries_without_a_reason_or_twice_are_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_accepted(text)


@pytest.mark.parametrize("text", ["", "Traceback", '[{"name": 1}]'])
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(ClusterOpsError, match="mutmut left no results"):
        read_survivors(text)


def test_what_it_changes_and_runs_is_there_and_can_be_changed(tmp_path: Path) -> None:
    root = project_root()
    prepare(root, tmp_path / "copy")
    for pattern in (*MUTATED, *TESTS, *COPIED):
        files = list((tmp_path / "copy").glob(pattern))
        assert files, pattern
        assert not any(path.is_symlink() for path in files), pattern
    parser = tmp_path / "copy/tests/unit/plugins/module_utils/test_vboxmanage_samples.py"
    assert "from clusterops.virtualbox import _vboxmanage as parser" in parser.read_text()
    read_accepted((root / ACCEPTED).read_text(encoding="utf-8"))
