# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is asked before a module is started there."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import _packages
from ansible_collections.clusterops.playground.plugins.module_utils._commands import (
    CommandFailed,
    PlainCommands,
)
from ansible_collections.clusterops.playground.plugins.module_utils._units import says


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} of {self.headers['Host']}".encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_service_is_asked_what_it_runs_with(service: str) -> None:
    assert says(f"http://{service}/version", f"/version of {service}")
    assert says(f"http://{service}", "/ of")
    assert not says(f"http://{service}/version", "another")


def test_a_service_that_does_not_answer_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr("socket.create_connection", refuse)
    assert not says("http://127.0.0.1:1/", "")


class Program:
    """In place of processes: ends as it is told."""

    def __init__(self, code: int, stdout: str = "", stderr: str = "") -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr
        self.asked: list[Any] = []

    def __call__(self, argv: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append((list(argv), options.get("cwd"), (options.get("env") or {}).get("KEY")))
        return subprocess.CompletedProcess(argv, self.code, self.stdout, self.stderr)


def test_programs_run_without_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(0, "out")
    monkeypatch.setattr(subprocess, "run", program)
    assert PlainCommands().run("docker", "ps", cwd="/x", KEY="1") == (0, "out", "")
    assert program.asked == [(["docker", "ps"], "/x", "1")]

    monkeypatch.setattr(subprocess, "run", Program(2, "", "no such image"))
    assert PlainCommands().run("docker", "inspect", "x", check=False)[0] == 2
    with pytest.raises(CommandFailed, match="exit code 2: no such image"):
        PlainCommands().run("docker", "inspect", "x")


@pytest.mark.parametrize(
    ("names", "shown", "answer"),
    [
        (["curl"], "curl installed\n", {"system": "debian-13", "found": []}),
        (["curl", "jq"], "curl installed\njq config-files\n", {}),
        ([], None, {"system": "debian-13", "found": []}),
    ],
)
def test_packages_are_looked_for(
    names: list[str],
    shown: str | None,
    answer: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "os-release").write_text("ID=debian\nVERSION_ID=13\n")
    monkeypatch.setattr(_packages, "OS_RELEASE", str(tmp_path / "os-release"))
    monkeypatch.setattr(_packages, "POLICY", str(tmp_path / "policy-rc.d"))
    program = Program(0, shown or "")
    monkeypatch.setattr(subprocess, "run", program)
    assert _packages.look({"names": names}) == answer
    assert len(program.asked) == (0 if shown is None else 1)  # nothing is asked for nothing
