# SPDX-License-Identifier: GPL-3.0-or-later
"""When the unit suite fails for branches that no test takes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from clusterops.coverage_gate import (
    FileBranches,
    complaints,
    logic_files,
    read_branches,
    total_share,
)
from clusterops.errors import ClusterOpsError
from clusterops.state import project_root

SETTINGS = tomllib.loads((project_root() / "pyproject.toml").read_text(encoding="utf-8"))


def report(name: str, total: int, missing: list[list[int]]) -> str:
    return json.dumps(
        {"files": {name: {"summary": {"num_branches": total}, "missing_branches": missing}}}
    )


def test_a_branch_that_no_test_takes_is_refused_and_named() -> None:
    measured = read_branches(report("policy.py", 8, [[12, 14]]))
    assert complaints(["policy.py"], measured) == [
        "policy.py: 88% of 8 branches, at least 95% are needed; not taken: line 12 → 14"
    ]


def test_the_end_of_a_function_has_no_number() -> None:
    [line] = complaints(["a.py"], read_branches(report("a.py", 2, [[7, -3]])))
    assert line.endswith("line 7 → end")


@pytest.mark.parametrize(("total", "missing"), [(0, []), (8, []), (20, [[1, 2]])])
def test_at_the_floor_it_passes(total: int, missing: list[list[int]]) -> None:
    assert complaints(["a.py"], read_branches(report("a.py", total, missing))) == []


def test_a_file_that_no_test_imports_is_refused() -> None:
    assert complaints(["new.py"], {}) == ["new.py: no unit test imports it"]


@pytest.mark.parametrize("text", ["", "[]", '{"files": {"a.py": {"summary": {}}}}'])
def test_what_is_no_report_of_branches_is_refused(text: str) -> None:
    with pytest.raises(ClusterOpsError, match="coverage gave no report"):
        read_branches(text)


def test_a_pattern_without_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "here.py").touch()
    assert logic_files(["*.py"], tmp_path) == ["here.py"]
    with pytest.raises(ClusterOpsError, match=r"no file matches 'gone\.py'"):
        logic_files(["*.py", "gone.py"], tmp_path)


def test_the_share_of_all_files() -> None:
    files = [FileBranches("a", 6, ((1, 2),)), FileBranches("b", 2, ())]
    assert total_share(files) == (8, 0.875)
    assert total_share([]) == (0, 1.0)


def test_decisions_parsers_and_plugins_are_held_to_it() -> None:
    run = SETTINGS["tool"]["coverage"]["run"]
    assert run["branch"] is True
    names = set(logic_files(run["include"], project_root()))
    assert {
        "src/clusterops/scaler/policies/step.py",
        "src/clusterops/scaler/guards.py",
        "src/clusterops/scaler/bounds.py",
        "src/clusterops/application/validation.py",
        "src/clusterops/config.py",
        "plugins/module_utils/_vboxmanage.py",
        "plugins/modules/server.py",
        "plugins/inventory/virtualbox.py",
    } <= names
