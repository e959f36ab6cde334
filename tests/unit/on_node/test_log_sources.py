# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines as programs write them, and the entries that are made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterops.on_node.log_sources import (
    Limiter,
    containers,
    from_container,
    from_file,
    from_journal,
    instant,
    service_of,
    severity,
    wanted,
)


def journal(**fields: Any) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": "1795643587237837", "__CURSOR": "s=1", **fields})


def test_a_journal_entry_belongs_to_its_unit() -> None:
    line = journal(MESSAGE="hello", PRIORITY="3", _SYSTEMD_UNIT="clusterops-scaler.service")
    assert from_journal(line) == (
        {
            "at": pytest.approx(1795643587.237837),
            "service": "scaler",
            "source": "clusterops-scaler.service",
            "level": "err",
            "message": "hello",
        },
        "s=1",
    )


def test_what_the_service_manager_says_about_a_unit_belongs_to_the_unit() -> None:
    parsed = from_journal(journal(MESSAGE="x", _SYSTEMD_UNIT="init.scope", UNIT="nginx.service"))
    assert parsed is not None
    assert parsed[0]["service"] == "load-balancer"


def test_a_login_is_known_by_its_program() -> None:
    parsed = from_journal(
        journal(MESSAGE="x", _SYSTEMD_UNIT="session-3.scope", SYSLOG_IDENTIFIER="sshd")
    )
    assert parsed is not None
    assert parsed[0]["service"] == "sshd"


def test_bytes_that_are_no_text_are_still_shown() -> None:
    parsed = from_journal(journal(MESSAGE=[104, 105, 255], SYSLOG_IDENTIFIER="x"))
    assert parsed is not None
    assert parsed[0]["message"] == "hi�"


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", '{"__REALTIME_TIMESTAMP": "soon"}', b"\xff"])
def test_what_is_no_entry_is_passed_over(line: str | bytes) -> None:
    assert from_journal(line) is None


@pytest.mark.parametrize(
    ("text", "level", "message"),
    [
        ("ERROR it broke", "err", "ERROR it broke"),
        ("INFO listening on 9000", "info", "INFO listening on 9000"),
        ("an error in the middle", "info", "an error in the middle"),
        ('{"level": "warning", "message": "slow", "n": 3}', "warning", "slow"),
        ('{"severity": "FATAL", "msg": "gone"}', "crit", "gone"),
        ("{not json", "info", "{not json"),
        ('time="2026-11-25T21:53:06Z" level=warning msg="a \\"b\\" c" x=1', "warning", 'a "b" c'),
        ("ts=2026-11-25T21:53:06Z caller=main.go level=error msg=bad", "err", "bad"),
    ],
)
def test_a_level_that_a_line_has_is_its_own(text: str, level: str, message: str) -> None:
    parsed = from_journal(journal(MESSAGE=text, SYSLOG_IDENTIFIER="x", PRIORITY="6"))
    assert parsed is not None
    assert (parsed[0]["level"], parsed[0]["message"]) == (level, message)


def test_a_containers_line() -> None:
    raw = json.dumps(
        {"log": '{"level":"error","message":"no database"}\n', "stream": "stdout",
         "time": "2026-11-25T21:52:26.123456789Z"}
    )  # fmt: skip
    entry = from_container(raw, "app/api", "fibonacci-api-1")
    assert entry is not None
    assert entry["at"] == pytest.approx(1795643546.123456)
    assert (entry["service"], entry["level"], entry["message"]) == ("app/api", "err", "no database")
    assert from_container('{"log": 1}', "a", "b") is None
    assert from_container('{"log": "x", "time": "late"}', "a", "b") is None


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        (
            "2026/11/25 21:52:26 [error] 7#7: *1 no live upstreams",
            "err",
            "[error] 7#7: *1 no live upstreams",
        ),
        (
            "2026-11-25 21:52:26.945 UTC [142] FATAL:  no such role",
            "crit",
            "[142] FATAL:  no such role",
        ),
        ("142:M 25 Nov 2026 21:52:26.258 * Ready to accept", "info", "* Ready to accept"),
    ],
)
def test_files_of_services(line: str, level: str, message: str) -> None:
    entry = from_file(line, "x", "x.log", 5.0)
    assert (entry["level"], entry["message"]) == (level, message)
    assert abs(entry["at"] - 1795643546) < 14 * 3600 + 1  # without a zone it is the node's time


def test_the_access_log_has_its_own_time_and_fields() -> None:
    entry = from_file('{"epoch_s":1795643546.5,"status":200}', "load-balancer", "access.log", 5.0)
    assert entry["at"] == 1795643546.5
    assert entry["fields"]["status"] == 200


def test_a_line_without_a_time_has_that_of_the_one_before() -> None:
    assert from_file("  at main.py line 3", "x", "x.log", 5.0)["at"] == 5.0


