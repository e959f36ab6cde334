# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh: which machine is reached, and with which command."""

from __future__ import annotations

from typing import Any

import pytest

from clusterops.cli import main, nodes
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


def test_a_node_without_an_ssh_port_is_a_clear_error(state: Any) -> None:
    with pytest.raises(Exception, match="no ssh port"):
        nodes.ssh_command(state, {"name": "agent-1", "state": "running", "ports": None})
