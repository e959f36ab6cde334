# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of services: written at once or not at all, and services that do not run with them."""

from __future__ import annotations

import grp
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _service_files as comparison,
)
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _units as units,
)
from ansible_collections.clusterops.playground.plugins.modules import service_files as module

OWN = {
    "owner": pwd.getpwuid(os.getuid()).pw_name,
    "group": grp.getgrgid(os.getgid()).gr_name,
}
LONG_AGO = "Sat 2000-01-01 00:00:00.000000 UTC"
FAR_AWAY = "Wed 2099-01-07 00:00:00.000000 UTC"


class FakeCommands:
    """systemctl and validators; ``shown`` is by unit."""

    shown: dict[str, str]
    refusal: str

    def __init__(self, _module: object) -> None:
        self.module = _module

    def run(self, *argv: str, check: bool = True) -> tuple[int, str, str]:
        if argv[0] == "systemctl":
            return 0, FakeCommands.shown[argv[-1]], ""
        if FakeCommands.refusal:
            raise module.CommandFailed(f"'{argv[0]} {argv[1]}' failed: {FakeCommands.refusal}")
        return 0, "", ""


def running(since: str = FAR_AWAY, state: str = "enabled", active: str = "active") -> str:
    return f"UnitFileState={state}\nActiveState={active}\nInactiveExitTimestamp={since}\n"


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> type[FakeCommands]:
    FakeCommands.shown, FakeCommands.refusal = {}, ""
    monkeypatch.setattr(module, "Commands", FakeCommands)
    return FakeCommands


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*files: dict[str, Any], services: Any = (), **options: bool) -> dict[str, Any]:
        arguments = {
            "files": [{**OWN, **entry} for entry in files],
            "services": list(services),
            **{f"_ansible_{key}": value for key, value in options.items()},
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return call


def test_a_file_is_written_with_its_mode_and_folder_and_the_second_run_changes_nothing(
    run: Any, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "a.conf"
    entry = {"path": str(path), "content": "größe=1\n", "mode": "0640"}
    first = run(entry)
    assert (first["changed"], first["written"]) == (True, [str(path)])
    assert path.read_text(encoding="utf-8") == "größe=1\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    second = run(entry)
    assert (second["changed"], second["written"]) == (False, [])


@pytest.mark.parametrize("spoil", ["content", "mode", "link"])
def test_what_was_changed_by_hand_is_put_right(run: Any, tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "a.conf"
    entry = {"path": str(path), "content": "a\n"}
    run(entry)
    if spoil == "content":
        path.write_text("b\n")
    elif spoil == "mode":
        path.chmod(0o666)
    else:
        (tmp_path / "b").write_text("a\n")
        path.unlink()
        path.symlink_to(tmp_path / "b")
    assert run(entry)["written"] == [str(path)]
    assert not path.is_symlink()
    assert path.read_text() == "a\n"
    assert path.stat().st_mode & 0o7777 == 0o644


def test_links_and_folders_are_made_and_links_are_turned(run: Any, tmp_path: Path) -> None:
    folder, link = tmp_path / "state", tmp_path / "certs" / "ca.crt"
    entries = [
        {"path": str(folder), "mode": "0750"},
        {"path": str(link), "link": "/nowhere/yet"},
    ]
    assert run(*entries)["written"] == [str(folder), str(link)]
    assert folder.stat().st_mode & 0o7777 == 0o750
    assert link.readlink() == Path("/nowhere/yet")
    assert run(*entries)["written"] == []
    entries[1]["link"] = "/elsewhere"
    assert run(*entries)["written"] == [str(link)]
    assert link.readlink() == Path("/elsewhere")
    assert [entry.name for entry in link.parent.iterdir()] == ["ca.crt"]


def test_check_mode_says_what_it_would_write_and_writes_nothing(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.conf"
    entry = {"path": str(path), "content": "a\n", "owner": "no-such-user"}
    result = run(entry, check_mode=True)
    assert (result["changed"], result["written"]) == (True, [str(path)])
    assert not path.parent.exists()


def test_the_diff_shows_files_but_not_secret_ones(run: Any, tmp_path: Path) -> None:
    shown, secret = tmp_path / "a", tmp_path / "b"
    shown.write_text("old\n")
    result = run(
        {"path": str(shown), "content": "new\n"},
        {"path": str(secret), "secret_content": "s3cret\n"},
        diff=True,
    )
    assert [(d["before"], d["after"]) for d in result["diff"]] == [("old\n", "new\n")]
    assert secret.read_text() == "s3cret\n"
    assert "s3cret" not in json.dumps(result)


def test_a_file_that_is_refused_is_not_replaced_and_nothing_is_left(
    run: Any, tmp_path: Path, commands: type[FakeCommands]
) -> None:
    path = tmp_path / "a.conf"
    path.write_text("good\n")
    commands.refusal = "line 1 is wrong"
    result = run({"path": str(path), "content": "bad\n", "validate": ["checker", "%s"]})
    assert result["failed"]
    assert result["msg"] == f"{path} was not changed: 'checker {path}' failed: line 1 is wrong"
    assert path.read_text() == "good\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.conf"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"content": "", "mode": "rw-"}, "mode is 'rw-'; allowed is octal text such as 0644."),
        ({"content": "", "owner": "no-such-user"}, "no-such-user"),
        ({"content": "", "link": "/x"}, "mutually exclusive"),
        ({"content": "", "secret_content": ""}, "mutually exclusive"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    run: Any, tmp_path: Path, entry: dict[str, str], message: str
) -> None:
    result = run({"path": str(tmp_path / "a"), **entry})
    assert result["failed"]
    assert message in result["msg"]
    assert "\n" not in result["msg"]
    assert not (tmp_path / "a").exists()


def test_a_folder_in_the_place_of_a_file_is_left_alone(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    result = run({"path": str(tmp_path / "a"), "content": ""})
    assert result["msg"] == f"{tmp_path / 'a'} is a folder; remove it first."


@pytest.mark.parametrize(
    ("shown", "stale"),
    [
        (running(), False),
        (running(state="static"), False),
        (running(since=LONG_AGO), True),
        (running(state="disabled"), True),
        (running(active="failed"), True),
        (running(active="inactive", since=""), True),
        ("UnitFileState=\nActiveState=inactive\n", True),
    ],
)
def test_a_service_is_stale_unless_it_is_enabled_and_runs_since_its_files_changed(
    run: Any, tmp_path: Path, commands: type[FakeCommands], shown: str, stale: bool
) -> None:
    entry = {"path": str(tmp_path / "a"), "content": "a\n"}
    run(entry)
    commands.shown = {"a.service": shown}
    result = run(entry, services=[{"name": "a.service"}])
    assert result["written"] == []
    assert (result["stale"], result["changed"]) == (["a.service"] if stale else [], stale)


def test_a_service_is_compared_with_its_own_files_only(
    run: Any, tmp_path: Path, commands: type[FakeCommands]
) -> None:
    entry = {"path": str(tmp_path / "a"), "content": "a\n"}
    run(entry)
    commands.shown = {"a.service": running(since=LONG_AGO), "b.service": running(since=LONG_AGO)}
    services = [{"name": "a.service"}, {"name": "b.service", "files": []}]
    assert run(entry, services=services)["stale"] == ["a.service"]


def test_the_oldest_folders_of_a_name_go(run: Any, tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / f"r{n}").mkdir()
        os.utime(tmp_path / f"r{n}", (n, n))
    (tmp_path / "r9.conf").touch()
    entry = {"path": str(tmp_path), "prune": "r?", "keep": 2}
    assert run(entry, check_mode=True)["written"] == [str(tmp_path)]
    assert len(list(tmp_path.glob("r?"))) == 4
    assert run(entry)["written"] == [str(tmp_path)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r2", "r3", "r9.conf"]
    assert run(entry)["changed"] is False
    assert "required together: prune, keep" in run({"path": str(tmp_path), "prune": "r?"})["msg"]


def test_a_service_that_was_started_with_something_else_is_stale(
    run: Any, tmp_path: Path, commands: type[FakeCommands], monkeypatch: pytest.MonkeyPatch
) -> None:
    proc = tmp_path / "proc"
    (proc / "321").mkdir(parents=True)
    (proc / "321/environ").write_bytes(b"STAMP=new\0LANG=C\0")
    monkeypatch.setattr(units, "PROC", str(proc))
    entry = {"path": str(tmp_path), "mode": f"{tmp_path.stat().st_mode & 0o7777:o}"}
    commands.shown = {"a.service": f"{running()}MainPID=321\n"}
    for environment, stale in (({"STAMP": "new"}, []), ({"STAMP": "old"}, ["a.service"])):
        service = {"name": "a.service", "files": [], "environment": environment}
        assert run(entry, services=[service])["stale"] == stale
    commands.shown = {"a.service": f"{running()}MainPID=0\n"}
    service["environment"] = {"STAMP": "new"}
    assert run(entry, services=[service])["stale"] == ["a.service"]


def test_a_service_that_answers_something_else_is_told(
    run: Any, tmp_path: Path, commands: type[FakeCommands], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def says(url: str, text: str) -> bool:
        asked.append(url)
        return text == "new"

    monkeypatch.setattr(comparison, "says", says)
    entry = {"path": str(tmp_path), "mode": f"{tmp_path.stat().st_mode & 0o7777:o}"}
    commands.shown = {"a.service": running()}
    service = {"name": "a.service", "files": [], "url": "http://127.0.0.1:1/health"}
    result = run(entry, services=[{**service, "says": "old"}])
    assert (result["unlike"], result["stale"], result["changed"]) == (["a.service"], [], True)
    assert run(entry, services=[{**service, "says": "new"}])["changed"] is False
    assert asked == ["http://127.0.0.1:1/health"] * 2


def test_the_question_before_the_module_knows_when_nothing_is_to_be_done(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer:
        stdout = running()

    monkeypatch.setattr("subprocess.run", lambda *_args, **_options: Answer)
    entry = {**OWN, "path": str(tmp_path / "a"), "content": "a\n"}
    question = {"files": [entry], "services": [{"name": "a.service"}]}
    assert comparison.look(question) == {"done": False}
    run(entry)
    assert comparison.look(question) == {"done": True}
    Answer.stdout = running(active="failed")
    assert comparison.look(question) == {"done": False}
    Answer.stdout = running()
    (tmp_path / "a").chmod(0o600)
    assert comparison.look(question) == {"done": False}


@pytest.mark.parametrize(
    "entry",
    [
        {"content": ""},
        {"path": "~/a", "content": ""},
        {"path": "/tmp/$HOME", "content": ""},
        {"path": "/tmp/a", "content": {"a": 1}},
        {"path": "/tmp/a", "content": "", "mode": 0o644},
        {"path": "/tmp/a", "content": "", "mode": "rw"},
        {"path": "/tmp/a", "content": "", "owner": "no-such-user"},
    ],
)
def test_what_it_does_not_understand_is_left_to_the_module(entry: dict[str, Any]) -> None:
    assert comparison.look({"files": [entry]}) == {"done": False}


def test_a_user_that_a_package_will_bring_is_missing_only_in_earnest(
    run: Any, tmp_path: Path
) -> None:
    file = {"path": str(tmp_path / "a"), "content": "x", "owner": "nobody-of-this-name"}
    (tmp_path / "a").write_text("x")
    assert run(file, check_mode=True)["written"] == [file["path"]]
    for _ in range(2):
        refused = run(file)
        assert refused["failed"] and "nobody-of-this-name" in refused["msg"]
        (tmp_path / "a").unlink(missing_ok=True)
    assert not (tmp_path / "a").exists()
