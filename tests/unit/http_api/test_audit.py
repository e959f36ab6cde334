# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterops.http_api.audit import (
    BURST,
    EVERY_S,
    FILES_KEPT,
    Audit,
    AuditFile,
    Entry,
    newest_first,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def ask(audit: Audit, **changes: Any) -> None:
    given: dict[str, Any] = {
        "who": "admin", "peer": "127.0.0.1", "method": "POST", "path": "/x", "what": {},
        "status": 200, "seconds": 0.1234,
    }  # fmt: skip
    audit.request(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"method": "DELETE", "status": 404}, True),
        ({"method": "GET"}, False),
        ({"method": "GET", "status": 404}, False),
        ({"method": "GET", "status": 401, "who": "none"}, True),
        ({"method": "GET", "status": 403, "who": "read"}, True),
        ({"method": "GET", "status": 421, "who": "none"}, True),
    ],
)
def test_what_is_written_down(changes: dict[str, Any], kept: bool) -> None:
    found: list[Entry] = []
    ask(Audit("scaler", found.append), **changes)
    assert bool(found) is kept


def test_strangers_are_counted_and_not_all_written_down() -> None:
    found: list[Entry] = []
    clock = Clock()
    audit = Audit("scaler", found.append, clock)
    for _ in range(BURST + 50):
        ask(audit, who="none", status=401)
    assert len(found) == BURST
    ask(audit)
    assert found[-1].left_out == 50, "those with a token are always written down"
    clock.now += EVERY_S
    ask(audit, who="none", status=401)
    ask(audit, who="none", status=401)
    assert len(found) == BURST + 2 and found[-1].left_out == 0


def test_an_entry_that_cannot_be_written_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def full(_: Entry) -> None:
        raise OSError(28, "No space left on device")

    ask(Audit("scaler", full))
    assert "an entry of the audit log is lost" in caplog.text


def test_the_file_is_private_and_turned_over(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit = Audit("server-manager", AuditFile(path, file_bytes=2000))
    for number in range(100):
        ask(audit, path=f"/{number}")
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["audit.log", *(f"audit.log.{n}" for n in range(1, FILES_KEPT))][: len(files)]
    assert len(files) == FILES_KEPT
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in tmp_path.iterdir())
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < (FILES_KEPT + 1) * 2300
    paths = [entry["path"] for entry in newest_first(path)]
    assert paths == [f"/{number}" for number in range(99, 99 - len(paths), -1)]


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    ask(Audit("server-manager", AuditFile(path)))
    with path.open("a") as stream:
        stream.write('{"at": "20\n[1]\n')
    assert [entry["who"] for entry in newest_first(path)] == ["admin"]
    assert list(newest_first(tmp_path / "none")) == []


def test_what_people_send_stays_one_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    ask(Audit("server-manager", AuditFile(path)), path="/\n\x1b[31m\u2028" + "a" * 500)
    (line,) = path.read_bytes().splitlines()
    assert b"\x1b" not in line and len(json.loads(line)["path"]) == 200
