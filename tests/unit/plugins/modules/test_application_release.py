# SPDX-License-Identifier: GPL-3.0-or-later
"""A release that does not become ready never replaces the one that serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import _compose_application
from ansible_collections.clusterops.playground.plugins.module_utils._commands import CommandFailed
from ansible_collections.clusterops.playground.plugins.module_utils._releases import (
    InvalidEnvironment,
    Releases,
)
from ansible_collections.clusterops.playground.plugins.modules import application_release as module


class FakeEngine:
    """Runs one release at a time, as Compose does for one project; stands for Commands."""

    def __init__(self) -> None:
        self.running: str | None = None
        self.images: set[str] = set()
        self.broken: set[str] = set()
        self.never_ready: set[str] = set()
        self.calls: list[str] = []
        self.files: list[str] = []
        """The Compose files of the last start."""

    def run(self, *argv: str, check: bool = True, **_: Any) -> tuple[int, str, str]:
        words = [word for word in argv if not word.startswith("--")]
        options = dict(word[2:].split("=", 1) for word in argv if "=" in word)
        release = Path(options.get("project-directory", "")).name
        self.calls.append(" ".join([*words[1:], release]).strip())
        if words[1:3] == ["compose", "up"]:
            if release in self.broken:
                raise CommandFailed("'docker compose' failed with exit code 1: bad image")
            self.running = release
            self.files = [word.partition("=")[2] for word in argv if word.startswith("--file=")]
        elif words[1:3] == ["compose", "stop"] or words[1] == "stop":
            # Compose stops only what its file describes.
            self.running = None if words[1] == "stop" else self._without(release)
        elif words[1] == "ps":
            wanted = [word for word in argv if "working_dir=" in word]
            shown = self.running and (not wanted or wanted[0].endswith(f"/{self.running}"))
            return 0, "abc123\n" if shown else "", ""
        elif words[1] == "image":
            return (0 if words[-1] in self.images else 1), "", ""
        elif words[1] == "pull":
            self.images.add(words[-1])
        return 0, "", ""

    def _without(self, release: str) -> str | None:
        return None if self.running == release else self.running


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def ready(_: str) -> bool:
        return fake.running is not None and fake.running not in fake.never_ready

    monkeypatch.setattr(_compose_application, "answers_ready", ready)
    monkeypatch.setattr(_compose_application.time, "sleep", sleep)
    monkeypatch.setattr(_compose_application.time, "monotonic", lambda: now[0])
    return fake


class Agent:
    """The module's work on one agent, without Ansible."""

    def __init__(self, engine: FakeEngine, home: Path) -> None:
        self.engine = engine
        self.releases = Releases(str(home / "shop"))

    def params(self, release: str, **changes: Any) -> dict[str, Any]:
        return {
            "name": "shop", "release": release, "image": f"r:5001/apps/shop@sha256:{release}",
            "compose": "services: {}\n", "env": {"KEY": "v"}, "port": 5000, "ready_path": "/ready",
            "migration_service": None, "timeout_s": 90, "overlay": "", "authority": "", **changes,
        }  # fmt: skip

    def app(self) -> _compose_application.Application:
        return _compose_application.Application(self.engine, self.releases, "shop", 90)

    def migrate(self, release: str, check_mode: bool = False) -> dict[str, Any]:
        params = self.params(release, migration_service="migrate")
        result: dict[str, Any] = module.ensure_migrated(self.app(), params, check_mode)
        return result

    def start(self, release: str, check_mode: bool = False, **changes: Any) -> dict[str, Any]:
        params = self.params(release, **changes)
        result: dict[str, Any] = module.ensure_started(self.app(), [], params, check_mode)
        return result

    def provide(self, release: str, check_mode: bool = False) -> dict[str, Any]:
        params = self.params(release)
        result: dict[str, Any] = module.ensure_present(self.app(), params, check_mode)
        return result

    def stop(self, check_mode: bool = False) -> dict[str, Any]:
        result: dict[str, Any] = module.ensure_stopped(self.app(), check_mode)
        return result


@pytest.fixture
def agent(engine: FakeEngine, tmp_path: Path) -> Agent:
    return Agent(engine, tmp_path)


def test_the_first_release(agent: Agent, engine: FakeEngine) -> None:
    result = agent.start("r1")
    assert (result["changed"], result["previous"], result["release"]) == (True, "", "r1")
    assert (engine.running, agent.releases.current()) == ("r1", "r1")
    env = Path(agent.releases.path("r1"), ".env").read_text()
    assert env == "APP_IMAGE='r:5001/apps/shop@sha256:r1'\nAPP_PORT='5000'\nKEY='v'\n"


