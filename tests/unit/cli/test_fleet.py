# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs on nodes that come, go, fail and are left behind."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clusterops.cli import fleet
from clusterops.cli.fleet import Fleet, Line, Program
from clusterops.errors import ClusterOpsError

Json = dict[str, Any]


class FakeProcess:
    """Prints lines and, if it is told to stay, waits until its input is closed."""

    def __init__(self, lines: list[str], *, stays: bool = True, code: int = 0, says: str = ""):
        self.stdin = self
        self.written = b""
        self.closed = threading.Event()
        self.stdout = self._lines(lines)
        self.stderr = io.BytesIO(says.encode())
        self._stays, self._code = stays, code
        self.terminated = False

    def _lines(self, lines: list[str]) -> Iterator[bytes]:
        yield from (f"{line}\n".encode() for line in lines)
        if self._stays:
            self.closed.wait(10)

    def write(self, text: bytes) -> None:
        self.written += text

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed.set()

    def terminate(self) -> None:
        self.terminated = True
        self.closed.set()

    kill = terminate

    def wait(self, timeout: float | None = None) -> int:
        return self._code

    def poll(self) -> int | None:
        return self._code


def up(*names: str) -> list[Json]:
    return [{"name": name, "role": "agent", "state": "running"} for name in names]


def stopped(*names: str) -> list[Json]:
    return [{"name": name, "role": "agent", "state": "stopped"} for name in names]


Make = Callable[..., Fleet]


@pytest.fixture
def made() -> list[FakeProcess]:
    return []


@pytest.fixture
def make(made: list[FakeProcess]) -> Iterator[Make]:
    open_fleets = []

    def build(processes: list[FakeProcess], **more: Any) -> Fleet:
        waiting = list(processes)

        def spawn(_command: list[str], **_: Any) -> FakeProcess:
            made.append(waiting.pop(0))
            return made[-1]

        found = Fleet(
            lambda _: Program(b"print()"), lambda server, _: [server["name"]], spawn=spawn, **more
        )
        open_fleets.append(found)
        return found

    yield build
    for each in open_fleets:
        each.close()


def taken(found: Fleet, count: int) -> list[Line]:
    """So many lines, in the time that threads may take."""
    lines: list[Line] = []
    ends = time.monotonic() + 10
    while len(lines) < count and time.monotonic() < ends:
        lines += found.lines(0.05)
    return lines


def ended(found: Fleet) -> None:
    ends = time.monotonic() + 10
    while not found.ended and time.monotonic() < ends:
        time.sleep(0.01)


def failed(found: Fleet) -> None:
    ends = time.monotonic() + 10
    while not found.failures and time.monotonic() < ends:
        time.sleep(0.01)


def test_each_running_node_gets_the_program_and_its_lines_carry_its_name(
    make: Make, made: list[FakeProcess]
) -> None:
    found = make([FakeProcess(["one"]), FakeProcess(["two"])])
    found.update([*up("a", "b"), *stopped("c")])
    assert sorted((line.node, line.text) for line in taken(found, 2)) == [
        ("a", "one"),
        ("b", "two"),
    ]
    assert [process.written for process in made] == [b"print()"] * 2
    found.update(up("a", "b"))
    assert len(made) == 2


def test_a_node_that_comes_is_followed_and_one_that_goes_is_left_and_named(
    make: Make, made: list[FakeProcess]
) -> None:
    found = make([FakeProcess([]), FakeProcess(["hello"])])
    found.update(up("a"))
    found.update([*stopped("a"), *up("b")])
    lines = taken(found, 2)
    assert {(line.node, line.text or line.gone) for line in lines} == {
        ("a", "it does not run any more"), ("b", "hello"),
    }  # fmt: skip
    assert found.nodes == ["b"]
    assert made[0].terminated


def test_a_connection_that_is_lost_is_said_once_and_made_again_after_a_while(
    make: Make, made: list[FakeProcess]
) -> None:
    now = [100.0]
    lost = [FakeProcess([], stays=False, code=255, says="Connection refused") for _ in range(2)]
    found = make([*lost, FakeProcess(["back"])], clock=lambda: now[0])
    for place in range(2):
        found.update(up("a"))
        assert len(made) == place + 1
        failed(found)
        found.update(up("a"))
        assert len(made) == place + 1  # not at once
        now[0] += fleet.AGAIN_S
    found.update(up("a"))
    lines = taken(found, 2)
    assert [line.gone or line.text for line in lines] == ["Connection refused", "back"]


def test_without_keep_an_end_is_an_end_and_a_failure_has_its_reason(
    make: Make, made: list[FakeProcess]
) -> None:
    found = make(
        [
            FakeProcess(["x"], stays=False),
            FakeProcess([], stays=False, code=1, says="a\nno python"),
        ],
        keep=False,
    )
    found.update(up("a", "b"))
    assert [line.text for line in taken(found, 1)] == ["x"]
    ended(found)
    assert found.failures == {"b": "no python"}
    found.update(up("a", "b"))
    assert len(made) == 2


def test_nothing_is_left_when_it_is_closed_although_nobody_read(
    make: Make, made: list[FakeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "WAITING_MAX", 2)
    found = make([FakeProcess([str(number) for number in range(100)])])
    found.update(up("a"))
    assert len(taken(found, 1)) >= 1
    found.close()
    assert made[0].terminated
    assert found.nodes == []
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("(_read)")]


def test_no_ssh_is_one_clear_line() -> None:
    def spawn(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("ssh")

    found = Fleet(lambda _: Program(b""), lambda *_: ["ssh"], spawn=spawn)
    with pytest.raises(ClusterOpsError, match="ssh is not installed"):
        found.update(up("a"))


def test_nodes_are_reached_with_ssh_and_this_machine_without(state: Any) -> None:
    command = fleet.over_ssh(state, "vagrant")
    program = Program(b"pass")
    remote = command({"name": "a", "ports": {"ssh": 2224}}, program)
    assert remote[0] == "ssh"
    assert remote[-1].startswith("sudo -n sh -c ")
    assert command(fleet.this_host(), program)[0] == sys.executable


@pytest.mark.allow_subprocess
@pytest.mark.parametrize(
    ("program", "answer"),
    [
        (fleet.collector({"lines": 3, "follow": False}), {"ready": True}),
        (fleet.probe(0.05, 1), {"services": None}),
    ],
)
def test_what_is_sent_runs_alone_in_a_bare_interpreter(program: Program, answer: Json) -> None:
    """As on a node: no package of ours can be imported there."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", *program.start],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(program.text)
        process.stdin.flush()
        said = json.loads(process.stdout.readline())
        process.stdin.close()
        assert process.wait(timeout=10) == 0
    assert answer.keys() <= said.keys()


@pytest.mark.allow_subprocess
def test_a_program_ends_when_its_reader_was_killed() -> None:
    program = fleet.probe(60)
    with subprocess.Popen(
        [sys.executable, "-I", "-S", *program.start], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(program.text)
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_the_roster_keeps_what_it_knew_while_nobody_answers() -> None:
    answers: list[Any] = [up("a", "b"), ClusterOpsError("busy")]
    asked = threading.Event()

    def ask() -> list[Json]:
        if not answers:
            asked.set()
            raise ClusterOpsError("busy")
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return list(found)

    with fleet.Roster(ask, up("a"), every_s=0.01) as roster:
        assert asked.wait(10)
        assert [server["name"] for server in roster.servers] == ["a", "b"]
        assert roster.trouble == "busy"
