# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepare on this machine the Python wheels that nodes install; nodes reach no package registry.

`python -m clusterops.wheelhouse --dest DIR` makes a folder of plain files:

- `clusterops-VERSION-py3-none-any.whl`, built from the checkout;
- `dependencies/`: the wheels of `requirements/node.txt`, each checked against its hash there;
- `dependencies.tar`: the same wheels in one file, because copying one file to a node is fast;
- `wheelhouse.json`: what the folder holds, written last. A folder without it is not finished.

Everything depends on content only: the same checkout gives the same bytes, and a second run
changes nothing and uses no network.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clusterops.errors import ClusterOpsError, CommandError, UsageError
from clusterops.locks import exclusively

MANIFEST = "wheelhouse.json"
LOCK_FILE = Path("requirements/node.txt")
log = logging.getLogger(__name__)

ARCHITECTURES = ("x86_64", "aarch64")
_FORMAT = 1
# Nodes run Debian 13, whose glibc is 2.41; a wheel made for an older one runs there too.
_NEWEST_GLIBC = 41
_OLDEST_GLIBC = 5

Run = Callable[[Sequence[str], Path], None]


@dataclass(frozen=True)
class Result:
    """What `prepare` found or made; `wheels` counts the one of clusterops too."""

    changed: bool
    wheel: str
    wheel_sha256: str
    wheels: int


def prepare(
    project: Path,
    dest: Path,
    *,
    python: str = "3.13",
    arch: str | None = None,
    run: Run | None = None,
) -> Result:
    """Make `dest` hold the wheels for nodes with Python `python` on `arch`.

    Args:
        project: the checkout: pyproject.toml, src/ and requirements/node.txt.
        dest: folder to fill; made if missing.
        python: version of the nodes' Python, for example 3.13.
        arch: the nodes' machine, one of ARCHITECTURES; this machine's own where not given.
        run: runs a command in a folder; raises CommandError if it fails.

    Raises:
        ClusterOpsError: a file is missing, or a build or download failed.
    """
    if not re.fullmatch(r"3\.\d{1,2}", python):
        raise UsageError(f"'{python}' is not a Python version: use for example 3.13")
    arch = arch or {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    if arch not in ARCHITECTURES:
        raise UsageError(f"unknown architecture '{arch}': use {' or '.join(ARCHITECTURES)}")
    lock = project / LOCK_FILE
    for needed in (project / "pyproject.toml", lock):
        if not needed.is_file():
            raise ClusterOpsError(
                f"{needed} is missing", remedy="--project takes the folder of the checkout"
            )
    run = run or _run
    try:
        dest.mkdir(parents=True, exist_ok=True)
        with _only_one(dest):
            return _prepare(project, dest, lock, python, arch, run)
    except OSError as error:
        raise ClusterOpsError(
            f"cannot prepare wheels in {dest}: {error.strerror or error}",
            remedy="the folder must be writable and its disk must have 100 MB free",
        ) from None


def _prepare(project: Path, dest: Path, lock: Path, python: str, arch: str, run: Run) -> Result:
    sources = _hash_sources(project)
    target = f"{python} {arch} {_sha256(lock)}"
    old = _read_manifest(dest)
    changed = False

    wheel, wheel_sha256 = old.get("wheel", ""), old.get("wheel_sha256", "")
    if old.get("sources") != sources or not _intact(dest, {wheel: wheel_sha256}):
        wheel, wheel_sha256 = _build(project, dest, run)
        changed = True

    dependencies: dict[str, str] = old.get("dependencies", {})
    tar_sha256 = old.get("dependencies_sha256", "")
    if old.get("target") != target or not (
        _intact(dest / "dependencies", dependencies)
        and _intact(dest, {"dependencies.tar": tar_sha256})
    ):
        dependencies = _download(dest, lock, python, arch, run)
        tar_sha256 = _pack(dest)
        changed = True

    if changed:
        _write_manifest(
            dest,
            {
                "format": _FORMAT,
                "sources": sources,
                "target": target,
                "wheel": wheel,
                "wheel_sha256": wheel_sha256,
                "dependencies_sha256": tar_sha256,
                "dependencies": dependencies,
            },
        )
    for stale in dest.glob("clusterops-*.whl"):
        if stale.name != wheel:
            stale.unlink()
    return Result(changed, wheel, wheel_sha256, len(dependencies) + 1)


def _build(project: Path, dest: Path, run: Run) -> tuple[str, str]:
    """Build the wheel of clusterops into `dest`; return its name and hash."""
    log.info("building the wheel of clusterops")
    with tempfile.TemporaryDirectory(dir=dest, prefix=".build-") as folder:
        try:
            run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], project)
        except CommandError as error:
            raise ClusterOpsError(
                f"the wheel of clusterops could not be built: {_reason(error.stderr)}",
                remedy="hatchling must be installed beside clusterops; "
                "see [build-system] in pyproject.toml",
            ) from None
        built = list(Path(folder).glob("clusterops-*.whl"))
        if len(built) != 1:
            raise ClusterOpsError(f"hatchling made {len(built)} wheels of clusterops, not one")
        wheel = built[0].replace(dest / built[0].name)
    return wheel.name, _sha256(wheel)


