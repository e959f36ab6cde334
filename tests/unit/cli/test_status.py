# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import re
import time
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from clusterops import clients
from clusterops.cli import app, main, output, status
from clusterops.cli.snapshot import Snapshot, compose, take
from clusterops.errors import NotRunningError


def text_of(view: Any, width: int = 140) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(view)
    return stream.getvalue()


def test_json_has_exactly_the_fields_of_the_contract(manager: Any, scaler: Any) -> None:
    result = CliRunner().invoke(app, ["status", "--json"])
    assert result.exit_code == 0
    document = json.loads(result.output)
    assert set(document) == {
        "name", "provider", "nodes", "scaler", "load_balancer", "application"
    }  # fmt: skip
    assert [node["name"] for node in document["nodes"]] == ["control-1", "agent-1", "agent-2"]
    assert document["nodes"][1] == {
        "name": "agent-1",
        "role": "agent",
        "state": "running",
        "in_service": True,
        "cpu_percent": 42.5,
        "memory_percent": 30.0,
        "address": "10.9.8.101",
        "ports": {"ssh": 2224},
    }
    assert document["nodes"][2]["in_service"] is False
    assert document["scaler"] == {
        "mode": "auto",
        "desired": 1,
        "min": 1,
        "max": 4,
        "last_decision": {
            "at": "2030-01-01T00:00:00.000Z",
            "action": "none",
            "reason": "CPU 42 % is between 30 and 70 %",
        },
    }
    assert document["load_balancer"]["url"] == "http://127.0.0.1:8080"
    assert document["load_balancer"]["upstreams"][0]["in_flight"] == 3
    assert document["application"] == {"name": "fibonacci", "release": "r1", "healthy": True}


