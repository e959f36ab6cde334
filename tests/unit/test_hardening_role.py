# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that makes a node's settings strict, and puts back what was there."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "roles/hardening/files/harden.py"


class Machine:
    """A folder with a few files of a machine; commands are only written down."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = importlib.util.spec_from_file_location("harden", PROGRAM)
        assert spec and spec.loader
        self.program: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.program)
        self.root = root
        self.ran: list[str] = []
        for name, path in (
            ("MEMORY", "memory.json"),
            ("LOGIN_DEFS", "login.defs"),
            ("SYSCTL", "sysctl.conf"),
            ("MODULI", "moduli"),
            ("CONTAINER", "container"),
            ("PROC_SYS", "sys"),
        ):
            monkeypatch.setattr(self.program, name, root / path)
        monkeypatch.setattr(self.program, "run", self._run)
        (root / "login.defs").write_text("# a comment\nPASS_MAX_DAYS\t99999\n")
        (root / "issue").write_text("Welcome\n")
        (root / "crontab").write_text("")
        (root / "crontab").chmod(0o644)
        (root / "container").touch()

    def _run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        self.ran.append(" ".join(argv))
        out = {"-Q": "curve25519-sha256\nsntrup761x25519-sha512\n"}.get(
            argv[1] if argv[1:] else "", ""
        )
        return subprocess.CompletedProcess(argv, 0, out, "OpenSSH_9.2p1 Debian-2, OpenSSL 3\n")

    def job(self, **changes: Any) -> dict[str, Any]:
        return {
            "check": False,
            "enabled": True,
            "id": "one",
            "packages": [],
            "files": {str(self.root / "issue"): ["0644", "Keep out\n"]},
            "login_defs": {"PASS_MAX_DAYS": "365", "LOGIN_RETRIES": "3"},
            "modes": {str(self.root / "crontab"): "0600", str(self.root / "none"): "0600"},
            "sysctl": {},
            "sshd": [],
            "moduli": "",
            **changes,
        }

    def apply(self, **changes: Any) -> list[str]:
        """Names of what was changed."""
        job = self.job(**changes)
        node = self.program.Node(job["check"])
        node.harden(job) if job["enabled"] else node.soften()
        return [Path(path).name for path in node.changed]

    def state(self) -> dict[str, tuple[str, int]]:
        return {
            path.name: (path.read_text(), path.stat().st_mode & 0o777)
            for path in sorted(self.root.iterdir())
        }


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_what_was_changed_is_put_back(machine: Machine) -> None:
    before = machine.state()
    assert machine.apply() == ["issue", "sysctl.conf", "login.defs", "crontab"]
    hardened = machine.state()
    assert hardened["issue"][0] == "Keep out\n"
    assert "PASS_MAX_DAYS\t365\nLOGIN_RETRIES\t3\n" in hardened["login.defs"][0]
    assert hardened["crontab"][1] == 0o600
    assert machine.apply(enabled=False)
    assert machine.state() == before
    assert machine.apply(enabled=False) == []


def test_the_second_run_changes_nothing_and_runs_nothing(machine: Machine) -> None:
    machine.apply()
    machine.ran.clear()
    assert machine.apply() == []
    assert machine.ran == []


def test_only_looking_changes_nothing(machine: Machine) -> None:
    before = machine.state()
    assert machine.apply(check=True)
    assert machine.state() == before
    assert machine.apply(check=True, enabled=False) == []


def test_a_run_that_was_cut_off_is_applied_by_the_next(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(machine.program.Node, "apply", cut_off)
        machine.apply()
    machine.ran.clear()
    assert machine.apply() == ["what runs"]
    assert any("reload ssh.service" in command for command in machine.ran)
    assert machine.apply() == []


def test_the_first_state_is_remembered_not_the_last(machine: Machine) -> None:
    machine.apply()
    issue = str(machine.root / "issue")
    machine.apply(id="two", files={issue: ["0644", "Keep further out\n"]})
    machine.apply(enabled=False)
    assert (machine.root / "issue").read_text() == "Welcome\n"


def test_a_file_that_is_not_wanted_any_more_is_put_back(machine: Machine) -> None:
    machine.apply()
    machine.apply(id="two", files={})
    assert (machine.root / "issue").read_text() == "Welcome\n"


def test_the_memory_is_for_root_alone(machine: Machine) -> None:
    machine.apply()
    assert (machine.root / "memory.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((machine.root / "memory.json").read_text())["id"] == "one"


def test_a_container_leaves_the_hosts_kernel_alone(machine: Machine) -> None:
    wanted = {"kernel.sysrq": 0, "net.ipv4.tcp_syncookies": 1, "net.core.none": 2}
    for key in ("kernel/sysrq", "net/ipv4/tcp_syncookies"):
        path = machine.root / "sys" / key
        path.parent.mkdir(parents=True)
        path.touch()
    assert list(machine.program.own_sysctl(wanted)[0]) == ["net.ipv4.tcp_syncookies"]
    (machine.root / "container").unlink()
    own, skipped = machine.program.own_sysctl(wanted)
    assert list(own) == ["kernel.sysrq", "net.ipv4.tcp_syncookies"]
    assert skipped == ["net.core.none"]


def test_what_a_release_of_openssh_has_not_is_left_out(machine: Machine) -> None:
    content = (
        "PerSourcePenalties no\nKexAlgorithms mlkem768x25519-sha256,sntrup761x25519-sha512,"
        "curve25519-sha256\nUseDNS no\n"
    )
    assert machine.program.supported(content) == (
        "KexAlgorithms sntrup761x25519-sha512,curve25519-sha256\nUseDNS no\n"
    )


def test_short_moduli_are_left_out(machine: Machine) -> None:
    lines = (
        "# Time Type Tests Tries Size Generator Modulus\n1 2 6 100 2047 2 AB\n1 2 6 100 3071 2 CD\n"
    )
    assert machine.program.long_moduli(lines) == "1 2 6 100 3071 2 CD\n"


def test_what_sshd_refuses_is_not_written(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*argv: str) -> subprocess.CompletedProcess[str]:
        bad = argv[0].endswith("sshd")
        return subprocess.CompletedProcess(argv, 1 if bad else 0, "", f"{argv[3:4]} line 1: bad")

    monkeypatch.setattr(machine.program, "run", refuse)
    path = str(machine.root / "sshd")
    with pytest.raises(machine.program.Problem, match="sshd was not changed"):
        machine.apply(files={path: ["0600", "Nonsense\n"]}, sshd=[path])
    assert not (machine.root / "sshd").exists()


def test_a_system_that_is_not_supported_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = machine.root / "os-release"
    monkeypatch.setattr(machine.program, "OS_RELEASE", release)
    release.write_text('ID=debian\nVERSION_ID="13"\n')
    machine.program.check_system(["debian-13"])
    release.write_text("ID=fedora\nVERSION_ID=40\n")
    with pytest.raises(machine.program.Problem, match="found fedora-40; supported: debian-13"):
        machine.program.check_system(["debian-13"])
