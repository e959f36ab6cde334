# SPDX-License-Identifier: GPL-3.0-or-later
"""What simulations came to, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from typing import Any

from clusterops.scaler.simulation.model import AgentModel
from clusterops.scaler.simulation.run import FLAP_S, STARTS_AT, Result, Tick, Totals
from clusterops.scaler.simulation.traces import Trace

Named = Sequence[tuple[str, Result]]

_HEADERS = (
    "Policy", "Requests", "Errors", "Error share", "With errors", "VM hours", "Utilisation",
    "Most agents", "Changes", "Flaps",
)  # fmt: skip


def rows(results: Named, model: AgentModel) -> list[tuple[str, ...]]:
    """The headers, and a row for each policy; with failures where agents may fail."""
    may_fail = model.failures_per_hour > 0
    lines: list[tuple[str, ...]] = [(*_HEADERS, "Failures") if may_fail else _HEADERS]
    for name, result in results:
        row = _cells(name, result.totals)
        lines.append((*row, str(result.totals.failures)) if may_fail else row)
    return lines


def _cells(name: str, totals: Totals) -> tuple[str, ...]:
    return (
        name,
        f"{totals.requests:.0f}",
        f"{totals.errors:.0f}",
        f"{100 * totals.error_share:.3f} %",
        f"{totals.seconds_with_errors:.0f} s",
        f"{totals.vm_seconds / 3600:.2f}",
        f"{100 * totals.mean_utilisation:.1f} %",
        str(totals.most_agents),
        str(totals.changes),
        str(totals.flaps),
    )


def table(results: Named, model: AgentModel) -> str:
    """One line for each policy, aligned."""
    lines = rows(results, model)
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def conditions(trace: Trace, model: AgentModel) -> str:
    """What the figures rest on, in one line."""
    at_once = "any number" if model.actions_at_once is None else model.actions_at_once
    parts = [
        f"Trace {trace.name}, {trace.duration_s / 3600:g} h, at most {max(trace.rates):g} "
        f"requests/s; an agent serves {model.capacity_rps:g} requests/s, starts in "
        f"{model.start_s:g} s ({at_once} at a time) and drains in {model.drain_s:g} s"
    ]
    if model.failures_per_hour:
        parts.append(f"it fails {model.failures_per_hour:g} times an hour on average")
    if model.cpu_noise_percent:
        parts.append(f"its CPU is seen with a noise of {model.cpu_noise_percent:g} %")
    return "; ".join(parts) + "."


def as_json(results: Named, trace: Trace, model: AgentModel) -> dict[str, Any]:
    """Everything, with plain types; ticks are rows under ``tick_columns``."""
    return {
        "trace": {"name": trace.name, "duration_s": trace.duration_s},
        "starts_at": STARTS_AT,
        "flap_s": FLAP_S,
        "model": asdict(model),
        "tick_columns": [field.name for field in fields(Tick)],
        "policies": [
            {
                "policy": name,
                "totals": {**asdict(result.totals), "error_share": result.totals.error_share},
                "changes": [asdict(change) for change in result.changes],
                "ticks": [list(astuple(tick)) for tick in result.ticks],
            }
            for name, result in results
        ],
    }
