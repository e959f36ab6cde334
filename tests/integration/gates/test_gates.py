# SPDX-License-Identifier: GPL-3.0-or-later
"""Every gate refuses what it is there for: the real tools, with the project's own settings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from clusterops.cli.gates import MEASURED
from clusterops.cli.testing import _ansible_environment, _environment
from clusterops.coverage_gate import complaints, read_branches

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
BARE = "- name: A play\n  hosts: all\n  tasks:\n    - name: A task\n      shell: uptime\n"
FULL = (
    "---\n- name: A play\n  hosts: all\n  tasks:\n    - name: A task\n"
    "      ansible.builtin.command: uptime\n      changed_when: false\n"
)
FRAGMENT = "---\n{}:\n  - A change.\n"


def run(folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    """A tool of the project's environment, as `./playground test lint` calls it."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=_environment(_ansible_environment()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("tool", "name", "bad", "good", "finding"),
    [
        (
            ("ruff", "check", "--no-cache", "--config", ROOT / "pyproject.toml"),
            "a.py",
            "import os\n",
            "VALUE = 1\n",
            "F401",
        ),
        (
            ("ruff", "check", "--no-cache", "--config", ROOT / "pyproject.toml"),
            "a.py",
            'import subprocess\n\nsubprocess.run("ls *", shell=True)\n',
            "VALUE = 1\n",
            "S602",
        ),
        (
            ("ruff", "format", "--check", "--no-cache", "--config", ROOT / "pyproject.toml"),
            "a.py",
            "VALUE = [ 1 ]\n",
            "VALUE = [1]\n",
            "would be reformatted",
        ),
        (
            ("yamllint", "--strict", "--config-file", ROOT / ".yamllint"),
            "a.yml",
            "mode: 0644\n",
            'mode: "0644"\n',
            "octal-values",
        ),
        (("shellcheck",), "a.sh", "#!/bin/sh\nrm $1\n", '#!/bin/sh\nrm "$1"\n', "SC2086"),
    ],
    ids=["ruff check", "ruff check for security", "ruff format", "yamllint", "shellcheck"],
)
def test_what_is_wrong_in_a_file_is_refused(
    tmp_path: Path, tool: tuple[object, ...], name: str, bad: str, good: str, finding: str
) -> None:
    (tmp_path / name).write_text(good)
    fine = run(tmp_path, *tool, name)
    assert fine.returncode == 0, fine.stdout
    (tmp_path / name).write_text(bad)
    refused = run(tmp_path, *tool, name)
    assert refused.returncode != 0
    assert finding in refused.stdout


def test_mypy_is_strict(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def double(number):\n    return number * 2\n")
    settings = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", tmp_path / "cache")
    refused = run(tmp_path, "mypy", *settings, "a.py")
    assert refused.returncode == 1, refused.stdout
    assert "[no-untyped-def]" in refused.stdout


def test_ansible_lint_asks_for_what_production_needs(tmp_path: Path) -> None:
    (tmp_path / "bare.yml").write_text(BARE)
    (tmp_path / "full.yml").write_text(FULL)
    command = ("ansible-lint", "--offline", "--config-file", ROOT / ".config/ansible-lint.yml")
    refused = run(tmp_path, *command, "bare.yml", "full.yml")
    assert refused.returncode == 2, refused.stdout
    assert "fqcn[action-core]" in refused.stdout
    assert "no-changed-when" in refused.stdout
    assert "full.yml" not in refused.stdout


def test_a_changelog_fragment_of_a_kind_that_there_is_not_is_refused(tmp_path: Path) -> None:
    shutil.copy(ROOT / "galaxy.yml", tmp_path)
    (tmp_path / "changelogs/fragments").mkdir(parents=True)
    for name in ("config.yaml", "changelog.yaml"):
        shutil.copy(ROOT / "changelogs" / name, tmp_path / "changelogs")
    fragment = tmp_path / "changelogs/fragments/area.yml"
    fragment.write_text(FRAGMENT.format("minor_changes"))
    fine = run(tmp_path, "antsibull-changelog", "lint")
    assert fine.returncode == 0, fine.stdout
    fragment.write_text(FRAGMENT.format("news"))
    refused = run(tmp_path, "antsibull-changelog", "lint")
    assert refused.returncode != 0
    assert "news" in refused.stdout


def test_a_branch_that_no_test_takes_is_measured_as_missing(tmp_path: Path) -> None:
    """What the gate of the unit suite makes of it: tests/unit/test_coverage_gate.py."""
    (tmp_path / "logic.py").write_text(
        "def sign(number: int) -> str:\n    if number < 0:\n        return '-'\n    return '+'\n"
    )
    (tmp_path / "test_logic.py").write_text(
        "from logic import sign\n\n\ndef test_sign():\n    assert sign(1) == '+'\n"
    )
    own = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    start = own.index("[tool.coverage.run]")
    settings = own[start : own.index("\n[tool.ruff]", start)]
    head, _, rest = settings.partition("include = [")
    _, _, after = rest.partition("]\n")
    settings = f'{head}include = ["logic.py"]\n{after}'
    (tmp_path / "pyproject.toml").write_text(settings)
    (tmp_path / ".cache").mkdir()
    tested = run(tmp_path, "pytest", "-q", *MEASURED)
    assert tested.returncode == 0, tested.stdout
    report = run(tmp_path, "coverage", "json", "--quiet", "-o", "-")
    assert complaints(["logic.py", "other.py"], read_branches(report.stdout)) == [
        "logic.py: 50% of 2 branches, at least 95% are needed; not taken: line 2 → 3",
        "other.py: no unit test imports it",
    ]
