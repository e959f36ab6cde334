# SPDX-License-Identifier: GPL-3.0-or-later
"""`test`: the playground's own tests, with everything that they need on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from clusterops.errors import ExitCode, UsageError
from clusterops.state import project_root

SUITES = ("lint", "unit", "integration", "e2e")
PYTEST_NOTHING_COLLECTED = 5
INTEGRATION_PACKAGES = {"redis-server": "redis-server", "postgresql": "pg_ctlcluster"}
"""Debian package -> a program that it brings."""


def test(
    suite: Annotated[
        str, typer.Argument(help=f"One of {', '.join(SUITES)}, or all.", show_default=True)
    ] = "all",
    arguments: Annotated[
        list[str] | None, typer.Argument(help="More arguments for pytest, after --.")
    ] = None,
) -> int:
    """Run the tests: lint, unit (seconds), integration (real programs), e2e (a whole cluster)."""
    if suite not in (*SUITES, "all"):
        raise UsageError(f"found suite '{suite}'; allowed: all, {', '.join(SUITES)}")
    chosen = SUITES if suite == "all" else (suite,)
    results: list[tuple[str, int, float]] = []
    for name in chosen:
        began = time.monotonic()
        print(f"\n=== {name} ===", flush=True)
        code = _lint() if name == "lint" else _pytest(name, arguments or [])
        results.append((name, code, time.monotonic() - began))
        if code != 0 and suite == "all" and name in ("lint", "unit"):
            break  # nothing slower can be right when these are not
    print()
    for name, code, seconds in results:
        print(f"{'passed' if code == 0 else 'FAILED'}  {name:12} {seconds:6.0f} s")
    return int(ExitCode.FAILED if any(code for _, code, _ in results) else ExitCode.DONE)


def _pytest(suite: str, arguments: list[str]) -> int:
    if suite != "unit":
        _provide_programs()
    command = [sys.executable, "-m", "pytest", f"tests/{suite}", *arguments]
    return _run(command)


def _lint() -> int:
    """Every checker, all of them even when one complains."""
    root = project_root()
    python = [sys.executable, "-m"]
    scripts = ["playground", ".ci/run"]
    commands = [
        [*python, "ruff", "check", "."],
        [*python, "ruff", "format", "--check", "."],
        [*python, "mypy"],
        ["shellcheck", *scripts],
        ["yamllint", "--strict", "."],
        ["ansible-lint", "--offline", "--config-file", ".config/ansible-lint.yml"],
    ]
    codes = []
    for command in commands:
        name = next(word for word in command if word not in (sys.executable, "-m"))
        code = _run(command)
        print(f"{'ok' if code == 0 else 'FAILED':7} {name}", flush=True)
        codes.append(code)
    return 1 if any(codes) or not root.is_dir() else 0


def _provide_programs() -> None:
    """The databases that integration tests run privately, and a container engine."""
    from clusterops.engine import ensure_engine
    from clusterops.processes import install_packages

    missing = [
        package
        for package, program in INTEGRATION_PACKAGES.items()
        if not shutil.which(program) and not Path("/usr/bin", program).exists()
    ]
    if missing:
        print(f"Installing {', '.join(missing)}", flush=True)
        install_packages(*missing)
    ensure_engine(lambda line: print(line, flush=True))


def _run(command: list[str]) -> int:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(  # noqa: S603 - this project's own tools
        command, cwd=project_root(), env=environment
    ).returncode
