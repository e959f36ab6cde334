# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an application comes from: a folder here, or a git repository that is cloned for a build.

``python -m clusterops.application.source LOCATION [--tree TAR] [--repositories JSON]`` prints one
JSON document: the application's name (null before the repository that holds its app.yml is cloned)
and what to clone.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clusterops.application._archives import UnsafeArchive, extract
from clusterops.application.manifest import load_manifest
from clusterops.errors import UsageError, print_document
from clusterops.state import project_root

CLONE = "source"
"""Folder of the build's context in which the repository of ``source.git`` is."""

_URL = re.compile(r"(https?|ssh|git|file)://\S+")
_SSH_SHORT = re.compile(r"[\w.-]+@[\w.-]+:(?!/?$)\S+")
_REF = re.compile(r"(?!-)[\w./@+-]+")


@dataclass(frozen=True)
class Repository:
    """A git repository and what to take of it: a branch, a tag or a commit; HEAD by default."""

    url: str
    ref: str = "HEAD"

    @property
    def cloned_on(self) -> str:
        """A repository in a folder is where the playbooks run; all others the node can reach."""
        return "localhost" if self.url.startswith("file://") else "control"

    @property
    def over_ssh(self) -> bool:
        """Whether keys and known hosts are needed."""
        return self.url.startswith("ssh://") or not _URL.match(self.url)

    @property
    def key(self) -> str:
        """A folder's name for it."""
        stem = re.sub(r"[^A-Za-z0-9]+", "-", self.url.rstrip("/").rpartition("/")[2])[:40]
        return f"{stem}-{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"


def is_repository(location: str) -> bool:
    """Whether a location is a git URL and not a folder."""
    return bool(_URL.match(location) or _SSH_SHORT.match(location))


def parse_repository(location: str) -> Repository:
    """``URL[#REF]`` as a repository.

    Raises:
        UsageError: the URL has a password in it, or the reference is none.
    """
    url, _, ref = location.partition("#")
    if not (_URL.fullmatch(url) or _SSH_SHORT.fullmatch(url)):
        raise UsageError(
            f"'{url}' is not the URL of a git repository",
            remedy="https://, ssh://, git://, file:// and user@host:path are",
        )
    if _URL.match(url) and urlsplit(url).password is not None:
        host = urlsplit(url).hostname
        raise UsageError(
            f"the URL of the repository at {host} has a password in it, which would be logged",
            remedy="use an ssh URL and a deploy key (application_git_key_file in cluster.yml)",
        )
    if ref and (not _REF.fullmatch(ref) or ".." in ref):
        raise UsageError(
            f"'{ref}' is not a git reference", remedy="a branch, a tag or a commit follows the '#'"
        )
    return Repository(url, ref or "HEAD")


def repository_of(location: str, instead: Mapping[str, str]) -> Repository | None:
    """What has to be cloned to build the application at ``location``.

    Args:
        instead: application_repositories of cluster.yml, ``URL[#REF]`` by application.

    Raises:
        UsageError: see :func:`parse_repository` and :func:`load_manifest`.
    """
    if is_repository(location):
        return parse_repository(location)
    manifest = load_manifest(project_root() / location)
    source = manifest.source
    if not source.git:
        return None
    return parse_repository(instead.get(manifest.name, f"{source.git}#{source.ref}"))


@contextlib.contextmanager
def application_folder(location: str, tree: Path | None) -> Iterator[Path]:
    """The application's folder, with what was cloned in its place.

    Args:
        tree: archive of the repository's files, where there is one.

    Raises:
        UsageError: the archive cannot be unpacked.
    """
    if tree is None:
        yield project_root() / location
        return
    with tempfile.TemporaryDirectory(prefix="application-") as temporary:
        if is_repository(location):
            folder = Path(temporary) / parse_repository(location).key
            _unpack(tree, folder)
        else:
            local = project_root() / location
            folder = Path(temporary) / local.resolve().name
            shutil.copytree(local, folder, symlinks=True)
            shutil.rmtree(folder / CLONE, ignore_errors=True)
            _unpack(tree, folder / CLONE)
        try:
            yield folder
        except UsageError as error:  # the user knows the repository, not where it was unpacked
            message = error.message.replace(str(folder), location)
            raise UsageError(message, remedy=error.remedy) from error


def _unpack(tree: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    try:
        extract(str(tree), str(folder))
    except (UnsafeArchive, OSError, tarfile.TarError) as error:
        raise UsageError(f"{tree}: cannot be unpacked: {error}") from error


def describe(location: str, tree: Path | None, instead: Mapping[str, str]) -> dict[str, Any]:
    """The name of the application and what has to be cloned for it."""
    repository = repository_of(location, instead)
    name = None
    if tree is not None or not is_repository(location):
        with application_folder(location, tree) as folder:
            manifest = load_manifest(folder)
        if is_repository(location) and manifest.source.git:
            raise UsageError(
                f"{location}: app.yml: source.git: this is a repository already",
                remedy="leave source out, or keep app.yml in a folder of its own",
            )
        name = manifest.name
    clone = repository and {
        **asdict(repository),
        "cloned_on": repository.cloned_on,
        "over_ssh": repository.over_ssh,
        "key": repository.key,
    }
    return {"name": name, "repository": clone}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="clusterops.application.source")
    parser.add_argument("location", help="folder from the project's root, or URL[#REF]")
    parser.add_argument("--tree", type=Path, help="archive of the repository's files")
    parser.add_argument(
        "--repositories", type=json.loads, default={}, help="to clone instead, by application"
    )
    options = parser.parse_args(arguments)
    return print_document(lambda: describe(options.location, options.tree, options.repositories))


if __name__ == "__main__":
    sys.exit(main())
