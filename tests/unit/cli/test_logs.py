# SPDX-License-Identifier: GPL-3.0-or-later
"""logs: which nodes are asked for what, and what becomes of their answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from clusterops.cli import fleet, log_view, logs, main
from clusterops.cli.fleet import Line, Program
from tests.unit.cli.conftest import server

Json = dict[str, Any]
READY = '{"ready":true}'


class FakeFleet:
    """Nodes that say what a test has put into their mouths."""

    says: ClassVar[dict[str, list[str]]]
    later: ClassVar[list[list[Line]]]
    failures: ClassVar[dict[str, str]]
    queries: ClassVar[dict[str, Json]]

    def __init__(self, program: Callable[[str], Program], command: Any, *, keep: bool) -> None:
        self._program, self._keep = program, keep
        self.nodes: list[str] = []
        self._waiting: list[Line] = []
        self.closed = False

    def __enter__(self) -> FakeFleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    @property
    def ended(self) -> bool:
        return not self._keep and not self._waiting

    def update(self, servers: list[Json]) -> None:
        for each in servers:
            name = str(each["name"])
            if name not in self.nodes:
                self._program(name)
                self.nodes.append(name)
                self._waiting += [Line(name, text) for text in [*self.says.get(name, []), READY]]

    def lines(self, _seconds: float) -> Iterator[Line]:
        if not self._waiting:
            if self.nodes and not self.later:
                raise KeyboardInterrupt
            self._waiting = self.later.pop(0) if self.later else []
        found, self._waiting = self._waiting, []
        yield from found


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> type[FakeFleet]:
    fake = FakeFleet
    fake.says, fake.later, fake.failures, fake.queries = {}, [], {}, {}

    def collector(query: Json) -> Program:
        fake.queries[str(len(fake.queries))] = query
        return Program(b"")

    monkeypatch.setattr(fleet, "Fleet", fake)
    monkeypatch.setattr(fleet, "collector", collector)
    return fake


def entry(at: float, message: str, **more: Any) -> str:
    found = {"at": at, "service": "docker", "source": "docker.service", "level": "info",
             "message": message, **more}  # fmt: skip
    return json.dumps(found)


def asked(fake: type[FakeFleet]) -> list[Json]:
    return list(fake.queries.values())


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]


def test_all_nodes_are_merged_in_order_of_time(
    manager: Any, scaler: Any, nodes: type[FakeFleet], capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.says = {
        "control-1": [entry(1, "one"), entry(4, "four")],
        "agent-1": [entry(2, "two"), entry(3, "three")],
    }
    assert main(["logs", "-n", "3"]) == 0
    assert said(capsys) == [
        "agent-1   docker two", "agent-1   docker three", "control-1 docker four",
    ]  # fmt: skip
    control, agent, host = asked(nodes)
    assert control == agent
    assert control["journal"] and control["containers"] and control["units"] == []
    assert control["lines"] == 3 and control["follow"] is False
    assert list(host["files"]) == ["server-manager"]


def test_without_being_asked_for_nobody_sees_a_line_for_each_request(
    manager: Any, scaler: Any, nodes: type[FakeFleet]
) -> None:
    main(["logs"])
    main(["logs", "--service", "nginx"])
    main(["logs", "load-balancer"])
    quiet, chosen, target = (asked(nodes)[place]["files"]["load-balancer"] for place in (0, 3, 6))
    assert quiet == ["/var/log/nginx/error.log"]
    assert chosen == target == ["/var/log/nginx/*.log"]


def test_logs_of_the_scaler_come_from_the_control_node(
    manager: Any, scaler: Any, nodes: type[FakeFleet], capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.says = {"control-1": [entry(1, "listening")], "agent-1": [entry(2, "no")]}
    assert main(["logs", "scaler", "-n", "7"]) == 0
    assert said(capsys) == ["control-1 docker listening"]
    (query,) = asked(nodes)
    assert (query["units"], query["containers"], query["lines"]) == (["*scaler*"], False, 7)


def test_logs_of_the_application_come_from_agents_in_service(
    manager: Any, scaler: Any, nodes: type[FakeFleet], capsys: pytest.CaptureFixture[str]
) -> None:
    manager.list.append(server("agent-3", number=3))
    nodes.says = {"agent-1": [entry(1, "yes")], "agent-3": [entry(1, "no")]}
    assert main(["logs", "application"]) == 0
    assert said(capsys) == ["agent-1 docker yes"]
    assert [query["journal"] for query in asked(nodes)] == [False]
    scaler.document = None  # then nobody knows better than: all that run
    assert main(["logs", "app"]) == 0
    assert len(said(capsys)) == 2


def test_logs_of_one_agent(manager: Any, scaler: Any, nodes: type[FakeFleet]) -> None:
    assert main(["logs", "metrics-api", "--node", "agent-2"]) == 3
    assert main(["logs", "metrics-api", "--node", "agent-1"]) == 0
    assert main(["logs", "scaler", "--node", "agent-1"]) == 2
    assert [query["units"] for query in asked(nodes)] == [["*metrics-api*"]]


def test_logs_of_a_node_are_all_of_its_logs(
    manager: Any, scaler: Any, nodes: type[FakeFleet], capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.says = {"agent-1": [entry(1, "one")], "control-1": [entry(2, "two")]}
    assert main(["logs", "agent-1"]) == 0
    assert said(capsys) == ["agent-1 docker one"]
    assert len(asked(nodes)) == 1
    assert main(["logs", "agent-2"]) == 3


def test_logs_without_a_right_target_list_the_targets(
    manager: Any, scaler: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", "nonsense"]) == 2
    err = capsys.readouterr().err
    for name in (*logs.TARGETS, "control-1", "agent-2"):
        assert name in err


def test_logs_of_the_server_manager_are_read_on_the_host(
    state: Any, nodes: type[FakeFleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a Server Manager, too: that is when they are needed."""
    assert main(["logs", "server-manager"]) == 3
    state.create()
    (state.root / "server-manager.log").write_text("hello\n")
    nodes.says = {"host": [entry(1, "hello")]}
    capsys.readouterr()
    assert main(["logs", "server-manager"]) == 0
    assert said(capsys) == ["host docker hello"]
    assert asked(nodes)[0]["files"]["server-manager"] == [str(state.root / "server-manager.log")]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--level", "error"], {"priority": 3}),
        (["-p", "6"], {"priority": 6}),
        (["--grep", "time.?out"], {"grep": "time.?out"}),
        (["--service", "redis", "--service", "nginx"], {"services": ["redis", "load-balancer"]}),
        (["--since", "2026-01-31T14:05:30Z"], {"since": 1769868330.0}),
    ],
)
def test_filters_are_applied_on_the_nodes(
    manager: Any, scaler: Any, nodes: type[FakeFleet], arguments: list[str], part: Json
) -> None:
    assert main(["logs", *arguments]) == 0
    assert len(asked(nodes)) == 3
    for query in asked(nodes):
        assert part.items() <= query.items()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--level", "loud"], "--level: found 'loud'; allowed: error, emerg"),
        (["--level", "8"], "--level: found '8'"),
        (["--grep", "("], "--grep: '(' is no regular expression"),
        (["--since", "soon"], "--since: found 'soon'; allowed: 14:05"),
        (["--node", "agent-9"], "There is no node 'agent-9'."),
    ],
)
def test_bad_filters_are_one_clear_line(
    manager: Any,
    scaler: Any,
    nodes: type[FakeFleet],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    assert main(["logs", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_following_goes_on_with_new_lines_and_says_who_goes(
    manager: Any, scaler: Any, nodes: type[FakeFleet], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(log_view.Merger, "due", lambda self, _now: self.rest())
    nodes.says = {"agent-1": [entry(1, "old")]}
    nodes.later = [
        [Line("agent-1", entry(2, "new")), Line("agent-1", "no entry")],
        [Line("agent-1", gone="it does not run any more")],
    ]
    assert main(["logs", "--follow", "--node", "agent-1"]) == 130
    lines = said(capsys)
    assert lines[:2] == ["agent-1 docker old", "agent-1 docker new"]
    assert lines[2] == "agent-1 -- agent-1 is left: it does not run any more --"


def test_a_node_that_comes_back_tells_only_what_is_new() -> None:
    stream = logs.Stream(50, follow=True)
    assert stream.span("agent-1", {}) == {"lines": 50, "follow": True}
    fake = FakeFleet(lambda _: Program(b""), None, keep=True)
    fake.nodes = ["agent-1"]
    fake._waiting = [Line("agent-1", entry(7.0, "seen")), Line("agent-1", READY)]
    assert [found["message"] for found in stream.last(fake)] == ["seen"]  # type: ignore[arg-type]
    assert stream.span("agent-1", {})["since"] == pytest.approx(7.000001, abs=1e-9)
    assert stream.span("agent-1", {"since": 9.0})["since"] == 9.0
    # One that was never seen tells what it wrote since the command was started.
    assert stream.span("agent-2", {})["since"] > 1_700_000_000
    fake.nodes = ["agent-1", "agent-2"]
    fake._waiting = [Line("agent-2", entry(8.0, "x"))]
    (note,) = stream.next(fake)  # type: ignore[arg-type]
    assert note["message"] == "agent-2 came"


def test_a_node_that_cannot_be_read_is_named_and_the_others_are_shown(
    manager: Any, scaler: Any, nodes: type[FakeFleet], capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.says = {"agent-1": [entry(1, "one")]}
    nodes.failures = {"control-1": "Connection refused"}
    assert main(["logs"]) == 1
    captured = capsys.readouterr()
    assert "one" in captured.out
    assert captured.err == "Error: control-1: Connection refused\n"


def test_json_is_one_object_a_line(
    manager: Any, scaler: Any, nodes: type[FakeFleet], capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.says = {"agent-1": [entry(1.5, "one\ttwo")]}
    assert main(["logs", "--node", "agent-1", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "at": "1970-01-01T00:00:01.500000Z", "node": "agent-1", "service": "docker",
        "source": "docker.service", "level": "info", "message": "one\ttwo",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [([], 10), (["agent-1"], 10), (["--all"], None), (["app"], None), (["--service", "app"], None),
     (["--grep", "x"], None), (["--json"], None)],
)  # fmt: skip
def test_who_writes_much_is_cut_unless_that_is_what_is_asked_for(
    manager: Any, scaler: Any, nodes: type[FakeFleet], arguments: list[str], limit: int | None
) -> None:
    main(["logs", *arguments])
    assert {query.get("per_second") for query in asked(nodes)} == {limit}


def test_a_cluster_without_machines_is_not_running(
    manager: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.list = []
    assert main(["logs"]) == 3
    assert "it has no machines" in capsys.readouterr().err
