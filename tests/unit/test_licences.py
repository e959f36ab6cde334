# SPDX-License-Identifier: GPL-3.0-or-later
"""Which licences are refused, and whether docs/licences.md is current."""

from __future__ import annotations

from email.message import Message

import pytest

from clusterops.errors import ClusterOpsError
from clusterops.licences import (
    ELSEWHERE,
    PAGE,
    compatible,
    licence_of,
    licences,
    locked,
    page,
    used_by_host,
)
from clusterops.state import project_root


def about(*fields: tuple[str, str]) -> Message:
    message = Message()
    for name, value in fields:
        message[name] = value
    return message


def test_the_page_is_current() -> None:
    root = project_root()
    found = (root / PAGE).read_text(encoding="utf-8")
    assert found == page(root), "write it again: python -m clusterops.licences"


def test_the_page_has_every_locked_package() -> None:
    root = project_root()
    rows = (root / PAGE).read_text(encoding="utf-8")
    for lock in ("node", "host"):
        names = locked((root / f"requirements/{lock}.txt").read_text(encoding="utf-8"))
        assert len(names) > 30
        assert [name for name in names if f"| {name} |" not in rows] == []


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ([("License-Expression", "MIT OR Apache-2.0")], "MIT OR Apache-2.0"),
        ([("Classifier", "License :: OSI Approved :: MIT License")], "MIT"),
        (
            [("Classifier", "License :: OSI Approved :: BSD License"), ("License", "see file")],
            "BSD-3-Clause",
        ),
        ([("License", "Apache-2.0")], "Apache-2.0"),
        ([("License", "All rights reserved")], None),
        ([("Classifier", "License :: OSI Approved")], None),
        ([], None),
    ],
)
def test_what_a_package_says_of_itself(fields: list[tuple[str, str]], licence: str | None) -> None:
    assert licence_of(about(*fields)) == licence


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-2.0-only", False),
        ("Proprietary", False),
        ("MIT AND Proprietary", False),
        ("Proprietary OR MIT", True),
        ("(Apache-2.0 OR BSD-3-Clause)", True),
        ("SSPL-1.0", False),
        ("", False),
    ],
)
def test_what_is_compatible(expression: str, expected: bool) -> None:
    assert compatible(expression) is expected


def test_every_doubtful_package_is_named() -> None:
    packages = {
        "fine": about(("License-Expression", "MIT")),
        "closed": about(("License-Expression", "LicenseRef-Closed")),
        "silent": about(),
    }
    with pytest.raises(ClusterOpsError) as caught:
        licences([*packages, "absent"], packages.get)
    for name in ("closed: LicenseRef-Closed", "silent says no licence", "absent is not installed"):
        assert name in str(caught.value)
    assert "fine" not in str(caught.value)
    assert licences(["fine", *ELSEWHERE], packages.get) == {"fine": "MIT", **ELSEWHERE}


def test_what_the_host_needs_is_followed() -> None:
    root = project_root()
    names = locked((root / "requirements/host.txt").read_text(encoding="utf-8"))
    used = used_by_host(names, root)
    assert {"docker", "urllib3", "pydantic-core", "starlette", "cryptography"} <= used
    assert not {"ruff", "molecule", "yamllint"} & used