def test_the_clusters_authority_is_beside_the_release_for_containers_of_any_user(
    agent: Agent, engine: FakeEngine
) -> None:
    trusted = {"authority": "CERTIFICATE", "overlay": '{"services": {}}'}
    agent.start("r1", **trusted)
    folder = Path(agent.releases.path("r1"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert (folder / "ca.crt").read_text() == "CERTIFICATE"
    assert {name for name, mode in modes.items() if mode != 0o600} == {"ca.crt"}
    assert modes["ca.crt"] == 0o644
    assert engine.files == [f"{folder}/compose.yml", f"{folder}/overlay.yml"]
    assert agent.start("r1", **trusted)["changed"] is False
    assert agent.start("r1", **{**trusted, "authority": "ANOTHER"})["changed"] is True


def test_a_second_run_changes_nothing_and_pulls_nothing(agent: Agent, engine: FakeEngine) -> None:
    agent.start("r1")
    engine.calls.clear()
    result = agent.start("r1")
    assert (result["changed"], result["outdated"]) == (False, False)
    assert engine.calls == ["ps"]


def test_an_image_that_is_here_is_not_pulled(agent: Agent, engine: FakeEngine) -> None:
    engine.images.add("r:5001/apps/shop@sha256:r1")
    agent.start("r1")
    assert not any(call.startswith("pull") for call in engine.calls)


@pytest.mark.parametrize("damage", ["stopped", "file"])
def test_a_release_that_no_longer_runs_as_given_is_repaired(
    agent: Agent, engine: FakeEngine, damage: str
) -> None:
    agent.start("r1")
    if damage == "stopped":
        engine.running = None
    else:
        Path(agent.releases.path("r1"), ".env").write_text("KEY='changed'\n")
    assert agent.start("r1", check_mode=True)["outdated"] is True
    assert agent.start("r1")["changed"] is True
    assert agent.start("r1")["changed"] is False


def test_a_release_that_runs_but_is_not_ready_is_started_again(
    agent: Agent, engine: FakeEngine
) -> None:
    agent.start("r1")
    engine.never_ready.add("r1")
    assert agent.start("r1", check_mode=True)["outdated"] is True
    with pytest.raises(CommandFailed, match="release r1 did not answer"):
        agent.start("r1")


def test_a_release_that_never_becomes_ready_is_rolled_back(
    agent: Agent, engine: FakeEngine
) -> None:
    agent.start("r1")
    engine.never_ready.add("r2")
    with pytest.raises(CommandFailed) as caught:
        agent.start("r2")
    assert str(caught.value) == (
        "release r2 did not answer 200 on http://127.0.0.1:5000/ready within 90 s; r1 serves again"
    )
    assert (engine.running, agent.releases.current()) == ("r1", "r1")
    assert agent.start("r1")["changed"] is False


def test_a_release_that_cannot_start_is_rolled_back(agent: Agent, engine: FakeEngine) -> None:
    agent.start("r1")
    engine.broken.add("r2")
    with pytest.raises(CommandFailed, match=r"release r2 .*bad image; r1 serves again"):
        agent.start("r2")
    assert (engine.running, agent.releases.current()) == ("r1", "r1")


def test_when_going_back_fails_both_reasons_are_told(agent: Agent, engine: FakeEngine) -> None:
    agent.start("r1")
    engine.never_ready |= {"r1", "r2"}
    with pytest.raises(CommandFailed, match=r"release r2 .*; going back failed, too: r1 did not"):
        agent.start("r2")
    assert agent.releases.current() == "r1"


def test_the_first_release_that_fails_leaves_no_current_one(
    agent: Agent, engine: FakeEngine
) -> None:
    engine.never_ready.add("r1")
    with pytest.raises(CommandFailed, match="release r1 did not answer"):
        agent.start("r1")
    assert agent.releases.current() is None
    assert engine.running is None
    engine.never_ready.clear()
    assert agent.start("r1")["changed"] is True


def test_migrations_run_while_the_release_before_serves(agent: Agent, engine: FakeEngine) -> None:
    agent.start("r1", migration_service="migrate")
    engine.calls.clear()
    assert agent.migrate("r2", check_mode=True)["changed"] is True
    assert not engine.calls[1:]
    assert agent.migrate("r2")["changed"] is True
    assert [call for call in engine.calls if call.startswith("compose")] == [
        "compose run migrate r2"
    ]
    assert (engine.running, agent.releases.current()) == ("r1", "r1")


def test_check_mode_touches_nothing(agent: Agent, engine: FakeEngine) -> None:
    result = agent.start("r1", check_mode=True)
    assert (result["changed"], result["outdated"]) == (True, True)
    assert not Path(agent.releases.home).exists()
    agent.start("r1")
    assert agent.stop(check_mode=True)["changed"] is True
    assert engine.running == "r1"


def test_stopping_keeps_the_folders_and_is_done_once(agent: Agent, engine: FakeEngine) -> None:
    agent.start("r1")
    assert agent.stop()["changed"] is True
    assert agent.stop()["changed"] is False
    assert (engine.running, agent.releases.current()) == (None, "r1")


@pytest.mark.parametrize("current", [True, False])
def test_stopping_a_release_that_never_became_current(
    agent: Agent, engine: FakeEngine, current: bool
) -> None:
    if current:
        agent.start("r1")
    engine.running = "r2"
    assert agent.stop()["changed"] is True
    assert engine.running is None
    assert agent.stop()["changed"] is False


@pytest.mark.parametrize("env", [{"KEY": "hunter2\n"}, {"KEY": "hun'ter2"}, {"A B=hunter2": "x"}])
def test_a_bad_environment_is_refused_before_anything_happens(
    agent: Agent, engine: FakeEngine, env: dict[str, str]
) -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        agent.start("r1", env=env)
    assert "ter2" not in str(caught.value)
    assert engine.calls == []


def test_a_release_can_be_provided_without_starting_it(agent: Agent, engine: FakeEngine) -> None:
    assert agent.provide("r1", check_mode=True)["changed"] and not engine.images
    assert agent.provide("r1")["changed"]
    assert (engine.running, agent.releases.current()) == (None, None)
    assert not agent.provide("r1")["changed"]
    engine.calls.clear()
    agent.start("r1")
    assert engine.running == "r1" and not any("pull" in call for call in engine.calls)


def test_providing_the_next_release_leaves_what_runs(agent: Agent, engine: FakeEngine) -> None:
    agent.start("r1")
    result = agent.provide("r2")
    assert (result["previous"], result["release"]) == ("r1", "r2")
    assert (engine.running, agent.releases.current()) == ("r1", "r1")


class TwoApplications:
    """shop served until now; blog comes. Each is a Compose project of its own."""

    def __init__(self, home: Path, fails: str = "") -> None:
        self.running: set[str] = {"shop"}
        self.fails = fails
        self.removed: list[str] = []
        self.apps = {
            name: _compose_application.Application(self, Releases(str(home / name)), name, 90)
            for name in ("shop", "blog")
        }
        self.apps["shop"].releases.write(
            "s1", _compose_application.release_files(self.params("s1"))
        )
        self.apps["shop"].releases.switch("s1")

    def params(self, release: str) -> dict[str, Any]:
        name = "shop" if release.startswith("s") else "blog"
        return {
            "name": name, "release": release, "image": f"r:5001/apps/{name}@sha256:{release}",
            "compose": "services: {}\n", "env": {}, "port": 5000, "ready_path": "/ready",
            "overlay": "", "authority": "",
        }  # fmt: skip

    def run(self, *argv: str, check: bool = True, **_: Any) -> tuple[int, str, str]:
        text = " ".join(argv)
        name = "blog" if "blog" in text else "shop"
        if "compose" in argv and "up" in argv:
            if self.fails == name:
                raise CommandFailed("'docker compose' failed with exit code 1: bad image")
            self.running.add(name)
        elif "stop" in argv:
            self.running.discard(name)
        elif "ps" in argv:
            return 0, (f"{name}-1\n" if name in self.running else ""), ""
        elif "images" in argv:
            return 0, "r:5001/apps/shop@sha256:s0\nr:5001/apps/shop@sha256:s1\n", ""
        elif "rmi" in argv:
            self.removed.append(argv[-1])
        return 0, "", ""


def test_another_application_takes_the_place_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_compose_application, "answers_ready", lambda _: True)
    engine = TwoApplications(tmp_path)
    shop, blog = engine.apps["shop"], engine.apps["blog"]
    result = module.ensure_started(blog, [shop], engine.params("b1"), False)
    assert (result["changed"], engine.running) == (True, {"blog"})
    # What the first application needs to come back stays; what nothing needs goes.
    assert (engine.removed, shop.releases.current()) == (["r:5001/apps/shop@sha256:s0"], "s1")
    assert module.ensure_started(blog, [shop], engine.params("b1"), False)["changed"] is False


def test_another_application_that_does_not_start_leaves_the_first_serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_compose_application, "answers_ready", lambda _: True)
    engine = TwoApplications(tmp_path, fails="blog")
    shop, blog = engine.apps["shop"], engine.apps["blog"]
    with pytest.raises(CommandFailed, match=r"release b1 .*bad image; shop s1 serves again"):
        module.ensure_started(blog, [shop], engine.params("b1"), False)
    assert (engine.running, blog.releases.current()) == ({"shop"}, None)
