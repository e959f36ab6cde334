# SPDX-License-Identifier: GPL-3.0-or-later
"""What `test` demands of the tests: branches that they take, changes that they notice."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable

from clusterops import mutation
from clusterops.coverage_gate import complaints, logic_files, read_branches, total_share
from clusterops.state import project_root

MEASURED = ("--cov", "--cov-report=")
"""Arguments for pytest; what is measured stands in pyproject.toml."""


def coverage() -> int:
    """Fails for logic whose branches the last run of the unit tests did not take."""
    root = project_root()
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    measured_files = settings["tool"]["coverage"]["run"]
    omitted = logic_files(measured_files.get("omit", []), root)
    wanted = [name for name in logic_files(measured_files["include"], root) if name not in omitted]
    done = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "--quiet", "-o", "-"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    measured = read_branches(done.stdout or done.stderr)
    total, share = total_share(measured.values())
    print(f"{share:.1%} of {total} branches of the logic are taken by unit tests")
    found = complaints(wanted, measured)
    for line in found:
        print(f"NOT COVERED  {line}")
    return int(bool(found))


def mutants(run: Callable[..., int], arguments: list[str]) -> int:
    """Fails for a change to the logic that no test notices, unless it is listed with its reason.

    Args:
        run: runs a command in a folder; its exit code.
    """
    root = project_root()
    folder = root / ".cache" / "mutation"
    accepted = mutation.read_accepted((root / mutation.ACCEPTED).read_text(encoding="utf-8"))
    mutation.prepare(root, folder)
    if code := run([sys.executable, "-m", "mutmut", "run", *arguments], folder=folder):
        return code
    done = subprocess.run(  # noqa: S603 - a script of the project
        [sys.executable, str(root / "tests" / "mutation" / "survivors.py")],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    verdict = mutation.judge(mutation.read_survivors(done.stdout or done.stderr), accepted)
    for mutant in verdict.survivors:
        print(f"SURVIVED  {mutant}")
    for mutant in verdict.stale:
        print(f"STALE     {mutant}: it did not survive; take it out of {mutation.ACCEPTED}")
    if verdict.passed:
        print(f"No mutant survived but those {len(accepted)} in {mutation.ACCEPTED}")
    return int(not verdict.passed)
