# SPDX-License-Identifier: GPL-3.0-or-later
"""One program on each running node, through one ssh connection each, and the lines they print.

A program (:mod:`clusterops.on_node`) is sent through ssh's standard input, which then stays open:
when this process ends, however it does, the input ends, and so do the program and ssh.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from clusterops.cli import nodes
from clusterops.errors import ClusterOpsError, NotRunningError
from clusterops.state import State

Json = dict[str, Any]

#: Lines that wait to be shown. Beyond it nodes wait, not memory.
WAITING_MAX = 2000
AGAIN_S = 3.0
_END_S = 2.0
_COLLECTOR = ("clusterops.on_node.log_sources", "clusterops.on_node.log_collector")
_PROBE = (
    "clusterops.metrics_api.readers",
    "clusterops.on_node.log_sources",
    "clusterops.on_node.usage_probe",
)
#: What is sent ends here; the rest of standard input only tells that somebody listens.
_START = "import sys;exec(compile(sys.stdin.buffer.read({size}),'playground','exec'))"


@dataclass(frozen=True)
class Program:
    """A program as it is sent."""

    text: bytes

    @property
    def start(self) -> list[str]:
        """Arguments of a Python interpreter that reads and runs it."""
        return ["-u", "-c", _START.format(size=len(self.text))]

    @property
    def shell_line(self) -> str:
        return "exec python3 " + nodes.remote_line([*self.start])


def collector(query: Json) -> Program:
    """Prints logs; see :mod:`clusterops.on_node.log_collector`."""
    return _program(_COLLECTOR, query)


def probe(interval_s: float, count: int = 0) -> Program:
    """Prints what services use; see :mod:`clusterops.on_node.usage_probe`."""
    return _program(_PROBE, {"interval_s": interval_s, "count": count})


def _program(modules: Sequence[str], arguments: Json) -> Program:
    """Modules in the order in which they need each other, and a call of the last one's `run`."""
    sources = [(name, _source(name)) for name in modules]
    parents = sorted({name.rpartition(".")[0] for name in modules} | {"clusterops"})
    return Program(
        f"import json, sys, types\n"
        f"for name in {parents!r}:\n"
        f"    sys.modules[name] = types.ModuleType(name)\n"
        f"    sys.modules[name].__path__ = []\n"
        f"for name, text in {sources!r}:\n"
        f"    module = sys.modules[name] = types.ModuleType(name)\n"
        f"    setattr(sys.modules[name.rpartition('.')[0]], name.rpartition('.')[2], module)\n"
        f"    exec(compile(text, name, 'exec'), module.__dict__)\n"
        f"module.run(json.loads({json.dumps(arguments)!r}))\n".encode()
    )


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None  # noqa: S101 - it is a part of ours
    return Path(spec.origin).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Line:
    """A line that a node printed; or, without text, that it came or went."""

    node: str
    text: str = ""
    came: bool = False
    gone: str = ""  # and why


Spawn = Callable[..., Any]


