# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages are installed where they are missing, on systems that the roles support."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.clusterops.playground.plugins.module_utils._commands import CommandFailed
from ansible_collections.clusterops.playground.plugins.module_utils._packages import (
    SUPPORTED,
    missing_of,
    system_of,
)
from ansible_collections.clusterops.playground.plugins.modules import packages as module

from clusterops.images.scenario import SYSTEMS

TRIXIE = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'


class Node:
    """A machine's package management; ``Commands`` of the module is this."""

    def __init__(self, folder: Path) -> None:
        self.release = folder / "os-release"
        self.release.write_text(TRIXIE)
        self.policy = folder / "policy-rc.d"
        self.installed = {"curl"}
        self.ran: list[list[str]] = []
        self.failing: list[str] = []  # the next commands of these names fail
        self.started_services = True

    def run(self, *argv: str, check: bool = True, **_: str) -> tuple[int, str, str]:
        self.ran.append(list(argv))
        word = argv[1] if argv[0] == "apt-get" else argv[0]
        if word in self.failing:
            self.failing.remove(word)
            raise CommandFailed(f"'{argv[0]} {argv[1]}' failed with exit code 100")
        if word == "dpkg-query":
            names = [name for name in argv[4:] if name in self.installed]
            return 1, "".join(f"{name} installed\n" for name in names), "no such package"
        if word == "install":
            self.started_services = not self.policy.exists()
            self.installed |= set(argv) - set(module.INSTALL)
        return 0, "", ""

    def words(self) -> list[str]:
        return [argv[1] if argv[0] == "apt-get" else argv[0] for argv in self.ran]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    node = Node(tmp_path)
    monkeypatch.setattr(module, "Commands", lambda _: node)
    monkeypatch.setattr(module, "OS_RELEASE", str(node.release))
    monkeypatch.setattr(module, "POLICY", str(node.policy))
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    return node


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(names: list[str], **options: Any) -> dict[str, Any]:
        with patch_module_args({"names": names, **options}), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return call


def test_what_is_missing_is_installed_and_starts_no_service(node: Node, run: Any) -> None:
    result = run(["curl", "nginx"])
    assert (result["changed"], result["installed"]) == (True, ["nginx"])
    assert result["system"] == "debian-13"
    assert node.installed == {"curl", "nginx"}
    assert not node.started_services
    assert not node.policy.exists()


def test_where_nothing_is_missing_apt_does_not_run(node: Node, run: Any) -> None:
    assert not run(["curl"])["changed"]
    assert node.words() == ["dpkg-query"]


def test_check_mode_needs_no_package_lists(node: Node, run: Any) -> None:
    result = run(["nginx"], _ansible_check_mode=True)
    assert (result["changed"], result["installed"]) == (True, ["nginx"])
    assert node.words() == ["dpkg-query"]


def test_some_systems_have_other_packages(node: Node, run: Any) -> None:
    elsewhere = {"debian-13": ["compose-v2"], "debian-12": ["compose"]}
    assert run(["nginx"], elsewhere=elsewhere)["installed"] == ["compose-v2"]


def test_no_packages_at_all(node: Node, run: Any) -> None:
    assert not run([])["changed"]
    assert node.ran == []


def test_paths_are_looked_for_as_well(node: Node, run: Any, tmp_path: Path) -> None:
    wanted = [str(tmp_path / "os-release"), str(tmp_path / "nothing")]
    assert run([], paths=wanted)["found"] == wanted[:1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            'ID=fedora\nVERSION_ID=40\nPRETTY_NAME="Fedora Linux 40"\n',
            "Fedora Linux 40 (fedora-40)",
        ),
        ("ID=debian\nVERSION_ID='11'\n", "(debian-11)"),
        ('ID=debian\nPRETTY_NAME="Debian GNU/Linux forky/sid"\n', "forky/sid (debian-?)"),
    ],
)
def test_another_system_is_refused_before_anything_happens(
    node: Node, run: Any, text: str, found: str
) -> None:
    node.release.write_text(text)
    result = run(["nginx"])
    assert result["failed"]
    assert found in result["msg"]
    assert "supported: Debian 12, Debian 13, Ubuntu 22.04, Ubuntu 24.04" in result["msg"]
    assert node.ran == []


def test_a_machine_that_does_not_say_what_it_is_is_refused(node: Node, run: Any) -> None:
    node.release.unlink()
    assert "a system without os-release" in run(["nginx"])["msg"]


def test_a_role_may_refuse_a_system_with_its_reason(node: Node, run: Any) -> None:
    result = run(["nginx"], refused={"debian-13": "which is too new"})
    assert "(debian-13), which is too new; supported: Debian 12, Ubuntu" in result["msg"]


def test_an_update_that_fails_is_tried_again(node: Node, run: Any) -> None:
    node.failing = ["update", "update"]
    assert run(["nginx"])["installed"] == ["nginx"]
    assert node.words().count("update") == 3


def test_an_update_that_never_works_is_told(node: Node, run: Any) -> None:
    node.failing = ["update"] * module.TRIES
    result = run(["nginx"])
    assert "'apt-get update' failed" in result["msg"]
    assert not node.policy.exists()


def test_a_failed_installation_leaves_no_ban_on_services(node: Node, run: Any) -> None:
    node.failing = ["install"]
    assert run(["nginx"])["failed"]
    assert not node.policy.exists()


def test_the_ban_of_a_run_that_was_cut_off_is_lifted(node: Node, run: Any) -> None:
    node.policy.write_text(module.NO_SERVICES)
    assert not run(["curl"])["changed"]
    assert not node.policy.exists()


def test_somebody_elses_ban_stays(node: Node, run: Any) -> None:
    node.policy.write_text("#!/bin/sh\nexit 101\n")
    run(["nginx"])
    assert node.policy.read_text() == "#!/bin/sh\nexit 101\n"


def test_packages_that_are_half_installed_are_missing() -> None:
    shown = "curl installed\nnginx unpacked\nredis config-files\n"
    assert missing_of(["curl", "nginx", "redis"], shown) == ["nginx", "redis"]


def test_every_supported_system_has_scenarios() -> None:
    assert set(SYSTEMS) == set(SUPPORTED)


@pytest.mark.parametrize("system", SUPPORTED)
def test_supported_systems_are_allowed(system: str) -> None:
    name, _, version = system.partition("-")
    assert system_of(f'ID={name}\nVERSION_ID="{version}"\n') == system
