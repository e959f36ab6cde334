# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs an application's folder for the control node, byte for byte the same for the same files.

``python -m clusterops.application.package LOCATION --output DIR`` reads
``{"values": {…}, "datastore": {…}, "authority": PEM}`` on standard input (secrets stay off the
command line) and prints one JSON document: the release, its archive, compose files and environment.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml

from clusterops.application.indexes import npmrc, pip_conf
from clusterops.application.manifest import Manifest, load_manifest, resolve_environment
from clusterops.application.source import application_folder
from clusterops.application.validation import check_application
from clusterops.application.values import given_values
from clusterops.errors import UsageError, print_document
from clusterops.ssh_identity import AUTHORITY
from clusterops.state import cluster_file

IGNORED = {".git", ".venv", "node_modules", "__pycache__", ".pytest_cache", ".mypy_cache", ".env"}
MAX_BYTES = 200 * 1024 * 1024
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")


def source_files(folder: Path) -> list[Path]:
    """The files of an application, sorted; without what a build never needs."""
    found: list[Path] = []
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - IGNORED)
        links = [name for name in folders if Path(directory, name).is_symlink()]
        found += [
            Path(directory, name)
            for name in files + links
            if name not in IGNORED and not name.endswith(".pyc")
        ]
    return sorted(found)


def pack(folder: Path, output: Path) -> tuple[str, Path]:
    """Write a reproducible tar.gz of ``folder``; returns its content hash and its path.

    Raises:
        UsageError: the folder is larger than 200 MiB.
    """
    stream = io.BytesIO()
    digest = hashlib.sha256()
    total = 0
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path in source_files(folder):
            info = archive.gettarinfo(str(path), str(path.relative_to(folder)))
            if info is None:  # a socket
                continue
            if info.islnk():  # a second name of a file: which one is first is no content
                info.type, info.linkname = tarfile.REGTYPE, ""
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            info.mtime = 0
            info.mode = 0o755 if info.mode & 0o100 else 0o644
            content = path.read_bytes() if info.isreg() else b""
            info.size = len(content)
            total += info.size
            if total > MAX_BYTES:
                raise UsageError(f"{folder}: is larger than {MAX_BYTES >> 20} MiB")
            digest.update(repr((info.name, info.mode, info.type, info.linkname)).encode())
            digest.update(hashlib.sha256(content).digest())
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    content_hash = digest.hexdigest()
    path = output / f"{folder.resolve().name}-{content_hash[:12]}.tar.gz"
    output.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.write_bytes(stream.getvalue())
        partial.replace(path)
    return content_hash, path


def release_id(content_hash: str, environment: dict[str, str], authority: str = "") -> str:
    """A release is one source with one environment; both are in its name.

    Args:
        authority: whom its processes trust; with another one it is another release.
    """
    settings = hashlib.sha256(json.dumps(environment, sort_keys=True).encode())
    settings.update(authority.encode())
    return f"{content_hash[:12]}-{settings.hexdigest()[:6]}"


def compose_overlay(compose: str) -> str:
    """A second Compose file: every service finds the cluster's authority at its usual place.

    The file itself lies beside it, in the folder of the release.
    """
    document = yaml.safe_load(compose)
    mount = f"./{Path(AUTHORITY).name}:{AUTHORITY}:ro"
    overlay = {"services": {str(name): {"volumes": [mount]} for name in document["services"]}}
    if "version" in document:  # Compose 1 merges only files of the same version
        overlay["version"] = document["version"]
    return json.dumps(overlay, indent=2, sort_keys=True) + "\n"


def describe(
    folder: Path,
    output: Path,
    values: dict[str, str],
    datastore: dict[str, str],
    commit: str | None = None,
    authority: str = "",
) -> dict[str, Any]:
    """Everything the playbooks need to build and release the application in ``folder``.

    Args:
        commit: of the repository that the folder, or its ``source``, was cloned from.
        authority: certificate of the cluster's authority; empty for an application that gets none.
    """
    manifest = load_manifest(folder)
    environment = resolve_environment(manifest, values, datastore)
    check_application(folder, values)
    source = folder / manifest.source.path
    content_hash, archive = pack(source, output)
    compose = (source / manifest.compose_file).read_text(encoding="utf-8")
    return {
        "application": _application(manifest),
        "build": manifest.build.model_dump(),
        "tag": f"{commit[:10]}-{content_hash[:12]}" if commit else content_hash[:12],
        "commit": commit,
        "release": release_id(content_hash, environment, authority),
        "archive": str(archive),
        "compose": compose,
        "overlay": compose_overlay(compose) if authority else "",
        "authority": authority,
        "env": environment,
        "indexes": {"pip_conf": pip_conf(), "npmrc": npmrc()},
        "proxies": {
            name: os.environ[variant]
            for name in PROXY_VARIABLES
            for variant in (name.upper(), name)
            if os.environ.get(variant)
        },
    }


def _application(manifest: Manifest) -> dict[str, Any]:
    return {
        key: getattr(manifest, key)
        for key in (
            "name",
            "port",
            "health_path",
            "ready_path",
            "metrics_path",
            "migration_service",
        )
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="clusterops.application.package")
    parser.add_argument("location", help="folder from the project's root, or URL[#REF]")
    parser.add_argument("--tree", type=Path, help="archive of the repository's files")
    parser.add_argument("--env-file", default="", help="more values, from cluster.yml's folder")
    parser.add_argument("--commit", help="commit of the repository")
    parser.add_argument("--output", type=Path, required=True, help="folder for the archive")
    options = parser.parse_args(arguments)
    given = json.load(sys.stdin)

    def document() -> dict[str, Any]:
        values = given_values(given["values"], options.env_file, cluster_file().parent)
        with application_folder(options.location, options.tree) as folder:
            return describe(
                folder,
                options.output,
                values,
                given["datastore"],
                options.commit,
                given.get("authority", ""),
            )

    return print_document(document)


if __name__ == "__main__":
    sys.exit(main())
