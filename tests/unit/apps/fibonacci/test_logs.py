# SPDX-License-Identifier: GPL-3.0-or-later
import json
import logging

from fibonacci.logs import JsonFormatter, NotAgain, request_id


def _record(message: str, created: float = 0.0) -> logging.LogRecord:
    record = logging.LogRecord("x", logging.WARNING, "f.py", 1, message, None, None)
    record.created = created
    return record


def test_an_entry_is_one_line_of_json_with_the_request_id() -> None:
    record = _record("two\nlines")
    record.fields = {"index": 3}
    token = request_id.set("abc")
    try:
        line = JsonFormatter("fibonacci-api").format(record)
    finally:
        request_id.reset(token)
    assert "\n" not in line
    entry = json.loads(line)
    assert entry["message"] == "two\nlines"
    assert (entry["service"], entry["request_id"], entry["index"]) == ("fibonacci-api", "abc", 3)


def test_a_repeated_message_is_dropped_for_a_while() -> None:
    keep = NotAgain(seconds=30)
    seen = [("gone", 100.0), ("gone", 110.0), ("other", 111.0), ("gone", 112.0), ("gone", 150.0)]
    kept = [keep.filter(_record(message, at)) for message, at in seen]
    assert kept == [True, False, True, True, True]
