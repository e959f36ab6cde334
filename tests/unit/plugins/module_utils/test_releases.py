# SPDX-License-Identifier: GPL-3.0-or-later
"""Release folders, and environment files that Compose reads back exactly."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils._releases import (
    InvalidEnvironment,
    Releases,
    environment_file,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
VALUES = st.text(alphabet=st.one_of(st.characters(), st.sampled_from("'\"\\$#= \n")), max_size=20)


def compose_reads(text: str) -> dict[str, str]:
    """Compose's rule: between single quotes everything is literal, but a quote after a
    backslash does not end the value."""
    found: dict[str, str] = {}
    while text:
        name, quote, rest = text.partition("='")
        assert quote
        end = 0
        while rest[end] != "'" or (end and rest[end - 1] == "\\"):
            end += 1
        found[name] = rest[:end]
        assert rest[end + 1] == "\n"
        text = rest[end + 2 :]
    return found


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_what_is_written_is_read_back_or_refused(environment: dict[str, str]) -> None:
    try:
        text = environment_file(environment)
    except InvalidEnvironment:
        assert any(
            set(value) & set("\n\r\0'")
            or value.endswith("\\")
            or any("\ud800" <= character <= "\udfff" for character in value)
            for value in environment.values()
        )
        return
    text.encode()
    assert compose_reads(text if environment else "") == environment


@pytest.mark.parametrize(
    "value", ["", "a b", "$HOME ${X} $(id)", '"', "#no comment", "C:\\temp\\x", "ü", "a=b", " x "]
)
def test_values_that_look_special(value: str) -> None:
    assert compose_reads(environment_file({"KEY": value})) == {"KEY": value}


@pytest.mark.parametrize(
    "value", ["hunter2\n", "hunter2\r", "hunter2\0", "hunter'2", "hunter2\\", "hunter2\ud800"]
)
def test_a_refused_value_is_not_told(value: str) -> None:
    with pytest.raises(InvalidEnvironment, match="the value of KEY ") as caught:
        environment_file({"KEY": value})
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "1A", "A B", "A-B", "A\n", "Ä", "A.B"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(InvalidEnvironment, match="is not the name of an environment variable"):
        environment_file({name: "x"})


def test_a_value_in_the_place_of_a_name_is_not_told() -> None:
    with pytest.raises(InvalidEnvironment, match="'PASS WORD' is not") as caught:
        environment_file({"PASS WORD=hunter2": ""})
    assert "hunter2" not in str(caught.value)


def test_the_order_of_variables_does_not_matter() -> None:
    assert environment_file({"B": "2", "A": "1"}) == environment_file({"A": "1", "B": "2"})


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(str(tmp_path / "shop"))


FILES = {"compose.yml": "services: {}\n", ".env": "A='1'\n"}


def test_before_the_first_release(releases: Releases) -> None:
    assert releases.current() is None
    assert releases.matches("r1", FILES) is False


def test_files_are_the_owners_alone(releases: Releases) -> None:
    releases.write("r1", FILES)
    folder = Path(releases.path("r1"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "compose.yml": 0o600,
        ".env": 0o600,
    }


def test_a_release_matches_only_exactly_its_files(releases: Releases) -> None:
    releases.write("r1", FILES)
    assert releases.matches("r1", FILES)
    assert not releases.matches("r1", {**FILES, ".env": "A='2'\n"})
    assert not releases.matches("r1", {**FILES, "more": ""})
    releases.write("r1", {".env": "A='2'\n"})
    assert releases.matches("r1", {**FILES, ".env": "A='2'\n"})


def test_the_current_release_is_a_relative_link(releases: Releases, tmp_path: Path) -> None:
    releases.write("r1", FILES)
    releases.switch("r1")
    assert releases.current() == "r1"
    assert (tmp_path / "shop/current").readlink() == Path("releases/r1")


def test_a_switch_that_was_cut_off_does_not_hinder_the_next(
    releases: Releases, tmp_path: Path
) -> None:
    releases.write("r1", FILES)
    (tmp_path / "shop/current.new").symlink_to("releases/r0")
    releases.switch("r1")
    assert releases.current() == "r1"
    assert not os.path.lexists(tmp_path / "shop/current.new")


def test_old_releases_go_but_never_the_current_one(releases: Releases) -> None:
    for number in range(6):
        releases.write(f"r{number}", FILES)
        os.utime(releases.path(f"r{number}"), (number, number))
    releases.switch("r0")
    assert sorted(releases.prune()) == ["r1", "r2", "r3"]
    assert {path.name for path in Path(releases.path("r0")).parent.iterdir()} == {"r0", "r4", "r5"}
    assert releases.prune() == []
