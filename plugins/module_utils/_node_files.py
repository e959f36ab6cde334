# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a node as they should be: compared first, replaced at once or not at all.

A comparison has to be cheap (plugin_utils/_light.py): what only writing needs is imported there.
"""

from __future__ import annotations

import glob
import grp
import os
import pwd
import typing as t
from collections.abc import Callable


class FileRefused(Exception):
    """A file cannot be as it should be; the message is one line with its path."""


class NodeFile(t.NamedTuple):
    """One file, one link, one folder, or the oldest of the folders in one.

    ``content`` is None for a link (``link`` names its target) and for a folder (both are None).
    ``validate`` is a command with %s in place of the file that is not in its place yet. With
    ``prune``, a pattern of names, all but the ``keep`` newest folders of that name go.
    """

    path: str
    content: str | None = None
    link: str | None = None
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    validate: tuple[str, ...] = ()
    prune: str | None = None
    keep: int = 0

    @property
    def ids(self) -> tuple[int, int]:
        """Of the owner and the group.

        Raises:
            FileRefused: there is no such user or group.
        """
        try:
            return pwd.getpwnam(self.owner).pw_uid, grp.getgrnam(self.group).gr_gid
        except KeyError as error:
            raise FileRefused(f"{self.path}: {error.args[0]}") from error


def is_as_wanted(wanted: NodeFile) -> bool:
    """Whether nothing is to be done."""
    if wanted.prune is not None:
        return not surplus(wanted)
    if wanted.link is not None:
        return os.path.islink(wanted.path) and os.readlink(wanted.path) == wanted.link
    if os.path.islink(wanted.path):
        return False
    if wanted.content is None:
        return os.path.isdir(wanted.path) and _has_meta(wanted)
    return read(wanted.path) == wanted.content and _has_meta(wanted)


def read(path: str) -> str | None:
    """What is in a file now; None where there is no such file or no text in it."""
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            return stream.read()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        return None


def surplus(wanted: NodeFile) -> list[str]:
    """The folders that are older than those to be kept."""
    pattern = os.path.join(glob.escape(wanted.path), wanted.prune or "")
    found = [path for path in glob.glob(pattern) if os.path.isdir(path)]
    return sorted(found, key=os.path.getmtime, reverse=True)[wanted.keep :]


def _has_meta(wanted: NodeFile) -> bool:
    try:
        stat = os.lstat(wanted.path)
    except FileNotFoundError:
        return False
    return (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777) == (*wanted.ids, wanted.mode)


def put(wanted: NodeFile, accept: Callable[[NodeFile, str], None]) -> None:
    """Have it as wanted; missing parents are made. ``accept(file, temporary path)`` may refuse it.

    Raises:
        FileRefused: something else is in its place, or ``accept`` refused it; nothing has changed.
        OSError: it could not be written.
    """
    import shutil
    import tempfile

    if wanted.prune is not None:
        for path in surplus(wanted):
            shutil.rmtree(path)
        return
    if wanted.link is None and wanted.content is None:
        os.makedirs(wanted.path, exist_ok=True)
        _set_meta(wanted, wanted.path)
        return
    if os.path.isdir(wanted.path) and not os.path.islink(wanted.path):
        raise FileRefused(f"{wanted.path} is a folder; remove it first.")
    parent = os.path.dirname(wanted.path)
    os.makedirs(parent, exist_ok=True)
    if wanted.link is not None:
        folder = tempfile.mkdtemp(dir=parent, prefix=".new-")
        try:
            new = os.path.join(folder, "link")
            os.symlink(wanted.link, new)
            os.replace(new, wanted.path)
        finally:
            shutil.rmtree(folder)
        return
    handle, new = tempfile.mkstemp(dir=parent, prefix=".new-")  # 0600 until it is whole
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(wanted.content or "")
            stream.flush()
            os.fsync(handle)
        accept(wanted, new)
        _set_meta(wanted, new)
        os.replace(new, wanted.path)
    finally:
        if os.path.exists(new):
            os.unlink(new)


def _set_meta(wanted: NodeFile, path: str) -> None:
    os.chown(path, *wanted.ids)
    os.chmod(path, wanted.mode)
