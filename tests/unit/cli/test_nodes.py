# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh and logs: which machine is reached, and with which command."""

from __future__ import annotations

import io
import subprocess
from typing import Any

import pytest

from clusterops.cli import logs, main, nodes
from clusterops.cli import ssh as ssh_module


class Executed(Exception):
    pass


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []

    def execvp(program: str, arguments: list[str]) -> None:
        seen.extend(arguments)

    monkeypatch.setattr(ssh_module.os, "execvp", execvp)
    return seen


def test_ssh_reaches_the_published_port_with_the_clusters_key_only(
    manager: Any, state: Any, executed: list[str]
) -> None:
    assert main(["ssh", "agent-1"]) == 0
    assert executed[0] == "ssh"
    assert executed[-3:] == ["-p", "2224", "root@127.0.0.1"]
    assert str(state.ssh_key) in executed
    assert "StrictHostKeyChecking=yes" in executed


@pytest.mark.parametrize(
    ("words", "remote"),
    [
        (["uptime"], "uptime"),
        (["--", "ls | wc -l"], "ls | wc -l"),
        (["--", "sh", "-c", "echo a  b"], "sh -c 'echo a  b'"),
        (["--", "ls", "--all"], "ls --all"),
    ],
)
def test_ssh_passes_a_command_on(
    manager: Any, executed: list[str], words: list[str], remote: str
) -> None:
    assert main(["ssh", "agent-1", *words]) == 0
    assert executed[-2:] == ["--", remote]


def test_ssh_as_another_user_becomes_root(manager: Any, executed: list[str]) -> None:
    manager.description["ssh_user"] = "vagrant"
    main(["ssh", "agent-1", "--", "ls | wc"])
    assert executed[-3] == "vagrant@127.0.0.1"
    assert executed[-1] == "sudo -n sh -c 'ls | wc'"


def test_ssh_to_an_unknown_node_lists_the_nodes(
    manager: Any, executed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ssh", "agent-9"]) == 2
    err = capsys.readouterr().err
    assert "There is no node 'agent-9'." in err
    assert "control-1, agent-1, agent-2" in err
    assert not executed


def test_ssh_to_a_stopped_node_is_exit_3(
    manager: Any, executed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ssh", "agent-2"]) == 3
    assert "agent-2 is not running: it is stopped." in capsys.readouterr().err


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    seen: dict[str, list[str]] = {}

    def stream(commands: dict[str, list[str]]) -> int:
        seen.update(commands)
        return 0

    monkeypatch.setattr(logs, "_stream", stream)
    return seen


def test_logs_of_the_scaler_come_from_the_control_node(
    manager: Any, scaler: Any, streamed: dict[str, list[str]]
) -> None:
    assert main(["logs", "scaler", "-n", "7"]) == 0
    assert list(streamed) == ["control-1"]
    assert streamed["control-1"][-1] == "exec journalctl --no-pager -q -n 7 -u '*scaler*'"


def test_logs_of_the_application_come_from_agents_in_service(
    manager: Any, scaler: Any, streamed: dict[str, list[str]]
) -> None:
    assert main(["logs", "app", "--follow"]) == 0
    assert list(streamed) == ["agent-1"]
    assert "logs --no-color --timestamps --tail 50 --follow" in streamed["agent-1"][-1]


def test_logs_of_the_application_need_no_scaler(
    manager: Any, scaler: Any, streamed: dict[str, list[str]]
) -> None:
    scaler.document = None
    assert main(["logs", "app"]) == 0
    assert list(streamed) == ["agent-1"]


def test_logs_of_one_agent(manager: Any, scaler: Any, streamed: dict[str, list[str]]) -> None:
    assert main(["logs", "metrics-api", "--node", "agent-2"]) == 3
    assert main(["logs", "metrics-api", "--node", "agent-1"]) == 0
    assert list(streamed) == ["agent-1"]


def test_logs_of_a_node_are_its_whole_journal(
    manager: Any, scaler: Any, streamed: dict[str, list[str]]
) -> None:
    assert main(["logs", "agent-1"]) == 0
    assert streamed["agent-1"][-1] == "exec journalctl --no-pager -q -n 50"


def test_logs_of_files_are_followed_beside_the_journal() -> None:
    target = logs.TARGETS["load-balancer"]
    assert "tail -q -n 5 -F /var/log/nginx/*.log" in logs.remote_command("", target, 5, True)
    assert " -F" not in logs.remote_command("", target, 5, False)


@pytest.mark.parametrize("arguments", [["logs"], ["logs", "nonsense"]])
def test_logs_without_a_right_target_list_the_targets(
    manager: Any, scaler: Any, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    for name in logs.TARGETS:
        assert name in err


def test_logs_of_the_server_manager_are_read_on_the_host(
    state: Any, streamed: dict[str, list[str]]
) -> None:
    assert main(["logs", "server-manager"]) == 3
    state.create()
    (state.root / "server-manager.log").write_text("hello\n")
    assert main(["logs", "server-manager", "-f"]) == 0
    assert streamed["host"] == ["tail", "-n", "50", "-F", str(state.root / "server-manager.log")]


class FakeProcess:
    def __init__(self, command: list[str], **_: Any) -> None:
        self.stdout = io.BytesIO(command[0].encode())
        self.code = int(command[1])

    def wait(self) -> int:
        return self.code

    def poll(self) -> int:
        return self.code


def test_several_logs_carry_the_name_of_their_node(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    code = logs._stream({"agent-1": ["one\n", "0"], "agent-10": ["two\n", "0"]})
    assert code == 0
    assert sorted(capfdbinary.readouterr().out.splitlines()) == [
        b"agent-1  | one",
        b"agent-10 | two",
    ]


def test_one_log_is_plain_and_its_failure_is_ours(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    assert logs._stream({"agent-1": ["one\n", "255"]}) == 1
    assert capfdbinary.readouterr().out == b"one\n"


def test_a_node_without_an_ssh_port_is_a_clear_error(state: Any) -> None:
    with pytest.raises(Exception, match="no ssh port"):
        nodes.ssh_command(state, {"name": "agent-1", "state": "running", "ports": None})
