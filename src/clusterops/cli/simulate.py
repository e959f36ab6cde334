# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground simulate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from clusterops.cli import output
from clusterops.errors import ClusterOpsError, UsageError
from clusterops.scaler.policies import policy_from
from clusterops.scaler.policy_file import Trial, load_trial
from clusterops.scaler.simulation import report
from clusterops.scaler.simulation.model import AgentModel
from clusterops.scaler.simulation.plot import page
from clusterops.scaler.simulation.run import Result
from clusterops.scaler.simulation.run import simulate as simulated
from clusterops.scaler.simulation.traces import HOURS_MAX, TRACES, Trace, named_trace, read_trace
from clusterops.state import cluster_file

AGENTS_MAX = 10_000
RPS_MAX = 1e9
FAILURES_MAX = 60
SECONDS_MAX = 3600


def simulate(
    policy: Annotated[
        list[Path] | None,
        typer.Option(
            help="YAML with the scaling keys of cluster.yml, which is the default. Give it "
            "several times to compare.",
            show_default=False,
        ),
    ] = None,
    trace: Annotated[
        str,
        typer.Option(help=f"{', '.join(TRACES)}, or a CSV file of seconds,requests_per_s."),
    ] = "daily",
    hours: Annotated[
        float | None, typer.Option(help="How long; default: as long as the trace.")
    ] = None,
    peak: Annotated[float, typer.Option(help="Highest rate of a named trace, requests/s.")] = 120.0,
    capacity: Annotated[
        float, typer.Option(help="Requests/s that one agent serves at 100 % CPU.")
    ] = 50.0,
    agents_max: Annotated[
        int | None,
        typer.Option(help=f"Instead of the policy's own; here up to {AGENTS_MAX}."),
    ] = None,
    actions_at_once: Annotated[int, typer.Option(help="How many agents may start at a time.")] = 3,
    start_seconds: Annotated[float, typer.Option(help="How long an agent takes to come.")] = 15.0,
    drain_seconds: Annotated[float, typer.Option(help="How long an agent takes to leave.")] = 5.0,
    failures: Annotated[
        float, typer.Option(help="How often an agent fails, per hour on average.")
    ] = 0.0,
    noise: Annotated[
        float,
        typer.Option(help="Standard deviation of what is seen of each agent's CPU, percent."),
    ] = 0.0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw it into this HTML file.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every tick, as JSON.")] = False,
) -> None:
    """Try scaling policies on a load over time, in virtual time and without machines.

    The decisions are the scaler's own. The agents are a model: load is spread evenly, what is
    above the capacity in service fails, and an agent that fails can always be started anew.
    The same arguments give the same result.
    """
    _check("--hours", hours, HOURS_MAX)
    _check("--peak", peak, RPS_MAX)
    _check("--capacity", capacity, RPS_MAX)
    _check("--agents-max", agents_max, AGENTS_MAX)
    _check("--actions-at-once", actions_at_once, AGENTS_MAX, least=1)
    _check("--start-seconds", start_seconds, SECONDS_MAX, least=0)
    _check("--drain-seconds", drain_seconds, SECONDS_MAX, least=0)
    _check("--failures", failures, FAILURES_MAX, least=0)
    _check("--noise", noise, 100, least=0)
    trials = [_trial(path, agents_max) for path in policy or [cluster_file()]]
    load = _trace(trace, peak, hours)
    model = AgentModel(
        capacity_rps=capacity,
        start_s=start_seconds,
        drain_s=drain_seconds,
        actions_at_once=actions_at_once,
        failures_per_hour=failures,
        cpu_noise_percent=noise,
    )
    results = [(name, _run(trial, load, model)) for name, trial in _named(trials)]
    if plot:
        _write(plot, page(results, load, model))
    if as_json:
        output.print_json(report.as_json(results, load, model), one_line=True)
        return
    print(report.conditions(load, model))
    print(report.table(results, model))
    if plot:
        print(f"Drawn: {plot}")


def _check(option: str, value: float | None, most: float, least: float | None = None) -> None:
    """Refuse what is not above 0, or below the least value where there is one."""
    if value is None:
        return
    enough = value > 0 if least is None else value >= least
    if not (enough and value <= most):
        low = "more than 0" if least is None else f"at least {least:g}"
        raise UsageError(f"{option}: found {value:g}; allowed: {low}, at most {most:g}")


def _trial(path: Path, agents_max: int | None) -> Trial:
    trial = load_trial(path)
    if agents_max is None:
        return trial
    if agents_max < trial.limits.agents_min:
        raise UsageError(
            f"--agents-max: found {agents_max}; allowed: at least agents_min of {path} "
            f"({trial.limits.agents_min})"
        )
    options = {**trial.settings.model_dump(), "agents_max": agents_max}
    limits = replace(trial.limits, agents_max=agents_max)
    return replace(trial, policy=policy_from(options), limits=limits)


def _named(trials: list[Trial]) -> list[tuple[str, Trial]]:
    """Files of one name in different folders get a number."""
    names: list[tuple[str, Trial]] = []
    for place, trial in enumerate(trials):
        earlier = sum(other.name == trial.name for other in trials[:place])
        names.append((f"{trial.name} ({earlier + 1})" if earlier else trial.name, trial))
    return names


def _trace(name: str, peak: float, hours: float | None) -> Trace:
    path = Path(name)
    if name not in TRACES and (path.exists() or path.suffix or len(path.parts) > 1):
        return read_trace(path, hours)
    return named_trace(name, peak, hours)


def _run(trial: Trial, trace: Trace, model: AgentModel) -> Result:
    interval = trial.settings.scaling_interval_s
    return simulated(trial.policy, trial.limits, trace, interval_s=interval, model=model)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ClusterOpsError(f"--plot: {path} cannot be written: {error.strerror}") from error
