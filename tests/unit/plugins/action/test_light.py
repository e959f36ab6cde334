# SPDX-License-Identifier: GPL-3.0-or-later
"""A module is only started where the question before it finds something to do, or fails."""

from __future__ import annotations

import importlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _compose_application,
    _load_balancer,
    _packages,
    _registry,
)
from ansible_collections.clusterops.playground.plugins.plugin_utils import _light

NAMES = sorted(path.stem for path in (Path(_light.__file__).parents[1] / "action").glob("*.py"))
ACTIONS = "ansible_collections.clusterops.playground.plugins.action"


class FakeShell:
    def join(self, words: list[str]) -> str:
        return " ".join(words)


class FakeConnection:
    has_pipelining = True
    _shell = FakeShell()


class FakeTask:
    async_val = 0

    def __init__(self, **args: Any) -> None:
        self.args = args


def action(name: str, said: Any, asked: list[tuple[str, bytes]] | None = None, **args: Any) -> Any:
    """An action plugin on a node that says ``said``; its module answers {"by": "module"}."""
    kind = importlib.import_module(f"{ACTIONS}.{name}").ActionModule
    plugin = kind.__new__(kind)
    plugin._task, plugin._connection = FakeTask(**args), FakeConnection()

    def execute(command: str, in_data: bytes) -> dict[str, Any]:
        if asked is not None:
            asked.append((command, in_data))
        return {"rc": 0, "stdout": said} if isinstance(said, str) else dict(said)

    plugin._low_level_execute_command = execute
    plugin._execute_module = lambda task_vars: {"by": "module"}
    return plugin


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_light.ActionBase, "run", lambda *_arguments: {})


UNCHANGED: dict[str, dict[str, Any]] = {
    "application_image": {"image": "r/apps/a@sha256:1"},
    "application_release": {"release": "r1"},
    "load_balancer_agent": {"agent": {"name": "agent-1", "in_flight": 0}, "idle": True},
    "packages": {"system": "debian-13", "found": []},
    "postgres_access": {"done": True},
    "registry_images": {"done": True},
    "release_documents": {"path": "/d/r1.json"},
    "service_files": {"done": True},
}


@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_is_to_be_done_the_module_does_not_run(name: str) -> None:
    result = action(name, json.dumps(UNCHANGED[name])).run(task_vars={})
    assert "by" not in result
    assert result["changed"] is False


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "said",
    ["{}", "[]", "", "Traceback", {"rc": 1, "stdout": '{"done": true}'}],
    ids=["something to do", "no answer", "silence", "words", "failure"],
)
def test_in_every_other_case_it_does(name: str, said: Any) -> None:
    assert action(name, said).run(task_vars={}) == {"by": "module"}


