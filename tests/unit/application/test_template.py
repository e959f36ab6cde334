# SPDX-License-Identifier: GPL-3.0-or-later
"""`app new`: a beginning that works."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterops.application.manifest import load_manifest
from clusterops.application.template import EXAMPLE, SCHEMA, manifest_text, write_application
from clusterops.application.validation import validate
from clusterops.errors import UsageError
from clusterops.state import project_root


def test_a_new_application_has_nothing_wrong(tmp_path: Path) -> None:
    folder = write_application(tmp_path / "apps", "shop")
    assert validate(folder) == [] and load_manifest(folder).name == "shop"
    schema = (folder / "app.yml").read_text().partition("$schema=")[2].split("\n")[0]
    assert (folder / schema).resolve() == (project_root() / SCHEMA).resolve()
    assert sorted(path.name for path in (tmp_path / "apps").iterdir()) == ["shop"]


def test_the_example_is_one_of_them() -> None:
    text = (project_root() / "apps" / EXAMPLE / "app.yml").read_text()
    assert text == manifest_text(EXAMPLE, f"../../{SCHEMA}")


@pytest.mark.parametrize("name", ["Shop", "", "../shop", "a b", "1st"])
def test_a_name_that_cannot_be_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="NAME: found"):
        write_application(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = write_application(tmp_path, "shop")
    (folder / "app.yml").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_application(tmp_path, "shop")
    assert (folder / "app.yml").read_text() == "mine"