def test_times() -> None:
    assert instant("2026-11-25T21:52:26Z x") == 1795643546
    assert instant("2026-11-25 21:52:26,5 UTC x") == 1795643546.5
    assert instant("2026-13-25 21:52:26 UTC") is None
    assert instant("hello") is None


@pytest.mark.parametrize(
    ("unit", "service"),
    [
        ("clusterops-metrics-api.service", "metrics-api"),
        ("nginx.service", "load-balancer"),
        ("postgresql@17-main.service", "postgresql"),
        ("docker-registry.service", "registry"),
        ("docker.service", "docker"),
        ("cron", "cron"),
    ],
)
def test_units_are_known_by_what_they_do(unit: str, service: str) -> None:
    assert service_of(unit) == service


def test_levels_by_any_of_their_names() -> None:
    assert [severity(name) for name in ("err", "ERROR", "warn", "debug", "loud")] == [
        3, 3, 4, 7, None,
    ]  # fmt: skip


ENTRY = {"at": 10.0, "service": "app/api", "source": "fib-api-1", "level": "warning",
         "message": "Request took LONG"}  # fmt: skip


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, True),
        ({"services": ["app"]}, True),
        ({"services": ["app/worker"]}, False),
        ({"services": ["scaler", "fib-*"]}, True),
        ({"priority": 3}, False),
        ({"priority": 4}, True),
        ({"grep": "took long"}, True),
        ({"grep": "^took"}, False),
        ({"since": 10.0}, True),
        ({"since": 10.1}, False),
        ({"services": ["app"], "priority": 4, "grep": "quick"}, False),
    ],
)
def test_filters(query: dict[str, Any], shown: bool) -> None:
    assert wanted(query)(ENTRY) is shown


def test_containers_are_known_by_the_services_of_their_composition(tmp_path: Path) -> None:
    for name, labels in (("one", {"com.docker.compose.service": "api"}), ("two", {})):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}-json.log").write_text("")
        config = {"Name": f"/fib-{name}", "Config": {"Labels": labels}}
        (folder / "config.v2.json").write_text(json.dumps(config))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "torn-json.log").write_text("")
    (tmp_path / "torn" / "config.v2.json").write_text("{")
    found = containers(tmp_path)
    assert sorted(found.values()) == [("app/api", "fib-one"), ("app/fib-two", "fib-two")]


def entry(at: float, level: str = "info", service: str = "app/api") -> dict[str, Any]:
    return {**ENTRY, "at": at, "level": level, "service": service}


def test_a_service_that_writes_much_is_cut_in_each_second_and_that_is_said() -> None:
    few = Limiter(2)
    shown = [line for at in (10.1, 10.2, 10.3, 10.4) for line in few.take(entry(at))]
    assert [line["at"] for line in shown] == [10.1, 10.2]
    note, next_one = few.take(entry(11.0))
    assert note["message"] == "2 more lines of app/api in this second"
    assert note["note"] is True
    assert 10.4 < note["at"] < 11.0
    assert next_one["at"] == 11.0


def test_what_is_bad_and_what_others_write_is_never_cut() -> None:
    few = Limiter(1)
    entries = [entry(10.1), entry(10.2, "err"), entry(10.3, "warning"), entry(10.4, service="x")]
    assert [line for each in entries for line in few.take(each)] == entries
    assert list(few.over(12.0)) == []


def test_what_was_cut_last_is_said_although_nothing_follows() -> None:
    few = Limiter(1)
    for at in (10.1, 10.2, 10.3):
        list(few.take(entry(at)))
    assert list(few.over(10.9)) == []
    assert [note["message"] for note in few.over(11.0)] == [
        "2 more lines of app/api in this second"
    ]
    assert list(few.over(12.0)) == []


def test_without_a_limit_nothing_is_cut() -> None:
    few = Limiter(0)
    entries = [entry(10.0 + number / 1000) for number in range(500)]
    assert [line for each in entries for line in few.take(each)] == entries


def test_very_long_lines_are_cut_and_not_taken_apart() -> None:
    text = json.dumps({"message": "x", "more": "y" * 20_000})
    parsed = from_journal(journal(MESSAGE=text, SYSLOG_IDENTIFIER="x"))
    assert parsed is not None
    assert "fields" not in parsed[0]
    assert len(parsed[0]["message"]) == 16_384


@pytest.mark.parametrize(
    ("unit", "program", "service"),
    [("ssh.service", "sshd", "ssh"), ("ssh.service", "sshd-session", "ssh"),
     ("ssh.service", "backup", "backup"), ("cron.service", "CRON", "CRON")],
)  # fmt: skip
def test_a_program_that_somebody_started_through_ssh_has_its_own_name(
    unit: str, program: str, service: str
) -> None:
    parsed = from_journal(journal(MESSAGE="x", _SYSTEMD_UNIT=unit, SYSLOG_IDENTIFIER=program))
    assert parsed is not None
    assert parsed[0]["service"] == service
