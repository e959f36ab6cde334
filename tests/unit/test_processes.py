# SPDX-License-Identifier: GPL-3.0-or-later
"""External programs: what a user reads when one fails."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from clusterops import processes
from clusterops.errors import ClusterOpsError, CommandError


class FakeRun:
    """Stands for subprocess.run: answers, or raises what it was given."""

    def __init__(self, code: int = 0, out: str = "", err: str = "") -> None:
        self.result = (code, out, err)
        self.error: Exception | None = None
        self.commands: list[list[str]] = []
        self.options: dict[str, Any] = {}

    def __call__(self, command: list[str], **options: Any) -> Any:
        self.commands.append(command)
        self.options = options
        if self.error:
            raise self.error
        return subprocess.CompletedProcess(command, *self.result)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    run = FakeRun(out="hello\n")
    monkeypatch.setattr(processes.subprocess, "run", run)
    return run


def test_it_returns_what_the_program_prints(fake: FakeRun) -> None:
    assert processes.run(["echo", "hello"], timeout_s=5) == "hello\n"
    assert fake.options["timeout"] == 5
    assert fake.options["env"] is None
    assert not fake.options.get("shell")


def test_a_failure_has_command_code_and_last_words_on_one_line(fake: FakeRun) -> None:
    fake.result = (3, "", "first\n  second \n")
    with pytest.raises(CommandError) as caught:
        processes.run(["apt-get", "update"], remedy="try again")
    assert str(caught.value) == ("'apt-get' failed with exit code 3: first second (try again)")
    assert (caught.value.code, caught.value.stderr) == (3, "first\n  second \n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(2, "No such file"), "'tool' is not installed"),
        (PermissionError(13, "Permission denied"), "'tool' cannot be run: Permission denied"),
        (subprocess.TimeoutExpired("tool", 60), "'tool' took longer than 60 s"),
    ],
)
def test_a_program_that_does_not_run(fake: FakeRun, error: Exception, message: str) -> None:
    fake.error = error
    with pytest.raises(ClusterOpsError) as caught:
        processes.run(["tool"], remedy="install it")
    assert (caught.value.message, caught.value.remedy) == (message, "install it")


def test_variables_come_on_top_of_the_own_environment(
    fake: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "1")
    processes.run(["tool"], environment={"ADDED": "2"})
    assert (fake.options["env"]["KEPT"], fake.options["env"]["ADDED"]) == ("1", "2")


@pytest.mark.parametrize(
    ("user", "apt", "may"),
    [(0, "/usr/bin/apt-get", True), (1000, "/usr/bin/apt-get", False), (0, None, False)],
)
def test_who_may_install(
    monkeypatch: pytest.MonkeyPatch, fake: FakeRun, user: int, apt: str | None, may: bool
) -> None:
    monkeypatch.setattr(processes.os, "geteuid", lambda: user)
    monkeypatch.setattr(processes.shutil, "which", lambda _: apt)
    assert processes.install_packages("docker.io") is may
    assert [command[1] for command in fake.commands] == (["update", "install"] if may else [])
    if may:
        assert fake.commands[1][-1] == "docker.io"
        assert fake.options["env"]["DEBIAN_FRONTEND"] == "noninteractive"


@pytest.mark.parametrize("error", [None, subprocess.TimeoutExpired("apt-get", 900)])
def test_an_installation_that_fails(
    monkeypatch: pytest.MonkeyPatch, fake: FakeRun, error: Exception | None
) -> None:
    monkeypatch.setattr(processes, "may_install_packages", lambda: True)
    fake.result, fake.error = (100, "", "E: no network"), error
    with pytest.raises(ClusterOpsError, match="apt-get"):
        processes.install_packages("docker.io")
