# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring files of a node to a wanted state in one go: on a small node each Ansible task costs a
second, whatever it does. Standard library only; runs on the node.

Reads from stdin {"check": bool, "unit", "stamp", "items": [...]}, where an item is one of
{path, folder: true}, {path, link: TARGET}, {path, prune: PATTERN, keep: N} (folders named so, all
but the N newest are removed), {path, content, validate: [argv with %s]}, each with optional owner,
group and mode (octal text). Every file is replaced at once or not at all.

Prints {"changed": [paths], "stale": whether the unit does not run with this stamp}; with "error"
and exit code 1 where something could not be written.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


class Problem(Exception):
    """One line for the user."""


def wanted_meta(item: dict[str, Any]) -> tuple[int, int, int]:
    """uid, gid and mode."""
    default = "0755" if item.get("folder") else "0644"
    return (
        pwd.getpwnam(item.get("owner", "root")).pw_uid,
        grp.getgrnam(item.get("group", "root")).gr_gid,
        int(item.get("mode", default), 8),
    )


def set_meta(path: Path, meta: tuple[int, int, int]) -> None:
    os.chown(path, meta[0], meta[1])
    path.chmod(meta[2])


def has_meta(path: Path, meta: tuple[int, int, int]) -> bool:
    stat = path.lstat()
    return (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777) == meta


def folder(path: Path, item: dict[str, Any], check: bool) -> bool:
    meta = wanted_meta(item)
    if path.is_dir() and has_meta(path, meta):
        return False
    if not check:
        path.mkdir(parents=True, exist_ok=True)
        set_meta(path, meta)
    return True


def link(path: Path, item: dict[str, Any], check: bool) -> bool:
    if path.is_symlink() and str(path.readlink()) == item["link"]:
        return False
    if not check:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)  # made by an earlier version of the role
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(item["link"])
        new.replace(path)
    return True


def prune(path: Path, item: dict[str, Any], check: bool) -> bool:
    found = [folder for folder in path.glob(item["prune"]) if folder.is_dir()]
    found.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    for old in found[item["keep"] :]:
        if not check:
            shutil.rmtree(old)
    return len(found) > item["keep"]


def file(path: Path, item: dict[str, Any], check: bool) -> bool:
    content, meta = item["content"].encode(), wanted_meta(item)
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        if has_meta(path, meta):
            return False
        if not check:
            set_meta(path, meta)
        return True
    if check:
        return True
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # 0600
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(handle)
        if item.get("validate"):
            validate(path, [part.replace("%s", name) for part in item["validate"]], name)
        set_meta(new, meta)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return True


def validate(path: Path, argv: list[str], name: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise Problem(f"{path} was not changed: {said.replace(name, str(path))}")


def stale(unit: str, stamp: str) -> bool:
    """Whether the unit is not enabled, or does not run with this stamp."""
    enabled = Path("/etc/systemd/system/multi-user.target.wants", unit)
    shown = subprocess.run(  # noqa: S603
        ["/usr/bin/systemctl", "show", "--property", "MainPID", "--value", unit],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    with contextlib.suppress(OSError):
        environment = Path(f"/proc/{shown.stdout.strip()}/environ").read_bytes().split(b"\0")
        return not enabled.is_symlink() or f"CLUSTEROPS_SCALER_STAMP={stamp}".encode() not in (
            environment
        )
    return True


def main() -> int:
    """Do what stdin says."""
    job = json.load(sys.stdin)
    changed: list[str] = []
    error = None
    for item in job["items"]:
        kinds = {"folder": folder, "link": link, "prune": prune, "content": file}
        act = next(kinds[key] for key in kinds if key in item)
        path = Path(item["path"])
        try:
            if act(path, item, job["check"]):
                changed.append(str(path))
        except Problem as problem:
            error = str(problem)
        except (OSError, KeyError, subprocess.SubprocessError) as problem:
            error = f"{path}: {problem}"
        if error:
            break
    print(
        json.dumps({"changed": changed, "stale": stale(job["unit"], job["stamp"]), "error": error})
    )
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main())