def _download(dest: Path, lock: Path, python: str, arch: str, run: Run) -> dict[str, str]:
    """Fill `dest`/dependencies with the wheels of `lock`; return their names and hashes."""
    log.info("downloading wheels for Python %s on %s", python, arch)
    final = dest / "dependencies"
    with tempfile.TemporaryDirectory(dir=dest, prefix=".download-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--require-hashes", "--no-deps"]
        command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
        command += [f"--platform={tag}" for tag in platforms(arch)]
        if final.is_dir():
            command += [f"--find-links={final}"]  # what is here already is not fetched again
        try:
            run([*command, f"--dest={folder}", f"--requirement={lock}"], dest)
        except CommandError as error:
            raise ClusterOpsError(
                f"the wheels of {LOCK_FILE} could not be downloaded: {_reason(error.stderr)}",
                remedy="check that `pip download` reaches a package index from this machine, "
                "then run this again",
            ) from None
        new = Path(folder) / "wheels"
        new.mkdir()
        for file in sorted(Path(folder).glob("*.whl")):
            file.rename(new / file.name)
        if final.exists():
            shutil.rmtree(final)
        new.rename(final)
    return {file.name: _sha256(file) for file in sorted(final.glob("*.whl"))}


def _pack(dest: Path) -> str:
    """Pack `dest`/dependencies into one tar with nothing of this machine in it."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = 0
        member.mode = 0o644
        return member

    temporary = dest / ".dependencies.tar"
    # Wheels are compressed already.
    with tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
        for file in sorted((dest / "dependencies").glob("*.whl")):
            tar.add(file, arcname=file.name, recursive=False, filter=plain)
    return _sha256(temporary.replace(dest / "dependencies.tar"))


def platforms(arch: str) -> list[str]:
    """Platform tags of the wheels that run on a node, newest C library first."""
    tags = [f"manylinux_2_{n}_{arch}" for n in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)]
    return [*tags, f"manylinux2014_{arch}", f"linux_{arch}"]


def _hash_sources(project: Path) -> str:
    """Hash of everything that the wheel is made of, and of who makes it."""
    pyproject = project / "pyproject.toml"
    with pyproject.open("rb") as file:
        try:
            wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise ClusterOpsError(
                f"{pyproject} does not say what the wheel is made of: {error}"
            ) from None
    included = ["pyproject.toml", *wheel.get("packages", []), *wheel.get("force-include", {})]
    included += [path.name for name in ("README*", "LICENSE*") for path in project.glob(name)]
    digest = hashlib.sha256(f"{_FORMAT}\0".encode())
    for name in sorted(set(included)):
        for path in _files(project / name):
            digest.update(f"{path.relative_to(project)}\0{_sha256(path)}\0".encode())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """Files at or below `path`, through links, without what Python caches."""
    if path.is_file() and path.suffix != ".pyc":
        yield path
    elif path.is_dir() and path.name != "__pycache__":
        for entry in sorted(path.iterdir()):
            yield from _files(entry)


def _intact(folder: Path, files: dict[str, str]) -> bool:
    """Whether every file is there with its hash; no files at all is not intact."""
    return bool(files) and all(
        name and (folder / name).is_file() and _sha256(folder / name) == sha256
        for name, sha256 in files.items()
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(dest: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        manifest = json.loads((dest / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(manifest, dict) and manifest.get("format") == _FORMAT:
            return manifest
    return {}


def _write_manifest(dest: Path, manifest: dict[str, Any]) -> None:
    temporary = dest / f".{MANIFEST}"
    temporary.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(dest / MANIFEST)


@contextlib.contextmanager
def _only_one(dest: Path) -> Iterator[None]:
    """Let one process at a time work in `dest`; clear what a killed one left."""
    with exclusively(dest / ".lock"):
        for left in (*dest.glob(".build-*"), *dest.glob(".download-*")):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _run(command: Sequence[str], folder: Path) -> None:
    # The time of the build must not get into the wheel.
    environment = {"SOURCE_DATE_EPOCH": "1580601600", **os.environ}
    done = subprocess.run(  # noqa: S603 - a fixed command of ours, no shell
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        name = " ".join(Path(command[0]).name if not i else a for i, a in enumerate(command[:4]))
        raise CommandError(name, done.returncode, done.stderr or done.stdout)


def _reason(stderr: str) -> str:
    """The line that says why: pip puts warnings and repetitions around it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:] or ["no message"])[-1][:300]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; prints the result as one line of JSON and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m clusterops.wheelhouse",
        description="Prepare the Python wheels that the cluster's nodes install.",
    )
    parser.add_argument("--dest", type=Path, required=True, help="folder to fill")
    parser.add_argument("--python", default="3.13", help="the nodes' Python (default: %(default)s)")
    parser.add_argument(
        "--arch",
        help=f"the nodes' machine: {' or '.join(ARCHITECTURES)} (default: this machine's)",
    )
    parser.add_argument(
        "--project",
        type=Path,
        default=Path(__file__).resolve().parents[2],
        help="the checkout (default: where clusterops is installed from)",
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="wheelhouse: %(message)s")
    try:
        result = prepare(
            options.project.resolve(),
            options.dest.resolve(),
            python=options.python,
            arch=options.arch,
        )
    except ClusterOpsError as error:
        print(f"wheelhouse: {error}", file=sys.stderr)
        return int(error.exit_code)
    print(json.dumps(asdict(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
