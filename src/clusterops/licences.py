# SPDX-License-Identifier: GPL-3.0-or-later
"""Licences of the Python packages that the project runs with, from what they say themselves.

``python -m clusterops.licences`` writes docs/licences.md, and refuses a package whose licence it
does not know, or which cannot be used in a work under the GPL, version 3 or later.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Any

from clusterops.errors import ClusterOpsError
from clusterops.state import project_root, write_whole

PAGE = Path("docs/licences.md")
LOCKS = {"nodes": "requirements/node.txt", "host": "requirements/host.txt"}

COMPATIBLE = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "GPL-2.0-or-later",
        "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-or-later", "LGPL-3.0-only",
        "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense",
        "ZPL-2.1", "Zlib",
    }
)  # fmt: skip
"""SPDX identifiers of licences that allow use in a work under GPL-3.0-or-later."""

CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

ELSEWHERE = {
    "async-timeout": "Apache-2.0",
    "colorama": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
    "pyyaml-ft": "MIT",
}
"""Packages that only other systems or Pythons get: they cannot be asked here."""

READ = {"axe-playwright-python": "MIT AND MPL-2.0"}
"""Packages whose metadata says nothing, by the texts in them (axe itself is under MPL-2.0)."""

HEAD = """\
# Licences

The playground is under GPL-3.0-or-later. It does not contain the Python packages below, but runs
with them: on nodes, on the host, or with its checkout (playbooks, tests). What a package says of
itself is given as an SPDX expression. Written by `python -m clusterops.licences`; a test sees to it
that it is complete, and that each licence is compatible.

| package | licence | where |
| --- | --- | --- |
"""


def locked(text: str) -> list[str]:
    """Names of the packages that a requirements file pins."""
    return [match[1] for match in re.finditer(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==", text, re.M)]


def licence_of(about: Message) -> str | None:
    """SPDX expression of a package's licence by its metadata; None where it does not say."""
    if expression := about.get("License-Expression"):
        return str(expression)
    named = [
        classifier.rpartition(" :: ")[2]
        for classifier in about.get_all("Classifier") or []
        if classifier.startswith("License :: ")
    ]
    known = sorted({CLASSIFIERS[name] for name in named if name in CLASSIFIERS})
    if known:
        return " AND ".join(known)
    said = str(about.get("License") or "").strip()
    return said if _terms(said) and _terms(said) <= COMPATIBLE else None


def compatible(expression: str) -> bool:
    """Whether a choice of licences by this expression is one of COMPATIBLE."""
    return any(
        _terms(alternative) <= COMPATIBLE
        for alternative in re.split(r"\s+OR\s+", expression)
        if _terms(alternative)
    )


def licences(names: Iterable[str], about: Callable[[str], Message | None]) -> dict[str, str]:
    """Package -> licence.

    Args:
        about: metadata of a package by its name; None where it is not installed.

    Raises:
        ClusterOpsError: names every package without a licence that is known and compatible.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for name in sorted(set(names)):
        said = about(name)
        licence = licence_of(said) or READ.get(name) if said is not None else ELSEWHERE.get(name)
        if licence is None:
            where = "says no licence" if said is not None else "is not installed"
            problems.append(f"{name} {where}")
        elif not compatible(licence):
            problems.append(f"{name}: {licence}")
        else:
            found[name] = licence
    if problems:
        raise ClusterOpsError(
            f"licences that are not known to be compatible with GPL-3.0-or-later: "
            f"{'; '.join(problems)}",
            remedy="look at the package, then add its licence to src/clusterops/licences.py",
        )
    return found


def used_by_host(names: Iterable[str], root: Path) -> set[str]:
    """Those of ``names`` that the extra ``host`` of the project needs, directly or not."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: Mapping[str, list[str]] = project["optional-dependencies"]
    todo = [Requirement(text) for extra in ("host", "scaler") for text in extras[extra]]
    found: set[tuple[str, str]] = set()
    while todo:
        wanted = todo.pop()
        for extra in ("", *wanted.extras):
            key = (canonicalize_name(wanted.name), extra)
            if key in found or key[0] == "clusterops":
                continue
            found.add(key)
            todo += [
                needed
                for needed in map(Requirement, _requires(wanted.name))
                if not needed.marker or needed.marker.evaluate({"extra": extra})
            ]
    return set(names) & {name for name, _ in found}


def page(root: Path) -> str:
    """Text of docs/licences.md.

    Raises:
        ClusterOpsError: a licence is not known, or not compatible.
    """
    names = {where: locked((root / file).read_text("utf-8")) for where, file in LOCKS.items()}
    host = used_by_host(names["host"], root)
    rows = []
    for name, licence in licences([*names["nodes"], *names["host"]], _metadata).items():
        places = [
            *(["nodes"] if name in names["nodes"] else []),
            *(["host"] if name in host else []),
        ]
        rows.append(f"| {name} | {licence} | {', '.join(places) or 'checkout'} |")
    return HEAD + "\n".join(rows) + "\n"


def _terms(expression: str) -> set[str]:
    return {term for term in re.split(r"[()\s]+|\bAND\b|\bOR\b", expression) if term}


def _metadata(name: str) -> Any:
    try:
        return metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def main() -> int:
    """Write docs/licences.md; returns the exit code."""
    root = project_root()
    try:
        write_whole(root / PAGE, page(root), 0o644)
    except ClusterOpsError as error:
        print(f"licences: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