def test_alerts_that_fire_are_told(
    manager: Any, scaler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Alert" not in CliRunner().invoke(app, ["status"]).output
    monkeypatch.setattr(clients, "alerts", lambda _cluster: ("DiskNearlyFull: make room",))
    said = CliRunner().invoke(app, ["status"]).output
    assert re.search(r"Alert +DiskNearlyFull: make room", said)


def test_a_silent_scaler_is_said_and_the_nodes_are_still_shown(manager: Any, scaler: Any) -> None:
    scaler.document = None
    result = CliRunner().invoke(app, ["status", "--json"])
    assert result.exit_code == 0
    document = json.loads(result.output)
    assert document["scaler"] == {
        "mode": "unreachable", "desired": None, "min": 1, "max": 4, "last_decision": None
    }  # fmt: skip
    assert [node["in_service"] for node in document["nodes"]] == [False, None, False]
    assert document["application"] == {"name": None, "release": None, "healthy": None}

    human = CliRunner().invoke(app, ["status"])
    assert human.exit_code == 0
    assert "unreachable" in human.output
    assert "agent-1" in human.output


def test_a_cluster_that_was_never_started_is_exit_3(
    state: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 3
    assert capsys.readouterr().err == (
        "Error: The cluster is not running.\n→ start it with ./playground up\n"
    )


def test_a_cluster_without_machines_is_not_running(manager: Any, scaler: Any) -> None:
    manager.list = []
    with pytest.raises(NotRunningError, match="no machines"):
        take(manager, scaler, manager.cluster())


def test_human_view_shows_load_decision_and_addresses(manager: Any, scaler: Any) -> None:
    output_text = CliRunner().invoke(app, ["status"]).output
    assert "in service" in output_text
    assert "42 %" in output_text
    assert "CPU 42 % is between 30 and 70 %" in output_text
    assert "http://127.0.0.1:9000" in output_text


@pytest.mark.parametrize("width", [66, 80, 100, 120, 200])
def test_nothing_is_cut_whatever_the_width(manager: Any, scaler: Any, width: int) -> None:
    for node in manager.list:
        node["address"] = node["address"] and "192.168.156.101"
    text = text_of(status.render(take(manager, scaler, manager.cluster()), width=width), width)
    assert "…" not in text
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= width
    assert lines[2].split() == ["Node", "State", "CPU", "Memory", "In", "flight", "Address"]
    row = next(line for line in lines if line.startswith("agent-1"))
    assert "in service" in row and "42 %" in row and row.endswith("192.168.156.101")
    assert ("█" in row) == (width >= 80)  # a narrow terminal gets the numbers alone


def test_a_long_decision_goes_on_below_its_own_beginning(manager: Any, scaler: Any) -> None:
    assert scaler.document is not None
    scaler.document["last_decision"]["reason"] = "average CPU 5 % is below 30 % " * 4
    text = text_of(status.render(take(manager, scaler, manager.cluster())), 80)
    lines = text.splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("Decision"))
    assert "no change: average CPU" in lines[first]
    assert lines[first + 1].startswith(" " * 15) and lines[first + 1][15] != " "


@pytest.mark.parametrize(
    ("machine", "agent", "entry", "word"),
    [
        ("running", {"in_service": True, "healthy": True}, "in_service", "in service"),
        ("running", {"in_service": False, "healthy": True}, "draining", "draining"),
        ("running", {"in_service": True, "healthy": False}, "in_service", "unhealthy"),
        ("running", {"in_service": False, "healthy": False}, None, "running"),
        ("stopped", {"in_service": False, "healthy": False}, None, "stopped"),
        ("stopped", {"in_service": True, "healthy": False}, "in_service", "stopped"),
    ],
)
def test_one_word_says_what_a_node_does(
    manager: Any, scaler: Any, machine: str, agent: dict[str, Any], entry: str | None, word: str
) -> None:
    assert scaler.document is not None
    manager.list[1]["state"] = machine
    scaler.document["agents"] = [{"name": "agent-1", **agent}]
    pool = [{"name": "agent-1", "state": entry, "in_flight": 0}] if entry else []
    scaler.document["load_balancer"] = {"agents": pool}
    text = text_of(status.render(take(manager, scaler, manager.cluster())))
    row = next(line for line in text.splitlines() if line.startswith("agent-1"))
    assert re.split(r"  +", row)[1] == word


def test_human_view_shows_what_happens_now_and_alarms(manager: Any, scaler: Any) -> None:
    assert scaler.document is not None
    scaler.document["action"] = {
        "kind": "scale_up", "agent": "agent-2", "step": "waiting for ssh",
        "started_at": time.time() - 8,
    }  # fmt: skip
    scaler.document["alarms"] = ["agent-1 was replaced"]
    text = text_of(status.render(take(manager, scaler, manager.cluster())))
    assert "scale up agent-2: waiting for ssh (8 s)" in text
    assert "agent-1 was replaced" in text


def test_text_from_outside_is_not_markup(manager: Any, scaler: Any) -> None:
    assert scaler.document is not None
    scaler.document["last_decision"]["reason"] = "[/bold] odd [red]"
    text = text_of(status.render(take(manager, scaler, manager.cluster())))
    assert "[/bold] odd [red]" in text


def test_an_open_bind_address_is_shown_as_one_that_can_be_opened(manager: Any) -> None:
    cluster = manager.cluster()
    cluster["config"]["cluster_bind_address"] = "0.0.0.0"
    document = compose(Snapshot(cluster, manager.servers(), None, "silent"))
    assert document["load_balancer"]["url"] == "http://127.0.0.1:8080"


def test_compose_survives_a_scaler_that_has_seen_nothing_yet(manager: Any) -> None:
    empty = {"mode": "auto", "desired": None, "last_decision": None, "agents": None}
    document = compose(Snapshot(manager.cluster(), manager.servers(), empty))
    assert document["scaler"]["last_decision"] is None
    assert document["load_balancer"]["upstreams"] == []


def test_watch_prints_a_block_each_second_without_a_terminal(
    manager: Any, scaler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scaler.document is not None
    later = {**scaler.document, "last_decision": {"at": 2, "action": "scale_up", "reason": "busy"}}
    scaler.answers = [scaler.document, later]
    naps = iter([None, None])

    def sleep(_seconds: float) -> None:
        if next(naps, "over") == "over":
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    result = CliRunner().invoke(app, ["status", "--watch"])
    assert result.exit_code == 0
    assert result.output.count("Last decisions") == 3
    last = result.output.rsplit("Last decisions", 1)[1]
    assert "scale up: busy" in last
    assert "between 30 and 70" in last


def test_watch_goes_on_when_the_cluster_stops_answering(
    manager: Any, scaler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_seconds: float) -> None:
        if not manager.list:
            raise KeyboardInterrupt
        manager.list = []

    monkeypatch.setattr(status.time, "sleep", sleep)
    result = CliRunner().invoke(app, ["status", "--watch"])
    assert result.exit_code == 0
    assert "no machines" in result.output


def test_watch_with_json_prints_one_document_a_line(
    manager: Any, scaler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps = iter([None])

    def sleep(_seconds: float) -> None:
        if next(naps, "over") == "over":
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    result = CliRunner().invoke(app, ["status", "--watch", "--json"])
    lines = result.output.strip().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["playground", "playground"]


def test_bar_and_sparkline() -> None:
    assert output.bar(None) == "-"
    assert output.bar(50, width=0) == "50 %"
    assert output.bar(50, width=4) == "██░░  50 %"
    assert output.bar(250, width=4).startswith("████ ")
    assert output.sparkline([]) == ""
    assert output.sparkline([0, 0]) == "▁▁"
    assert output.sparkline([0, 4, 8]) == "▁▅█"


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (1000.0, "5 s ago"),
        ("1970-01-01T00:16:40Z", "5 s ago"),
        ("1970-01-01T00:16:40", "5 s ago"),
        (705, "5 min ago"),
        (2000, "0 s ago"),
        ("soon", "at an unknown time"),
        (None, "at an unknown time"),
    ],
)
def test_ago(at: Any, words: str) -> None:
    assert output.ago(at, now=1005.0) == words
