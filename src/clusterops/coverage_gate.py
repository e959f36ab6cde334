# SPDX-License-Identifier: GPL-3.0-or-later
"""How many branches of the logic the unit tests take, and which they leave out.

What counts as logic is the list `tool.coverage.run.include` of pyproject.toml. The share counts
for each file by itself: one that is tested well must not hide another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterops.errors import ClusterOpsError

FLOOR = 0.95
"""Share of the branches of a file that have to be taken."""


@dataclass(frozen=True)
class FileBranches:
    """The branches of one file; ``missing`` are pairs of lines, to a negative one: the end."""

    name: str
    total: int
    missing: tuple[tuple[int, int], ...]

    @property
    def share(self) -> float:
        return 1 - len(self.missing) / self.total if self.total else 1.0


def logic_files(patterns: Iterable[str], root: Path) -> list[str]:
    """Files below ``root`` that count as logic.

    Raises:
        ClusterOpsError: a pattern that names no file any more.
    """
    found: set[str] = set()
    for pattern in patterns:
        files = {str(path.relative_to(root)) for path in root.glob(pattern) if path.is_file()}
        if not files:
            raise ClusterOpsError(
                f"pyproject.toml: tool.coverage.run.include: no file matches '{pattern}'",
                remedy="name the file that it became, or take the line out",
            )
        found |= files
    return sorted(found)


def read_branches(text: str) -> dict[str, FileBranches]:
    """The JSON that coverage.py writes, by file.

    Raises:
        ClusterOpsError: it is not that, or branches were not measured.
    """
    try:
        return {
            name: FileBranches(
                name,
                int(about["summary"]["num_branches"]),
                tuple((begin, end) for begin, end in about["missing_branches"]),
            )
            for name, about in json.loads(text)["files"].items()
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterOpsError(f"coverage gave no report: {text.strip()[-300:]}") from error


def complaints(wanted: Sequence[str], measured: dict[str, FileBranches]) -> list[str]:
    """One line for each file below the floor, and for each that no test even imports."""
    lines = []
    for name in wanted:
        file = measured.get(name)
        if file is None:
            lines.append(f"{name}: no unit test imports it")
        elif file.share < FLOOR:
            lines.append(
                f"{name}: {file.share:.0%} of {file.total} branches, at least {FLOOR:.0%} are "
                f"needed; not taken: {', '.join(_arrow(*branch) for branch in file.missing)}"
            )
    return lines


def total_share(measured: Iterable[FileBranches]) -> tuple[int, float]:
    """Branches of all files together, and the share that was taken."""
    files = list(measured)
    total = sum(file.total for file in files)
    missing = sum(len(file.missing) for file in files)
    return total, 1 - missing / total if total else 1.0


def _arrow(begin: int, end: int) -> str:
    return f"line {begin} → {end if end > 0 else 'end'}"
