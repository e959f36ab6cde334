# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a node's own settings to a strict state, or back, in one go: on a small node each Ansible
task costs a second, whatever it does. Standard library only; runs on the node.

Reads from stdin {"check", "enabled", "id", "packages", "files": {path: [mode, content]},
"login_defs": {key: value}, "modes": {path: mode}, "sysctl": {key: value}, "sshd": [paths of
files of "files" that sshd must accept], "moduli": path for sshd's long moduli, or ""}. Modes are
octal text. "systems" are the supported ones, by ID-VERSION_ID of os-release(5).

What was there before is kept in MEMORY, together with the id of what was last applied: a run
that was cut off before that has everything applied again.

Prints {"changed": [...], "missing": packages that are not installed, "skipped": kernel settings
that are not this machine's own, "error"}; with an error the exit code is 1.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MEMORY = Path("/etc/clusterops-hardening.json")
LOGIN_DEFS = Path("/etc/login.defs")
MODULI = Path("/etc/ssh/moduli")
SHORTEST_MODULUS = 3071
SYSCTL = Path("/etc/sysctl.d/60-clusterops.conf")
PROC_SYS = Path("/proc/sys")
CONTAINER = Path("/run/systemd/container")
OS_RELEASE = Path("/etc/os-release")


class Problem(Exception):
    """One line for the user."""


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


def write(path: Path, mode: int, content: str) -> None:
    """At once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
            os.fchmod(handle, mode)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def same(path: Path, content: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == content


def own_sysctl(wanted: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Settings of the kernel that are this machine's own, and the other ones."""
    container = CONTAINER.exists()
    own = {
        key: value
        for key, value in wanted.items()
        if PROC_SYS.joinpath(*key.split(".")).exists()
        and (not container or key.startswith(("net.ipv4.", "net.ipv6.")))
    }
    return own, [key for key in wanted if key not in own]


def check_system(systems: list[str]) -> None:
    """Raises Problem where the system is none of these."""
    text = OS_RELEASE.read_text(encoding="utf-8") if OS_RELEASE.exists() else ""
    fields = dict(re.findall(r"^(ID|VERSION_ID)=[\"']?(.*?)[\"']?$", text, re.MULTILINE))
    found = f"{fields.get('ID', '?')}-{fields.get('VERSION_ID', '?')}"
    if found not in systems:
        raise Problem(
            f"found {found}; supported: {', '.join(systems)}. Apply the role to one of these"
        )


def accepted_by_sshd(path: Path, content: str) -> None:
    """Raises Problem. With a key of its own, because a machine may have none yet."""
    with tempfile.TemporaryDirectory() as folder:
        key, new = Path(folder, "key"), Path(folder, "config")
        run("/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        new.write_text(content)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        done = run("/usr/sbin/sshd", "-t", "-f", str(new), "-h", str(key))
    if done.returncode:
        said = " ".join(done.stderr.split()).replace(str(new), str(path))
        raise Problem(f"{path} was not changed: {said}")


def supported(content: str) -> str:
    """A configuration of sshd without what this release does not have: key exchanges, penalties."""
    version = re.search(r"OpenSSH_(\d+)\.(\d+)", run("/usr/bin/ssh", "-V").stderr)
    if version and (int(version[1]), int(version[2])) < (9, 8):
        content = re.sub(r"^PerSourcePenalties .*\n", "", content, flags=re.MULTILINE)
    known = set(run("/usr/bin/ssh", "-Q", "kex").stdout.split())

    def those(match: re.Match[str]) -> str:
        return match[1] + ",".join(name for name in match[2].split(",") if name in known)

    return re.sub(r"^(KexAlgorithms )(.+)$", those, content, flags=re.MULTILINE)


def long_moduli(text: str) -> str:
    """Of the lines of moduli(5), the fifth field is the size in bits, less one."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return "".join(f"{line}\n" for line in lines if int(line.split()[4]) >= SHORTEST_MODULUS)


def missing(packages: list[str]) -> list[str]:
    shown = run("/usr/bin/dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n",
                *packages).stdout  # fmt: skip
    return [name for name in packages if f"{name} installed" not in shown.splitlines()]


def login_defs(text: str, options: dict[str, str | None]) -> str:
    """login.defs(5) with options set; None takes one out."""
    for key, value in options.items():
        line = re.compile(rf"^{key}[ \t].*\n?", re.MULTILINE)
        new = "" if value is None else f"{key}\t{value}\n"
        if line.search(text):
            text = line.sub(lambda _: new, text, count=1)  # noqa: B023 - called at once
        else:
            text = text.rstrip("\n") + "\n" + new
    return text


def set_options(text: str, keys: list[str]) -> dict[str, str | None]:
    """What the options are."""
    found = {key: re.search(rf"^{key}[ \t]+(.*?)[ \t]*$", text, re.MULTILINE) for key in keys}
    return {key: match[1] if match else None for key, match in found.items()}


class Node:
    """The settings of this machine."""

    def __init__(self, check: bool) -> None:
        self.check = check
        self.changed: list[str] = []
        remembered = json.loads(MEMORY.read_text()) if MEMORY.exists() else {}
        self.before: dict[str, Any] = {
            "id": "", "files": {}, "login_defs": {}, "modes": {}, **remembered
        }  # fmt: skip

    def remember(self) -> None:
        if not self.check:
            write(MEMORY, 0o600, json.dumps(self.before, indent=1, sort_keys=True) + "\n")

    def file(self, path: Path, mode: int, content: str) -> None:
        there = path.read_text(encoding="utf-8") if path.is_file() else None
        if there == content and mode_of(path) == mode:
            return
        self.changed.append(str(path))
        old = None if there is None else [f"{mode_of(path):04o}", there]
        self.before["files"].setdefault(str(path), old)
        self.remember()
        if not self.check:
            write(path, mode, content)

    def options(self, wanted: dict[str, str | None]) -> None:
        text = LOGIN_DEFS.read_text(encoding="utf-8") if LOGIN_DEFS.exists() else ""
        now = set_options(text, list(wanted))
        if now == wanted:
            return
        self.changed.append(str(LOGIN_DEFS))
        for key, value in now.items():
            self.before["login_defs"].setdefault(key, value)
        self.remember()
        if not self.check:
            write(LOGIN_DEFS, 0o644, login_defs(text, wanted))

    def mode(self, path: Path, mode: int) -> None:
        if not path.exists() or mode_of(path) == mode:
            return
        self.changed.append(str(path))
        self.before["modes"].setdefault(str(path), f"{mode_of(path):04o}")
        self.remember()
        if not self.check:
            path.chmod(mode)

    def harden(self, job: dict[str, Any]) -> None:
        own = own_sysctl(job["sysctl"])[0]
        files = {
            **job["files"],
            str(SYSCTL): ["0644", "".join(f"{k} = {v}\n" for k, v in own.items())],
        }
        if job["moduli"] and MODULI.exists():
            files[job["moduli"]] = ["0644", long_moduli(MODULI.read_text(encoding="ascii"))]
        for path, (mode, content) in sorted(files.items()):
            wanted = content
            if path in job["sshd"]:
                wanted = supported(content)
                if not same(Path(path), wanted):
                    accepted_by_sshd(Path(path), wanted)
            self.file(Path(path), int(mode, 8), wanted)
        for path in set(self.before["files"]) - set(files):
            self.put_back(path)
        self.options(job["login_defs"])
        for path, mode in job["modes"].items():
            self.mode(Path(path), int(mode, 8))
        if self.before["id"] != job["id"] or self.changed:
            self.changed = self.changed or ["what runs"]
            self.apply()
            self.before["id"] = job["id"]
            self.remember()

    def put_back(self, path: str) -> None:
        self.changed.append(path)
        if self.check:
            return
        old = self.before["files"].pop(path)
        if old is None:
            Path(path).unlink(missing_ok=True)
        else:
            write(Path(path), int(old[0], 8), old[1])

    def soften(self) -> None:
        """Put back what was there."""
        if not MEMORY.exists():
            return
        self.changed.append(str(MEMORY))
        for path in list(self.before["files"]):
            self.put_back(path)
        if self.check:
            return
        if LOGIN_DEFS.exists():
            text = LOGIN_DEFS.read_text(encoding="utf-8")
            write(LOGIN_DEFS, 0o644, login_defs(text, self.before["login_defs"]))
        for path, mode in self.before["modes"].items():
            if Path(path).exists():
                Path(path).chmod(int(mode, 8))
        self.apply()
        MEMORY.unlink()

    def apply(self) -> None:
        if self.check:
            return
        if SYSCTL.exists():
            done = run("/usr/sbin/sysctl", "--quiet", "--load", str(SYSCTL))
            if done.returncode:
                raise Problem(f"{SYSCTL}: {' '.join(done.stderr.split())}")
        # The manager reads its limits only then.
        run("/usr/bin/systemctl", "daemon-reexec")
        if run("/usr/bin/systemctl", "is-active", "--quiet", "ssh.service").returncode == 0:
            done = run("/usr/bin/systemctl", "reload", "ssh.service")
            if done.returncode:
                raise Problem(f"ssh.service does not reload: {' '.join(done.stderr.split())}")


def main() -> int:
    """Do what stdin says."""
    job = json.load(sys.stdin)
    node = Node(job["check"])
    error = None
    try:
        check_system(job["systems"])
        if job["enabled"]:
            node.harden(job)
        else:
            node.soften()
    except (Problem, OSError, ValueError, subprocess.SubprocessError) as problem:
        error = str(problem)
    answer = {
        "changed": node.changed,
        "missing": missing(job["packages"]) if job["enabled"] and not error else [],
        "skipped": own_sysctl(job["sysctl"])[1],
        "error": error,
    }
    print(json.dumps(answer))
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main())
