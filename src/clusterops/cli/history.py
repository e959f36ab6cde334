# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground explain``, ``events`` and ``record``: what the scaler did, and why."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from clusterops import clients
from clusterops.cli import output
from clusterops.clients import ScalerClient
from clusterops.errors import ClusterOpsError, UsageError
from clusterops.scaler.explain import explain as explained

_PAGE = 1000
_AGO = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|min|h|d)")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
Json = dict[str, Any]

At = Annotated[
    str | None,
    typer.Option(
        "--at", help="A time: 14:05, 14:05:30, 2026-01-31T14:05:30, or 10m (that long ago)."
    ),
]


def explain(
    at: At = None,
    as_json: Annotated[bool, typer.Option("--json", help="The tick's record as JSON.")] = False,
) -> None:
    """Say in plain words why the scaler scaled, or why it did not."""
    scaler = _scaler()
    until = moment(at, time.time()) if at else None
    ticks = scaler.ticks(limit=2, until=until)
    if not ticks:
        raise ClusterOpsError(
            f"The scaler has no record of {at or 'any tick yet'}",
            remedy="it keeps them for a day; ./playground events lists what happened",
        )
    tick = ticks[0]
    if as_json:
        output.print_json(tick)
        return
    before = ticks[1]["at"] if len(ticks) > 1 else None
    events = scaler.events(
        limit=20, after=output.timestamp(before), until=output.timestamp(tick["at"])
    )
    print(f"{local_time(tick['at'])}, {output.ago(tick['at'])}")
    for line in explained(tick, events):
        print(line)


def events(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the latest.")] = 30,
    kind: Annotated[
        str | None, typer.Option(help="Only of this kind: decision, started, finished, failed, …")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, newest first.")] = False,
) -> None:
    """List what the scaler decided and did, oldest first."""
    found = _scaler().events(limit=limit, kind=kind)
    if as_json:
        output.print_json({"events": found})
        return
    for event in reversed(found):
        agent = f" {event['agent']}" if event.get("agent") else ""
        print(f"{local_time(event['at'])}  {event['kind']}{agent}: {event['message']}")
    if not found:
        print("Nothing yet.")


def record(
    file: Annotated[Path, typer.Argument(help="Where to write it; JSON lines, oldest first.")],
    since: Annotated[
        str | None, typer.Option(help="From this time on, as for explain --at.")
    ] = None,
) -> None:
    """Export the record of every tick, to look at, or for ./playground replay."""
    scaler = _scaler()
    after = moment(since, time.time()) if since else None
    rows = list(_all_ticks(scaler, after))
    try:
        with file.open("w", encoding="utf-8") as stream:
            for row in reversed(rows):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
    print(f"{len(rows)} ticks written to {file}.")


def _all_ticks(scaler: ScalerClient, after: float | None) -> Iterator[Json]:
    """Newest first, page by page."""
    until: float | None = None
    while True:
        page = scaler.ticks(limit=_PAGE, after=after, until=until)
        yield from page
        if len(page) < _PAGE:
            return
        # Answers end at the millisecond, and no two ticks share one.
        until = (output.timestamp(page[-1]["at"]) or 0.0) - 0.001


def moment(text: str, now: float, *, option: str = "--at") -> float:
    """The time that a person means, as Unix seconds.

    Args:
        option: where it was given, for the error.

    Raises:
        UsageError: it is no time.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return now - float(ago[1]) * _UNITS[ago[2]]
    today = datetime.fromtimestamp(now).astimezone()
    try:
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", text.strip()):
            hour, minute, second, *_ = *(int(part) for part in text.strip().split(":")), 0
            at = today.replace(hour=hour, minute=minute, second=second, microsecond=999_000)
            # Nobody asks what will have happened later today.
            return (at if at <= today else at - timedelta(days=1)).timestamp()
        given = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"{option}: found {text!r}; allowed: 14:05, 14:05:30, 2026-01-31T14:05:30 or 10m"
        ) from None
    return (given if given.tzinfo else given.astimezone()).timestamp()


def _scaler() -> ScalerClient:
    return clients.scaler(clients.server_manager().cluster(), timeout_s=30)


def local_time(at: Any) -> str:
    """A time of the API, as this machine's clock shows it."""
    seconds = output.timestamp(at) or 0.0
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
