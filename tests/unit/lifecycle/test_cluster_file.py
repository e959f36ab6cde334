# SPDX-License-Identifier: GPL-3.0-or-later
"""One value changes; everything else in cluster.yml stays as the user wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterops.config_file import load_config
from clusterops.errors import UsageError
from clusterops.lifecycle.cluster_file import set_key, with_key

TEXT = """\
# mine
agents_max: 3   # not more
application_path: apps/fibonacci   # the application
application_env: {A: "1"}
"""
LOCATIONS = [
    "apps/whoami",
    "git://h/a.git#main",
    "git@h:t/a.git",
    "/srv/my app",
    "a: b",
    "yes",
    "12",
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("before", LOCATIONS)
def test_any_location_after_any_other(file: Path, before: str, location: str) -> None:
    set_key(file, "application_path", before)
    assert set_key(file, "application_path", location) is (location != before)
    assert load_config(file).application_path == location
    lines, old = file.read_text().splitlines(), TEXT.splitlines()
    assert [lines[0], lines[1], lines[3]] == [old[0], old[1], old[3]]
    assert lines[2].endswith("   # the application")
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_key_that_is_not_there_comes_to_the_end() -> None:
    assert (
        with_key("agents_max: 3", "application_path", "x") == "agents_max: 3\napplication_path: x\n"
    )
    assert with_key("", "application_path", "x") == "application_path: x\n"


def test_a_comment_or_a_longer_key_is_not_the_key() -> None:
    text = "# application_path: no\nmy_application_path: no\n"
    assert with_key(text, "application_path", "x") == text + "application_path: x\n"


@pytest.mark.parametrize("text", ["{agents_max: 3}\n", "application_path: >-\n  apps/fibonacci\n"])
def test_a_form_that_is_not_understood_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cluster.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match="cannot be changed") as caught:
        set_key(path, "application_path", "apps/whoami")
    assert caught.value.remedy == "write it yourself: application_path: apps/whoami"
    assert path.read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["cluster.yml"]