def test_a_connection_that_takes_no_input_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeConnection, "has_pipelining", False)
    asked: list[tuple[str, bytes]] = []
    plugin = action("packages", json.dumps(UNCHANGED["packages"]), asked, names=[])
    assert plugin.run(task_vars={}) == {"by": "module"}
    assert asked == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_sent_runs_on_its_own_and_secrets_are_not_in_the_command(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loader needs nothing but Python: not Ansible, and no package of this collection."""
    asked: list[tuple[str, bytes]] = []
    action(name, "{}", asked, secret="s3cret", port="none").run(
        task_vars={"ansible_python_interpreter": "/opt/python3"}
    )
    ((command, question),) = asked
    assert command.startswith("/opt/python3 -I -c ")
    assert "s3cret" not in command and b"s3cret" in question
    package = _light.PACKAGE.partition(".")[0]
    kept = {key: module for key, module in sys.modules.items() if key.startswith(package)}
    for key in kept:
        monkeypatch.delitem(sys.modules, key)
    monkeypatch.setattr("sys.stdin", io.StringIO(question.decode()))
    exec(compile(_light.LOADER, "loader", "exec"), {})  # noqa: S102 - as the node does
    loaded = {key for key in sys.modules if key.startswith(package)}
    for key in loaded:
        del sys.modules[key]
    assert len(loaded) == len(json.loads(question)["sources"])
    answer = json.loads(capsys.readouterr().out)  # these arguments make no sense to any of them
    assert answer in ({}, {"done": False})


class Answer:
    """What dpkg-query or docker has printed."""

    returncode, stderr = 0, ""

    def __init__(self, stdout: str) -> None:
        self.stdout = stdout


def test_packages_are_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('ID=debian\nVERSION_ID="13"\n')
    monkeypatch.setattr(_packages, "OS_RELEASE", str(release))
    monkeypatch.setattr(_packages, "POLICY", str(tmp_path / "policy"))
    monkeypatch.setattr("subprocess.run", lambda *_a, **_o: Answer("redis installed\n"))
    question = {"names": ["redis"], "paths": [str(release), "/nowhere"]}
    expected = {"system": "debian-13", "found": [str(release)]}
    assert _packages.look(question) == expected
    assert _packages.look({**question, "elsewhere": {"debian-13": ["valkey"]}}) == {}
    assert _packages.look({**question, "refused": {"debian-13": "because"}}) == {}
    (tmp_path / "policy").write_text(_packages.NO_SERVICES)
    assert _packages.look(question) == {}


def test_the_registry_is_asked_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeRegistry:
        address = "r:1"

        def __init__(self, *_arguments: object) -> None:
            pass

        def repositories(self) -> list[str]:
            return ["apps/a", "other"]

        def tags(self, _repository: str) -> list[str]:
            return ["1"]

        def digest(self, repository: str, tag: str) -> str | None:
            return "sha256:1" if (repository, tag) == ("apps/a", "1") else None

    monkeypatch.setattr(_registry, "Registry", FakeRegistry)
    assert _registry.look({"registry": "r:1", "keep": ["r:1/apps/a@sha256:1"]}) == {"done": True}
    assert _registry.look({"registry": "r:1", "keep": []}) == {"done": False}
    image = {"registry": "r:1", "name": "a", "tag": "1"}
    assert _registry.look_for_image(image) == {"image": "r:1/apps/a@sha256:1"}
    assert _registry.look_for_image({**image, "tag": "2"}) == {}


def test_the_pool_is_asked_for_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"name": "agent-1", "address": "10.0.0.1:5000", "state": "in_service", "in_flight": 2}
    monkeypatch.setattr(_load_balancer.Client, "get", lambda _self, _name: entry)
    question = {"name": "agent-1", "address": "10.0.0.1:5000"}
    assert _load_balancer.look(question) == {"agent": entry, "idle": False}
    assert _load_balancer.look({**question, "address": "10.0.0.2:5000"}) == {}
    assert _load_balancer.look({**question, "state": "draining"}) == {}
    assert _load_balancer.look({**question, "wait_idle": True}) == {}
    assert _load_balancer.look({**question, "name": "Agent 1"}) == {}


def test_the_release_is_compared_with_what_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    params = {"image": "r/apps/a@sha256:1", "port": 5000, "ready_path": "/ready", "compose": "x"}
    question = {"name": "a", "release": "r1", "home": str(tmp_path), "env": {"A": 1}, **params}
    files = _compose_application.release_files({**question, "overlay": "", "authority": ""})
    folder = tmp_path / "a/releases/r1"
    folder.mkdir(parents=True)
    (tmp_path / "a/current").symlink_to("releases/r1")
    for name, text in files.items():
        (folder / name).write_text(text)
    monkeypatch.setattr("subprocess.run", lambda *_a, **_o: Answer("0123\n"))
    ready = [True]
    monkeypatch.setattr(_compose_application, "answers_ready", lambda _url: ready[0])
    assert _compose_application.look(question) == {"release": "r1"}
    assert _compose_application.look({**question, "env": {"A": 2}}) == {}
    assert _compose_application.look({**question, "state": "present"}) == {}
    ready[0] = False
    assert _compose_application.look(question) == {}
    ready[0] = True
    monkeypatch.setattr("subprocess.run", lambda *_a, **_o: Answer(""))
    assert _compose_application.look(question) == {}
