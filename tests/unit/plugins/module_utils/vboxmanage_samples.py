# SPDX-License-Identifier: GPL-3.0-or-later
"""Verbatim outputs of VirtualBox 7.2.22: the command, stdout, [stderr], the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "vboxmanage"


@dataclass(frozen=True)
class Sample:
    """One recorded call."""

    name: str
    code: int
    stdout: str
    stderr: str


def read(path: Path) -> Sample:
    _command, _, rest = path.read_text(encoding="utf-8").partition("\n")
    output, _, code = rest.rpartition("exit: ")
    if output.startswith("[stderr]\n"):
        stdout, stderr = "", output.removeprefix("[stderr]\n")
    else:
        stdout, _, stderr = output.partition("\n[stderr]\n")
        stdout = stdout if not stderr else f"{stdout}\n"
    return Sample(path.name.removesuffix(".txt"), int(code), stdout, stderr)


ALL = {int(path.name.partition("-")[0]): read(path) for path in sorted(FOLDER.glob("[0-9]*-*.txt"))}
