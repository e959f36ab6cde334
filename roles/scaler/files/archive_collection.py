# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack the collection, and the wheel for agents, into a tar named by its content.

    archive_collection.py COLLECTION WHEELHOUSE FOLDER

Prints {"id", "path", "changed"}. The archive holds collections/ID/ with ansible_collections/,
wheels/ and, as the last member, the empty file .complete. Standard library only.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = "ansible_collections/clusterops/playground"
PARTS = ("galaxy.yml", "MANIFEST.json", "FILES.json", "meta", "plugins", "roles", "playbooks")
LEFT_OUT = {"__pycache__", ".git", ".cache", "tests", "molecule"}


def members(source: Path) -> list[tuple[str, Path]]:
    """Every file of the collection: its name in the archive, and where it is."""
    found: list[tuple[str, Path]] = []
    for part in PARTS:
        top = source / part
        if top.is_file():
            found.append((f"{ROOT}/{part}", top))
            continue
        for folder, folders, files in os.walk(top, followlinks=True):
            folders[:] = sorted(set(folders) - LEFT_OUT)
            for name in files:
                path = Path(folder, name)
                if path.is_file() and not name.endswith((".pyc", ".swp", "~")):
                    found.append((f"{ROOT}/{path.relative_to(source)}", path))
    return sorted(found)


def wheels(wheelhouse: Path) -> list[tuple[str, Path]]:
    """The program's own wheel and the manifest that names it."""
    manifest = wheelhouse / "wheelhouse.json"
    wheel = json.loads(manifest.read_text(encoding="utf-8"))["wheel"]
    return [(f"wheels/{wheel}", wheelhouse / wheel), ("wheels/wheelhouse.json", manifest)]


def pack(files: list[tuple[str, Path]]) -> tuple[str, bytes]:
    """The archive and its id: sorted, without owners, times and the umask of whoever packs it."""
    contents = [(name, path.read_bytes(), os.access(path, os.X_OK)) for name, path in files]
    digest = hashlib.sha256()
    for name, content, executable in contents:
        digest.update(f"{name}\0{executable}\0{len(content)}\0".encode() + content)
    name_of_it = digest.hexdigest()[:16]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, executable in [*contents, (".complete", b"", False)]:
            member = tarfile.TarInfo(f"collections/{name_of_it}/{name}")
            member.size = len(content)
            member.mode = 0o755 if executable else 0o644
            tar.addfile(member, io.BytesIO(content))
    return name_of_it, buffer.getvalue()


def main() -> int:
    """Write the archive, unless it is there, and remove older ones."""
    source, wheelhouse, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]), Path(sys.argv[3])
    if not (source / "roles").is_dir():
        print(f"{source}: is no collection (it has no roles/)", file=sys.stderr)
        return 1
    try:
        digest, data = pack(members(source) + wheels(wheelhouse))
    except (OSError, ValueError, KeyError) as error:
        print(f"{source}, {wheelhouse}: cannot be packed: {error}", file=sys.stderr)
        return 1
    path = folder / f"{digest}.tar"
    changed = not path.is_file() or path.stat().st_size != len(data)
    if changed:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as stream:
            stream.write(data)
        Path(stream.name).replace(path)
    for old in folder.glob("*.tar"):
        if old != path:
            old.unlink(missing_ok=True)
    print(json.dumps({"id": digest, "path": str(path.resolve()), "changed": changed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
