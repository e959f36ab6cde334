# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of sources: what they hold never gets outside of the folder they are unpacked to."""

from __future__ import annotations

import tarfile


class UnsafeArchive(Exception):
    """A member would be, or lead, outside of the folder; the message names it."""


def extract(archive: str, folder: str) -> None:
    """Unpack a tar archive into ``folder``.

    Raises:
        UnsafeArchive: nothing, or not everything, was unpacked.
        OSError: the archive cannot be read, or the folder not be written.
        tarfile.TarError: it is no archive.
    """
    with tarfile.open(archive) as source:
        if hasattr(tarfile, "data_filter"):
            try:
                source.extractall(folder, filter="data")
            except tarfile.FilterError as error:
                raise UnsafeArchive(f"the archive {archive}: {error}") from error
            return
        # Python before 3.11.4 has no filters: take only what cannot lead anywhere else.
        for member in source:
            link = member.issym() or member.islnk()
            paths = [member.name, *([member.linkname] if link else [])]
            outside = any(path.startswith("/") or ".." in path.split("/") for path in paths)
            if outside or not (member.isreg() or member.isdir() or link):
                raise UnsafeArchive(f"the archive {archive} holds {member.name!r}")
        source.extractall(folder)  # noqa: S202 - every member has been looked at
