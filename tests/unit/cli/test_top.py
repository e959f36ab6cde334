# SPDX-License-Identifier: GPL-3.0-or-later
"""top: the table of what services use, at any size, and the command around it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console

from clusterops.cli import fleet, main, top_view
from clusterops.cli.fleet import Line, Program

Json = dict[str, Any]
MIB = 1024 * 1024


def row(name: str, cpu: float, memory: int, io_bytes: int = 0, kind: str = "service") -> Json:
    return {
        "name": name, "kind": kind, "source": f"{name}.service", "cpu_percent": cpu,
        "memory_bytes": memory * MIB, "read_bytes_per_s": io_bytes, "write_bytes_per_s": 0,
        "processes": 1,
    }  # fmt: skip


def node(name: str, *services: Json) -> Json:
    return {
        "name": name, "at": 1.0, "cpu_percent": 40.0, "cpus": 0.5, "memory_bytes": 300 * MIB,
        "memory_total_bytes": 768 * MIB, "services": list(services),
    }  # fmt: skip


DOCUMENT = {
    "nodes": [
        node("control-1", row("nginx", 12.5, 15), row("scaler", 3.0, 100, 5000)),
        node("agent-1", row("app/api", 70.0, 84, kind="container"), row("docker", 0.0, 64)),
    ]
}


def text_of(document: Json, width: int = 100, **more: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(top_view.render(document, width=width, **more))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("cpu", ["app/api", "nginx", "scaler", "docker"]),
        ("memory", ["scaler", "app/api", "docker", "nginx"]),
        ("io", ["scaler", "app/api", "nginx", "docker"]),
        ("name", ["app/api", "docker", "nginx", "scaler"]),
    ],
)
def test_everything_is_sorted_as_asked(sort: str, names: list[str]) -> None:
    assert [found["name"] for _, found in top_view.rows_of(DOCUMENT, sort)] == names
    text = text_of(DOCUMENT, sort=sort, grouped=False)
    lines = [line for line in text.splitlines() if "service" in line or "container" in line]
    assert [line.split()[1] for line in lines] == names


def test_by_node_each_has_its_own_figures_above_its_services() -> None:
    lines = text_of(DOCUMENT).splitlines()
    assert lines[0].split()[:4] == ["Service", "Kind", "CPU", "Memory"]
    assert lines[1].split()[:4] == ["control-1", "node", "40", "%"]
    assert lines[2].split()[:5] == ["nginx", "service", "12.5", "%", "15"]
    assert lines[4].startswith("agent-1")


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (60, 12), (100, 30)])
def test_it_fits_and_says_what_is_left_out(width: int, height: int, grouped: bool) -> None:
    nodes = [
        node(f"agent-{number}", *(row(f"service-{each}", each, each) for each in range(15)))
        for number in range(1, 4)
    ]
    text = text_of({"nodes": nodes}, width, height=height, grouped=grouped, live=True, note="slow")
    lines = text.rstrip("\n").split("\n")
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "service-14" in text
    assert "slow" in text
    assert "q end" in text
    assert (" more" in text) == (height < 52)
    for number in range(1, 4):
        assert f"agent-{number}" in text


def test_room_is_shared_so_that_nobody_gets_all() -> None:
    assert top_view.shares([3, 20, 5], None) == [3, 20, 5]
    assert top_view.shares([3, 20, 5], 100) == [3, 20, 5]
    assert top_view.shares([3, 20, 5], 18) == [3, 5, 4]
    assert top_view.shares([3, 3], 2) == [0, 0]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (1023, "1023"), (2048, "2.0 K"), (84 * MIB, "84 M"), (3 * 1024**3, "3.0 G")],
)
def test_sizes(count: float, text: str) -> None:
    assert top_view.size(count) == text


class FakeFleet:
    """Each node says one thing, over and over."""

    def __init__(self, program: Callable[[str], Program], command: Any, *, keep: bool) -> None:
        self.nodes: list[str] = []
        self.keep = keep
        self.failures = {"agent-9": "refused"}
        self._told: set[str] = set()

    def __enter__(self) -> FakeFleet:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def ended(self) -> bool:
        return self._told >= set(self.nodes)

    def update(self, servers: list[Json]) -> None:
        self.nodes = [str(server["name"]) for server in servers]

    def lines(self, _seconds: float) -> Iterator[Line]:
        if self.keep and self._told:
            raise KeyboardInterrupt
        for name in self.nodes:
            self._told.add(name)
            if name == "agent-1":
                yield Line(name, "no JSON")
            yield Line(name, json.dumps(node(name, row("nginx", 1.0, 15))))


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "Fleet", FakeFleet)


def test_once_is_one_document_for_programs(
    manager: Any, nodes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", "--once", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in document["nodes"]] == ["control-1", "agent-1"]
    first = document["nodes"][0]["services"][0]
    assert set(first) == {
        "name", "kind", "source", "cpu_percent", "memory_bytes", "read_bytes_per_s",
        "write_bytes_per_s", "processes",
    }  # fmt: skip


def test_only_the_nodes_that_are_asked_for(
    manager: Any, nodes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", "agent-1", "--once"]) == 0
    out = capsys.readouterr().out
    assert "agent-1" in out
    assert "control-1" not in out
    assert main(["top", "agent-2", "--once"]) == 3
    assert main(["top", "agent-7", "--once"]) == 2


def test_a_node_that_says_nothing_is_named(
    manager: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Silent(FakeFleet):
        def lines(self, _seconds: float) -> Iterator[Line]:
            self._told = set(self.nodes)
            self.failures = {"agent-1": "Connection refused"}
            yield Line("control-1", json.dumps(node("control-1")))

    monkeypatch.setattr(fleet, "Fleet", Silent)
    assert main(["top", "--once"]) == 1
    assert capsys.readouterr().err == "Error: agent-1: Connection refused\n"


def test_without_a_terminal_it_prints_each_look(
    manager: Any, nodes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", "--json", "--interval", "0.5"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sort", "size"], "--sort: found 'size'; allowed: cpu, memory, io, name"),
        (["--interval", "0"], "--interval: found 0; allowed: 0.5 to 60"),
    ],
)
def test_bad_options_are_one_clear_line(
    manager: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["top", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_no_running_node_is_exit_3(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for each in manager.list:
        each["state"] = "stopped"
    assert main(["top"]) == 3
