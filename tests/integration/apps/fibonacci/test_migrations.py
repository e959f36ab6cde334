# SPDX-License-Identifier: GPL-3.0-or-later
from typing import Any

import psycopg
import pytest

pytestmark = pytest.mark.integration


def _run(start: Any, *arguments: str) -> Any:
    process = start("migrate", *arguments)
    process.popen.wait(timeout=30)
    return process


def test_up_status_down(start: Any, database: str) -> None:
    assert _run(start, "status").output == "pending  0001_request_counts\n"
    assert _run(start, "up").popen.returncode == 0
    assert _run(start, "status").output == "applied  0001_request_counts\n"
    again = _run(start, "up")
    assert (again.popen.returncode, again.logged("nothing to migrate") is not None) == (0, True)
    assert _run(start, "down").popen.returncode == 0
    assert _run(start, "status").output == "pending  0001_request_counts\n"
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT to_regclass('request_counts')").fetchone() == (None,)


def test_many_at_the_same_time(start: Any, database: str) -> None:
    processes = [start("migrate", "up") for _ in range(6)]
    assert [process.popen.wait(timeout=30) for process in processes] == [0] * 6
    assert sum(process.logged("migrated") is not None for process in processes) == 1
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT version FROM schema_migrations").fetchall() == [(1,)]


def test_a_file_changed_after_it_was_applied(start: Any, migrated: None, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE schema_migrations SET checksum = 'other'")
    process = _run(start, "up")
    assert process.popen.returncode == 1
    assert "0001_request_counts was changed after it was applied" in process.output
    assert "Traceback" not in process.output


def test_a_migration_that_fails_leaves_nothing_behind(start: Any, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE request_counts ()")
    process = _run(start, "up")
    assert process.popen.returncode == 1
    assert "0001_request_counts failed and was undone" in process.output
    with psycopg.connect(database) as connection:
        connection.execute("DROP TABLE request_counts")
    assert _run(start, "up").popen.returncode == 0
