# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that grow, are replaced, and come and go; the journal itself is asked in e2e tests."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from clusterops.on_node import log_collector
from clusterops.on_node.log_collector import Tails


def query(folder: Path, **more: Any) -> dict[str, Any]:
    return {"lines": 100, "files": {"x": [f"{folder}/*.log"]}, **more}


def everything(_entry: dict[str, Any]) -> bool:
    return True


def line(second: int, words: str) -> str:
    return f"2026-11-25 21:52:{second:02} UTC {words}\n"


def messages(entries: Any) -> list[str]:
    return [entry["message"] for entry in entries]


def printed(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(text) for text in out.getvalue().splitlines()]


def test_the_last_lines_of_all_files_in_order_of_time(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("".join(line(second, f"a{second}") for second in (1, 3, 5)))
    (tmp_path / "b.log").write_text("".join(line(second, f"b{second}") for second in (2, 4)))
    out = io.StringIO()
    log_collector.run(query(tmp_path, lines=3, follow=False), out)
    assert messages(printed(out)[:-1]) == ["a3", "b4", "a5"]
    assert printed(out)[-1] == {"ready": True}


def test_lines_that_match_are_found_far_from_the_end(tmp_path: Path) -> None:
    noise = "".join(line(2, f"noise {number}" + "x" * 200) for number in range(3000))
    (tmp_path / "a.log").write_text(line(1, "needle one") + noise + line(3, "needle two") + noise)
    out = io.StringIO()
    log_collector.run(query(tmp_path, lines=2, follow=False, grep="needle"), out)
    assert messages(printed(out)[:-1]) == ["needle one", "needle two"]


def test_only_whole_lines_are_new(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text(line(1, "old"))
    tails = Tails(query(tmp_path), everything)
    assert messages(tails.old(10)) == ["old"]
    with file.open("a") as stream:
        stream.write(line(2, "new") + "2026-11-25 21:52:03 UTC ha")
        stream.flush()
        assert messages(tails.new()) == ["new"]
        stream.write("lf\n")
    assert messages(tails.new()) == ["half"]
    assert messages(tails.new()) == []


@pytest.mark.parametrize("how", ["renamed", "emptied"])
def test_a_file_that_is_rotated_is_read_on(tmp_path: Path, how: str) -> None:
    file = tmp_path / "a.log"
    file.write_text(line(1, "old one, and a long one"))
    tails = Tails(query(tmp_path), everything)
    tails.old(10)
    with file.open("a") as stream:
        stream.write(line(2, "last words"))
    if how == "renamed":
        file.rename(tmp_path / "a.log.1")
    else:
        assert messages(tails.new()) == ["last words"]
        os.truncate(file, 0)
    file.write_text(line(3, "new"))
    expected = ["last words", "new"] if how == "renamed" else ["new"]
    assert messages(tails.new()) == expected


def test_files_that_come_later_are_read_from_their_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tails = Tails(query(tmp_path), everything)
    assert tails.old(10) == []
    (tmp_path / "b.log").write_text(line(1, "first"))
    monkeypatch.setattr(log_collector, "_RESCAN_S", -1.0)
    assert messages(tails.new()) == ["first"]
    (tmp_path / "b.log").unlink()
    assert messages(tails.new()) == []


def test_following_ends_when_nobody_listens_any_more(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text(line(1, "old"))
    reader, writer = os.pipe()
    out = io.StringIO()
    thread = threading.Thread(
        target=log_collector.run, args=(query(tmp_path, follow=True), out, reader)
    )
    thread.start()
    ends = time.monotonic() + 10
    while '"ready"' not in out.getvalue() and time.monotonic() < ends:
        time.sleep(0.01)
    with file.open("a") as stream:
        stream.write(line(2, "new"))
    while '"new"' not in out.getvalue() and time.monotonic() < ends:
        time.sleep(0.01)
    os.close(writer)
    thread.join(timeout=10)
    os.close(reader)
    assert not thread.is_alive()
    assert [entry.get("message", "-") for entry in printed(out)] == ["old", "-", "new"]
