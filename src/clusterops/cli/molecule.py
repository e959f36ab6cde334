# SPDX-License-Identifier: GPL-3.0-or-later
"""`test molecule`: every role on machines of its own, several scenarios at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from clusterops.cli import side_by_side
from clusterops.errors import UsageError

TAIL_LINES = 60
"""Of a scenario that failed, so many lines of its log are shown."""
CLEANING_UP = "An error occurred during the test sequence"
FIRST = ("upgrade", "monitoring", "application", "scaler", "registry", "firewall")
"""Those that take longest: begun last, one of them would run alone at the end."""
NOT_ON = {"load_balancer": ("ubuntu-22.04",), "upgrade": ("ubuntu-22.04",)}
"""Systems that a role refuses (see its README), and with it what applies the role."""


@dataclass(frozen=True)
class Job:
    """One scenario on one system."""

    scenario: str
    system: str
    folder: Path
    """Its log and what Molecule keeps while it runs."""

    @property
    def log(self) -> Path:
        return self.folder / f"{self.scenario}-{self.system}.log"

    def environment(self) -> dict[str, str]:
        """What the scenario's files read."""
        return {
            "NODE_SYSTEM": self.system,
            "MOLECULE_EPHEMERAL_DIRECTORY": str(self.folder / f"{self.scenario}-{self.system}"),
            "NO_COLOR": "1",
        }


@dataclass(frozen=True)
class Result:
    """How a job ended."""

    job: Job
    code: int
    seconds: float

    def line(self, number: int, of: int) -> str:
        """The line for whoever waits."""
        verdict = "passed" if self.code == 0 else "FAILED"
        counted = f"[{number}/{of}]"
        return (
            f"{counted:8} {verdict}  {self.job.scenario:17} {self.job.system:13} "
            f"{self.seconds:5.0f} s"
        )


def scenarios(root: Path) -> list[str]:
    """All scenarios of the project, those that take longest first."""
    names = sorted(path.parent.name for path in root.glob("molecule/*/molecule.yml"))
    return sorted(names, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def split(arguments: Sequence[str], known: Sequence[str]) -> tuple[list[str], list[str]]:
    """The scenarios that the arguments name (all, if none), and what is left for Molecule.

    Raises:
        UsageError: there is no such scenario.
    """
    names: list[str] = []
    others: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in ("-s", "--scenario-name"):
            names.append(next(words, ""))
        elif word.startswith("-"):
            others.append(word)
        else:
            names.append(word)
    for name in names:
        if name not in known:
            raise UsageError(f"found scenario '{name}'; allowed: {', '.join(sorted(known))}")
    return [name for name in known if name in names] or list(known), others


def jobs_of(names: Sequence[str], systems: Sequence[str], folder: Path) -> list[Job]:
    """Every scenario on every system on which there is the role."""
    return [
        Job(name, system, folder)
        for name in names
        for system in systems
        if system not in NOT_ON.get(name, ())
    ]


def run_all(jobs: Sequence[Job], run: Callable[[Job], int], at_once: int = 2) -> Iterator[Result]:
    """Run the jobs, so many at a time; each result as soon as it is there."""

    def timed(job: Job) -> Result:
        began = time.monotonic()
        code = run(job)
        return Result(job, code, time.monotonic() - began)

    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(timed, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The end of a log; what Molecule says while it cleans up after a failure is left out."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.partition(CLEANING_UP)[0].splitlines()[-lines:])


def report(
    jobs: Sequence[Job],
    run: Callable[[Job], int],
    say: Callable[[str], None],
    at_once: int,
) -> int:
    """Run the jobs with a line for each result and the end of the log of what failed."""
    failed = 0
    for number, result in enumerate(run_all(jobs, run, at_once), start=1):
        say(result.line(number, len(jobs)))
        if result.code:
            failed += 1
            say(f"--- the end of {result.job.log}\n{tail(result.job.log)}\n---")
    return int(failed > 0)


class Processes:
    """Runs Molecule, one process for each job; all of them end with this one."""

    def __init__(
        self, root: Path, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._root = root
        self._arguments = arguments
        self._environment = environment
        self._running: set[subprocess.Popen[bytes]] = set()

    def __call__(self, job: Job) -> int:
        """Run a job to its end."""
        job.folder.mkdir(parents=True, exist_ok=True)
        with job.log.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - a tool of the project's environment
                ["molecule", "test", "-s", job.scenario, *self._arguments],  # noqa: S607
                cwd=self._root,
                env={**os.environ, **self._environment, **job.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process)
            code = process.wait()
        self._running.discard(process)
        return code

    def stop(self) -> None:
        """End what runs; the next run of a scenario removes what is left of its nodes."""
        for process in list(self._running):
            os.killpg(process.pid, signal.SIGTERM)


def test_roles(
    arguments: Sequence[str], distribution: str, environment: Mapping[str, str], root: Path
) -> int:
    """Run the scenarios that ``arguments`` name on the systems that ``distribution`` names.

    Raises:
        UsageError: a scenario or a system is unknown.
        ClusterOpsError: there is no engine, or a system's image cannot be made.
    """
    from clusterops.engine import connect, ensure_engine
    from clusterops.images.scenario import IMAGE_TIMEOUT_S, chosen_systems, ensure_node

    systems = chosen_systems(distribution)
    names, others = split(arguments, scenarios(root))
    ensure_engine(_say)
    client = connect(IMAGE_TIMEOUT_S)
    for system in systems:
        ensure_node(client, system, _say)
    jobs = jobs_of(names, systems, root / ".cache" / "molecule")
    processes = Processes(root, others, environment)
    try:
        at_once = side_by_side.scenarios(side_by_side.processors())
        return report(jobs, processes, _say, at_once)
    except KeyboardInterrupt:
        processes.stop()
        raise


def _say(line: str) -> None:
    print(line, flush=True)