class Fleet:
    """Starts the program where a node runs, and forgets nodes that go.

    Args:
        program: what to run on a node of a name; asked at each start.
        command: the argument list that starts a program on a node.
        keep: start it again where it ended although the node still runs.
        spawn: makes a process (tests).
    """

    def __init__(
        self,
        program: Callable[[str], Program],
        command: Callable[[Json, Program], list[str]],
        *,
        keep: bool = True,
        spawn: Spawn = subprocess.Popen,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._program, self._command = program, command
        self._keep, self._spawn, self._clock = keep, spawn, clock
        self._lines: queue.Queue[Line] = queue.Queue(WAITING_MAX)
        self._children: dict[str, _Child] = {}
        self._not_before: dict[str, float] = {}
        self._closing = threading.Event()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def nodes(self) -> list[str]:
        """Where the program runs, or ran to its end."""
        return list(self._children)

    @property
    def ended(self) -> bool:
        """Whether all programs have ended and all their lines have been taken."""
        return self._lines.empty() and all(child.ended for child in self._children.values())

    @property
    def failures(self) -> dict[str, str]:
        """Node -> what its ssh or its program said when it failed."""
        return {name: child.error for name, child in self._children.items() if child.failed}

    def update(self, servers: Sequence[Json]) -> None:
        """Follow the nodes that run now, and leave those that do not."""
        up = {str(server["name"]): server for server in servers if server["state"] == "running"}
        for name in [name for name in self._children if name not in up]:
            self._children.pop(name).close()
            self._not_before.pop(name, None)
            self._say(Line(name, gone="it does not run any more"))
        for name, child in list(self._children.items()):
            if self._keep and child.ended:
                del self._children[name]
                if name not in self._not_before:
                    self._say(Line(name, gone=f"{child.error or 'the connection ended'}"))
                self._not_before[name] = self._clock() + AGAIN_S
        for name, server in up.items():
            if name in self._children or self._clock() < self._not_before.get(name, 0.0):
                continue
            self._start(name, server)

    def _start(self, name: str, server: Json) -> None:
        program = self._program(name)
        try:
            process = self._spawn(
                self._command(server, program),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # the terminal's Ctrl-C is for this process
            )
        except FileNotFoundError as error:
            raise ClusterOpsError(
                "ssh is not installed.", remedy="install openssh-client"
            ) from error
        self._children[name] = _Child(name, process, program.text, self._put)

    def _put(self, line: Line) -> bool:
        """Called by the threads of the children; False once nobody wants more."""
        if line.text:
            self._not_before.pop(line.node, None)
        while not self._closing.is_set():
            try:
                self._lines.put(line, timeout=0.5)
                return True
            except queue.Full:
                continue
        return False

    def _say(self, line: Line) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(line)

    def lines(self, seconds: float, most: int = WAITING_MAX) -> Iterator[Line]:
        """What has come, at once; waits for the first one at most so long."""
        try:
            yield self._lines.get(timeout=max(seconds, 0.001))
            for _ in range(most - 1):
                yield self._lines.get_nowait()
        except queue.Empty:
            return

    def close(self) -> None:
        """End every child; none is left when this returns."""
        self._closing.set()
        for child in self._children.values():
            child.stop()
        for child in self._children.values():
            child.close()
        self._children.clear()


class _Child:
    """One process, the thread that reads it, and what it said at its end."""

    def __init__(self, name: str, process: Any, text: bytes, put: Callable[[Line], bool]) -> None:
        self._process, self._name, self._text, self._put = process, name, text, put
        self.error = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return self._done.is_set()

    @property
    def failed(self) -> bool:
        return self.ended and bool(self._process.poll())

    def _read(self) -> None:
        try:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(self._text)
                self._process.stdin.flush()
            with contextlib.suppress(OSError, ValueError):
                for raw in self._process.stdout:
                    if not self._put(Line(self._name, raw.decode("utf-8", "replace").rstrip("\n"))):
                        break
            self.error = _last_words(self._process.stderr)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_END_S)
        finally:
            self._done.set()

    def stop(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()
        with contextlib.suppress(OSError):
            self._process.terminate()

    def close(self) -> None:
        self.stop()
        try:
            self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(timeout=_END_S)


def _last_words(stream: IO[bytes]) -> str:
    try:
        lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    except (OSError, ValueError):
        return ""
    return lines[-1].strip() if lines else ""


def over_ssh(state: State, user: str) -> Callable[[Json, Program], list[str]]:
    """The command of a node: ssh; that of this machine itself needs none."""

    def command(server: Json, program: Program) -> list[str]:
        if server.get("role") == HOST:
            return [sys.executable, *program.start]
        return nodes.ssh_command(state, server, user=user, remote=program.shell_line)

    return command


class Roster:
    """The machines that there are, asked in the background: an answer may take seconds.

    Args:
        ask: returns the machines, or raises ClusterOpsError; then the last ones stay.
        found: the machines at first.
    """

    def __init__(
        self, ask: Callable[[], list[Json]], found: list[Json], *, every_s: float = 2.0
    ) -> None:
        self._ask, self._every_s = ask, every_s
        self.servers = found
        self.trouble = ""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Roster:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()

    def _go_on(self) -> None:
        while not self._ends.wait(self._every_s):
            try:
                self.servers, self.trouble = self._ask(), ""
            except ClusterOpsError as error:
                self.trouble = error.message
                if isinstance(error, NotRunningError):
                    self.servers = []


HOST = "host"


def this_host() -> Json:
    """An entry for this machine among the servers: the Server Manager's log is here."""
    return {"name": HOST, "role": HOST, "state": "running"}
