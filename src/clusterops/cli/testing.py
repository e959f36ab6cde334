# SPDX-License-Identifier: GPL-3.0-or-later
"""`test`: the playground's own tests, with everything that they need on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from clusterops.cli import gates, sanity, side_by_side
from clusterops.cli.molecule import test_roles
from clusterops.errors import ClusterOpsError, ExitCode, UsageError
from clusterops.state import project_root

QUICK = ("lint", "unit")
TOGETHER = ("e2e", "integration")
"""As one run, where all are asked for: what is longest begins first."""
SUITES = (*QUICK, "integration", "e2e")
SLOW_SUITES = ("molecule", "sanity", "mutation", "faults", "audit")
"""Only when asked for: `all` does not run these."""
LINTERS_AT_ONCE = 2
LOCKS = ("requirements/node.txt", "requirements/host.txt", "apps/fibonacci/requirements.txt")
TWO_PROCESSES = ("-n", "2")
GROUPED = ("--dist", "loadscope", "--no-loadscope-reorder")
"""tests/conftest.py says which of those with real programs stay together."""
SLOWEST = "--durations=20"
"""Where the time went is said at the end of the suites that take long."""
INTEGRATION_PACKAGES = {
    "chromium": "chromium",
    "redis-server": "redis-server",
    "postgresql": "pg_ctlcluster",
    "vagrant": "vagrant",
}
"""Debian package -> a program that it brings."""


def test(
    suite: Annotated[
        str,
        typer.Argument(
            help=f"One of {', '.join(SUITES)}; all of these; or {', '.join(SLOW_SUITES)}.",
            show_default=True,
        ),
    ] = "all",
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="More arguments for pytest, or scenarios of molecule, after --."),
    ] = None,
    distribution: Annotated[
        str,
        typer.Option(
            help="Systems on which molecule runs the roles: debian-12, debian-13, ubuntu-22.04, "
            "ubuntu-24.04, several with commas in between, or all."
        ),
    ] = "debian-13",
) -> int:
    """Run the tests: lint, unit (seconds), integration (real programs), e2e (a whole cluster).

    The suite molecule applies roles one by one to nodes of their own, sanity has ansible-test
    judge the collection as it is built, mutation changes the scaler's policies and a parser to see
    whether a test fails, faults breaks parts of a cluster under traffic, and audit asks for known
    vulnerabilities of what is installed, which takes an internet service; all runs none of them,
    but for molecule on a machine with 8 processors or more.
    """
    if suite not in (*SUITES, *SLOW_SUITES, "all"):
        allowed = ", ".join(("all", *SUITES, *SLOW_SUITES))
        raise UsageError(f"found suite '{suite}'; allowed: {allowed}")
    chosen = [(suite,)] if suite != "all" else everything(side_by_side.processors())
    results: list[tuple[str, int, float]] = []
    for suites in chosen:
        name = " + ".join(suites)
        began = time.monotonic()
        print(f"\n=== {name} ===", flush=True)
        code = _suite(suites, arguments or [], distribution)
        results.append((name, code, time.monotonic() - began))
        if code != 0 and name in QUICK:
            break  # nothing slower can be right when these are not
    print()
    for name, code, seconds in results:
        print(f"{'passed' if code == 0 else 'FAILED'}  {name:17} {seconds:6.0f} s")
    return int(ExitCode.FAILED if any(code for _, code, _ in results) else ExitCode.DONE)


def everything(processors: int) -> list[tuple[str, ...]]:
    """What `all` runs, one after the other, on a machine with so many processors."""
    roles = [("molecule",)] if processors >= side_by_side.ROLES_WITH_ALL else []
    return [*((quick,) for quick in QUICK), TOGETHER, *roles]


def _suite(suites: tuple[str, ...], arguments: list[str], distribution: str) -> int:
    if suites == ("molecule",):
        environment = _environment(_ansible_environment())
        return test_roles(arguments, distribution, environment, project_root())
    special = {
        "lint": _lint,
        "sanity": lambda: sanity.check(project_root(), _environment(), arguments),
        "mutation": lambda: gates.mutants(_run, arguments),
        "audit": _audit,
    }
    if suites[0] in special:
        return special[suites[0]]()
    if suites == ("unit",) and not arguments:
        # Only all of them can take all branches.
        return _pytest(suites, [*TWO_PROCESSES, *gates.MEASURED]) or gates.coverage()
    return _pytest(suites, arguments)


def _pytest(suites: tuple[str, ...], arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", *(f"tests/{suite}" for suite in suites)]
    if "unit" not in suites:
        _provide_programs()
        command += [SLOWEST]
    if set(suites) <= set(TOGETHER):
        command += ["-n", str(side_by_side.tests(side_by_side.processors())), *GROUPED]
    return _run([*command, *arguments])


def _lint() -> int:
    """Every checker, all of them even when one complains."""
    python = [sys.executable, "-m"]
    scripts = ["playground", ".ci/run"]
    commands = {
        # The slowest first.
        "ansible-lint": [
            *("ansible-lint", "--offline"),
            *("--config-file", ".config/ansible-lint.yml"),
        ],
        "ruff check": [*python, "ruff", "check", "."],
        "ruff format": [*python, "ruff", "format", "--check", "."],
        "mypy": [*python, "mypy"],
        "shellcheck": ["shellcheck", *scripts],
        "yamllint": ["yamllint", "--strict", "."],
        "changelog": ["antsibull-changelog", "lint"],
        # A link that leads nowhere, or a page that nothing leads to, is an error.
        "mkdocs": ["mkdocs", "build", "--strict", "--quiet"],
    }
    environment = _environment(_ansible_environment())

    def check(name: str) -> int:
        done = subprocess.run(  # noqa: S603 - this project's own tools
            commands[name],
            cwd=project_root(),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        verdict = "FAILED" if done.returncode else "ok"
        print(f"{done.stdout}{verdict:7} {name}", flush=True)
        return done.returncode

    with ThreadPoolExecutor(LINTERS_AT_ONCE) as pool:
        return int(any([*pool.map(check, commands)]))


def _audit() -> int:
    """Fails for a known vulnerability, and where nothing could be found out."""
    from clusterops.audit import describe, read_report

    passed = True
    for lock in LOCKS:
        done = subprocess.run(  # noqa: S603 - a tool of the project's environment
            [
                *(sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"),
                *("--progress-spinner=off", "--format=json", "--requirement", lock),
            ],
            cwd=project_root(),
            capture_output=True,
            text=True,
        )
        try:
            report = read_report(done.stdout)
        except ClusterOpsError:
            print(f"NOT CHECKED  {lock}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
            passed = False
            continue
        print("\n".join(describe(lock, report)), flush=True)
        passed &= report.passed
    return int(not passed)


def _ansible_environment() -> dict[str, str]:
    """Ansible takes everything from the checkout and its virtual environment."""
    root = project_root()
    return {
        "ANSIBLE_COLLECTIONS_PATH": str(root / "collections"),
        "ANSIBLE_HOME": str(root / ".cache" / "ansible"),
        # Checkers must not ask for a cluster that does not run.
        "ANSIBLE_INVENTORY": str(root / "inventory" / "host.yml"),
        # MkDocs' theme would advertise its successor in every run.
        "NO_MKDOCS_2_WARNING": "1",
    }


def _say(line: str) -> None:
    print(line, flush=True)


def _provide_programs() -> None:
    """Databases that integration tests run privately, Vagrant, and a container engine."""
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
    ensure_engine(_say)


def _run(
    command: list[str], more: Mapping[str, str] | None = None, folder: Path | None = None
) -> int:
    return subprocess.run(  # noqa: S603 - this project's own tools
        command, cwd=folder or project_root(), env=_environment(more)
    ).returncode


def _environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {
        **os.environ,
        **(more or {}),
        # The programs of this project's environment come first.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
