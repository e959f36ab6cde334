# SPDX-License-Identifier: GPL-3.0-or-later
from pathlib import Path

import pytest
from fibonacci.errors import MigrationError
from fibonacci.migrate import find_migrations


def _write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text("SELECT 1;")
    return folder


def test_the_applications_own_are_well_formed() -> None:
    versions = [migration.version for migration in find_migrations()]
    assert versions == list(range(1, len(versions) + 1))


def test_they_come_in_order(tmp_path: Path) -> None:
    _write(tmp_path, "0010_b.up.sql", "0010_b.down.sql", "0002_a.up.sql", "0002_a.down.sql")
    assert [m.name for m in find_migrations(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "no migrations"),
        (("0001_a.up.sql",), "0001 needs one .up.sql and one .down.sql"),
        (("0001_a.up.sql", "0001_b.down.sql"), "0001 needs one"),
        (("0001_a.up.sql", "0001_b.up.sql"), "used twice"),
        (("1_a.up.sql",), "expected NNNN_name"),
    ],
)
def test_broken_folders_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(MigrationError, match=message):
        find_migrations(_write(tmp_path, *names))
