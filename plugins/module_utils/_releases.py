# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of an application on an agent: one folder each, and a link to the one that serves.

``HOME/releases/ID/{compose.yml,.env,…}`` and ``HOME/current -> releases/ID``. The link is moved
only after the release has become healthy, so it always names one that worked.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
KEPT_RELEASES = 3
AUTHORITY = "ca.crt"
"""The one file of a release that is not its owner's alone: containers of any user read it."""


class InvalidEnvironment(Exception):
    """A name or value cannot be written to an environment file; the message never has the value."""


def environment_file(environment: dict[str, str]) -> str:
    """Text of an environment file that Compose reads back exactly.

    Raises:
        InvalidEnvironment: a name is not a variable name, or a value has a line break, a single
            quote, or a backslash at its end (which would escape the closing quote).
    """
    lines = []
    for name, value in sorted(environment.items()):
        if not ENV_NAME.fullmatch(name):
            shown = name.partition("=")[0]  # NAME=VALUE by mistake: the value stays untold
            raise InvalidEnvironment(f"{shown!r} is not the name of an environment variable")
        text = str(value)
        if any(character in text for character in "\n\r\0'") or text.endswith("\\"):
            raise InvalidEnvironment(
                f"the value of {name} has a line break, a single quote or a backslash at its end"
            )
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidEnvironment(f"the value of {name} is not valid Unicode text")
        lines.append(f"{name}='{text}'")
    return "\n".join(lines) + "\n"


class Releases:
    """The release folders of one application below ``home``."""

    def __init__(self, home: str) -> None:
        self.home = home
        self._releases = os.path.join(home, "releases")
        self._link = os.path.join(home, "current")

    def path(self, release: str) -> str:
        return os.path.join(self._releases, release)

    def current(self) -> str | None:
        """The release that serves, or served last."""
        try:
            return os.path.basename(os.readlink(self._link))
        except OSError:
            return None

    def read(self, release: str, name: str) -> str:
        """Text of a file of a release.

        Raises:
            OSError: there is no such file.
        """
        with open(os.path.join(self.path(release), name), encoding="utf-8") as stream:
            return stream.read()

    def kept(self) -> list[str]:
        """Every release that has a folder."""
        try:
            return sorted(os.listdir(self._releases))
        except OSError:
            return []

    def matches(self, release: str, files: dict[str, str]) -> bool:
        """Whether the release's folder holds exactly these files."""
        for name, text in files.items():
            try:
                if self.read(release, name) != text:
                    return False
            except OSError:
                return False
        return True

    def write(self, release: str, files: dict[str, str]) -> None:
        """Put the release's files in place; all but the authority's are their owner's alone."""
        os.makedirs(self._releases, mode=0o700, exist_ok=True)
        os.makedirs(self.path(release), mode=0o700, exist_ok=True)
        for name, text in files.items():
            handle, temporary = tempfile.mkstemp(dir=self.path(release))
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            if name == AUTHORITY:
                os.chmod(temporary, 0o644)
            os.replace(temporary, os.path.join(self.path(release), name))

    def switch(self, release: str) -> None:
        """Make ``release`` the current one, in one step."""
        temporary = f"{self._link}.new"
        if os.path.lexists(temporary):
            os.unlink(temporary)
        os.symlink(os.path.join("releases", release), temporary)
        os.replace(temporary, self._link)

    def prune(self) -> list[str]:
        """Remove all but the newest releases; the current one always stays."""
        current = self.current()
        others = [name for name in os.listdir(self._releases) if name != current]
        others.sort(key=lambda name: os.stat(self.path(name)).st_mtime, reverse=True)
        removed = others[KEPT_RELEASES - 1 :]
        for name in removed:
            shutil.rmtree(self.path(name))
        return removed
