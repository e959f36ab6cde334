# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules run programs and tell of failures."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils._commands import (
    CommandFailed,
    Commands,
    describe_failure,
)


class FakeModule:
    def __init__(self, *answer: Any) -> None:
        self.answer = answer
        self.asked: tuple[Any, ...] = ()

    def run_command(self, argv: list[str], **options: Any) -> Any:
        self.asked = (argv, options)
        return self.answer


@pytest.mark.parametrize(
    ("stdout", "stderr", "reason"),
    [
        ("", "warning\nerror: no space left\nbye\n", "error: no space left"),
        ("", "first\nlast\n", "last"),
        ("only here\n", "", "only here"),
        ("", "", ""),
    ],
)
def test_the_reason_is_the_error_or_the_last_words(stdout: str, stderr: str, reason: str) -> None:
    message = describe_failure(["docker", "push", "x"], 1, stdout, stderr)
    assert message == f"'docker push x' failed with exit code 1: {reason}"


def test_long_commands_and_reasons_are_cut() -> None:
    argv = ["docker", "build", "--a", "--b", "--build-arg=TOKEN=hunter2"]
    message = describe_failure(argv, 1, "", "x" * 5000)
    assert "hunter2" not in message
    assert len(message) < 700


def test_a_program_runs_without_a_shell_in_ansibles_environment() -> None:
    module = FakeModule(0, "out", "")
    assert Commands(module).run("docker", "ps", cwd="/x", KEY="1") == (0, "out", "")
    assert module.asked == (
        ["docker", "ps"],
        {"cwd": "/x", "environ_update": {"KEY": "1"}, "check_rc": False},
    )


def test_a_failure_is_an_error_unless_it_is_expected() -> None:
    module = FakeModule(2, "", "no such image")
    with pytest.raises(CommandFailed, match="exit code 2: no such image"):
        Commands(module).run("docker", "inspect", "x")
    assert Commands(module).run("docker", "inspect", "x", check=False)[0] == 2
