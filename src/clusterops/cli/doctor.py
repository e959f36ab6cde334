# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground doctor``, and the same checks for `up`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from clusterops import clients
from clusterops.cli import output
from clusterops.cli.checks import check_all, problems
from clusterops.cli.findings import Level, Problem, Result
from clusterops.cli.probes import gather
from clusterops.config import ClusterConfig
from clusterops.config_file import load_config
from clusterops.errors import ClusterOpsError, ExitCode, UsageError
from clusterops.state import State

__all__ = ["Problem", "doctor", "preflight", "refuse_problems"]

_MARKS = {Level.OK: ("✓", "32"), Level.WARNING: ("!", "33"), Level.FAILED: ("✗", "31")}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check whether this machine can run the cluster, and say what to do where it cannot."""
    state = clients.current_state()
    config, results = _configuration(state)
    results += check_all(config, gather(config, state))
    failed = bool(problems(results))
    if as_json:
        output.print_json(
            {
                "ok": not failed,
                "checks": [
                    {
                        "check": each.check,
                        "status": str(each.level),
                        "message": each.message,
                        "remedy": each.remedy,
                    }
                    for each in results
                ],
            }
        )
    else:
        colour = sys.stdout.isatty()
        for each in results:
            print(report_line(each, colour=colour))
    return int(ExitCode.FAILED if failed else ExitCode.DONE)


def preflight(config: ClusterConfig, state: State) -> list[Problem]:
    """What would make `up` fail, before it creates anything. Empty when nothing would.

    Ports that this cluster's own machines or Server Manager hold are not a problem.
    """
    return problems(check_all(config, gather(config, state)))


def refuse_problems(config: ClusterConfig, state: State) -> None:
    """Stop before anything is created when something would make `up` fail.

    Raises:
        ClusterOpsError: a line for each problem, with what to do about it.
    """
    found = preflight(config, state)
    if found:
        raise ClusterOpsError(
            "\n".join(
                f"{each.check}: {each.message}" + (f"; {each.remedy}" if each.remedy else "")
                for each in found
            ),
            remedy="./playground doctor checks again; nothing was created",
        )


def report_line(result: Result, *, colour: bool = False) -> str:
    """``✗ Ports: port 8080 … is in use by …`` and, below it, the remedy."""
    mark, code = _MARKS[result.level]
    if colour:
        mark = f"\033[{code}m{mark}\033[0m"
    line = f"{mark} {result.check}: {result.message}"
    if result.remedy and result.level is not Level.OK:
        line += f"\n    → {result.remedy}"
    return line


def _configuration(state: State) -> tuple[ClusterConfig | None, list[Result]]:
    try:
        config = load_config(state.cluster_file)
    except UsageError as error:
        return None, [
            Result("cluster.yml", Level.FAILED, line, "correct it in an editor")
            for line in error.message.splitlines()
        ]
    if provider := state.provider():
        config = config.model_copy(update={"cluster_provider": provider})
    return config, [Result("cluster.yml", Level.OK, f"valid, cluster '{config.cluster_name}'")]
