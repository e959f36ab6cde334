# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of several nodes in order of time, and as text."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clusterops.cli import log_view
from clusterops.cli.log_view import Formatter, Merger

Json = dict[str, Any]


def entry(at: float = 10.0, message: str = "hello", node: str = "agent-1", **more: Any) -> Json:
    return {"at": at, "node": node, "service": "docker", "source": "docker.service",
            "level": "info", "message": message, **more}  # fmt: skip


def plain(found: Json, *nodes: str) -> str:
    """Without the time."""
    text = Formatter(nodes).text(found).plain
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} ", text)
    return text.split(" ", 1)[1]


def test_a_line_waits_for_older_ones_of_other_nodes() -> None:
    merger = Merger(hold_s=0.5)
    merger.add(entry(10.2), now=1.0)
    assert list(merger.due(1.4)) == []
    merger.add(entry(10.1, "older"), now=1.4)
    assert [found["message"] for found in merger.due(1.9)] == ["older", "hello"]


def test_lines_of_the_same_time_keep_their_order() -> None:
    merger = Merger()
    for number in range(5):
        merger.add(entry(10.0, str(number)), now=1.0)
    assert [found["message"] for found in merger.rest()] == list("01234")


def test_memory_is_bounded() -> None:
    merger = Merger(hold_s=60)
    for number in range(log_view.HELD_MAX + 500):
        merger.add(entry(float(number)), now=1.0)
    assert [found["at"] for found in merger.due(1.0)] == [float(n) for n in range(500)]
    assert len(merger) == log_view.HELD_MAX


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 0.3)), max_size=40))
def test_what_comes_within_the_hold_is_in_order(lines: list[tuple[float, float]]) -> None:
    """Lines that are late by less than the hold, in the order in which they come."""
    merger, shown = Merger(hold_s=0.4), []
    for at, late in sorted(lines, key=lambda line: line[0] + line[1]):
        shown += list(merger.due(at + late))
        merger.add(entry(at), at + late)
    shown += list(merger.rest())
    assert [found["at"] for found in shown] == sorted(at for at, _ in lines)


def test_columns_are_as_wide_as_what_they_hold() -> None:
    assert plain(entry(), "control-1") == "agent-1   docker hello"


def test_a_bad_line_says_so_unless_it_does_already() -> None:
    assert plain(entry(level="err", message="it broke")).endswith("error: it broke")
    assert plain(entry(level="err", message="ERROR it broke")).endswith("docker ERROR it broke")


def test_structured_lines_tell_their_message_and_then_the_rest() -> None:
    fields = {"level": "info", "time": "now", "message": "job done", "job": 7, "of": {"a": 1}}
    assert plain(entry(message="job done", fields=fields)).endswith('job done  job=7 of={"a": 1}')


def test_a_request_is_one_readable_line() -> None:
    fields = {"method": "GET", "uri": "/health", "status": 200, "duration_s": 0.0123,
              "agent": "agent-2", "client": "10.0.0.1", "upstream_response_s": "0.012"}  # fmt: skip
    assert plain(entry(fields=fields)).endswith("GET /health 200 12 ms  agent-2 10.0.0.1")


def test_nothing_in_a_line_reaches_the_terminal_as_a_command() -> None:
    text = plain(entry(message="\x1b[31mred\x1b[0m\x1b]0;title\x07 tab\there\r"))
    assert text.endswith("red�]0;title� tab here�")


def test_nodes_keep_their_colours() -> None:
    shown = Formatter(["control-1"])
    styles = [
        next(str(span.style) for span in shown.text(entry(node=node)).spans[1:])
        for node in ("control-1", "agent-1", "control-1")
    ]
    assert styles == [log_view.COLOURS[0], log_view.COLOURS[1], log_view.COLOURS[0]]


def test_a_note_is_told_apart() -> None:
    note = log_view.note("agent-2", "agent-2 came", 10.0, "came")
    assert plain(note).endswith("-- agent-2 came --")
    assert log_view.document(note)["source"] == "came"


def test_the_document_is_one_for_programs() -> None:
    assert log_view.document(entry(1795643587.25, fields={"n": 1})) == {
        "at": "2026-11-25T21:53:07.250000Z",
        "node": "agent-1",
        "service": "docker",
        "source": "docker.service",
        "level": "info",
        "message": "hello",
        "fields": {"n": 1},
    }


def test_what_is_no_entry_is_passed_over() -> None:
    for text in ("", "{", "[]", "{}", '{"ready":true}', '{"at": "x"}'):
        assert log_view.parse("a", text) is None
    assert log_view.is_ready('{"ready":true}')
    assert log_view.parse("a", json.dumps({"at": 1}))["node"] == "a"  # type: ignore[index]
