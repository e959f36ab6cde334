# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground replay``: what another policy would have done on recorded inputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from clusterops.cli import output
from clusterops.errors import UsageError
from clusterops.scaler.policy_file import load_trial
from clusterops.scaler.replay import Replayed
from clusterops.scaler.replay import replay as replayed


def replay(
    record: Annotated[Path, typer.Argument(help="What ./playground record wrote.")],
    policy: Annotated[
        Path, typer.Option(help="YAML with scaling keys of cluster.yml.", show_default=False)
    ],
    every: Annotated[
        bool, typer.Option("--all", help="Every tick, not only where they differ.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Decide every recorded tick anew, with another policy, on the same inputs.

    Each tick starts from the number of agents that was really wanted then.
    """
    trial = load_trial(policy)
    total = differing = 0
    for one in replayed(_lines(record), trial.policy, trial.limits):
        total += 1
        differing += one.differs
        if every or one.differs:
            _show(one, as_json)
    if not as_json:
        print(f"{trial.name} decides {differing} of {total} ticks differently.")


def _show(one: Replayed, as_json: bool) -> None:
    if as_json:
        output.print_json(
            {
                "at": one.at,
                "before": one.before,
                "recorded": one.recorded,
                "replayed": one.decision.desired,
                "reason": one.decision.reason,
                "blocked_by": one.decision.blocked_by,
            },
            one_line=True,
        )
        return
    print(f"{one.at}  {one.before} wanted")
    print(f"  recorded  {one.recorded}: {one.recorded_reason}")
    print(f"  replayed  {one.decision.desired}: {one.decision.reason}")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    tick = json.loads(line)
                except ValueError as error:
                    raise UsageError(f"{path}: line {number} is no JSON: {error}") from error
                if not isinstance(tick, dict):
                    raise UsageError(f"{path}: line {number} is no recorded tick")
                yield tick
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"{path}: cannot be read: {why}") from error
