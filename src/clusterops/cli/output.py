# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands share when they write to a terminal. Rich is imported at first use."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from clusterops.state import State, cluster_file

if TYPE_CHECKING:
    from rich.console import Console

_BLOCKS = "▁▂▃▄▅▆▇█"


def console() -> Console:
    """Standard output, with colours where a terminal shows them."""
    from rich.console import Console

    return Console(highlight=False)


def print_error(message: str, remedy: str | None = None, *, prefix: str = "Error") -> None:
    """Write ``Error: message`` to stderr, a line for each line of it, then the remedy."""
    red, dim, off = _colours(sys.stderr)
    for line in message.strip().splitlines() or ["unknown"]:
        print(f"{red}{prefix}:{off} {line}", file=sys.stderr)
    if remedy:
        print(f"{dim}→ {remedy}{off}", file=sys.stderr)


def print_json(data: Any, *, one_line: bool = False) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=None if one_line else 2)
    print(text, flush=True)


def reader_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


def _colours(stream: TextIO) -> tuple[str, str, str]:
    if stream.isatty() and not os.environ.get("NO_COLOR"):
        return "\033[1;31m", "\033[2m", "\033[0m"
    return "", "", ""


def log_file(name: str) -> Path:
    """A log of the command line in the state folder of the cluster in force."""
    state = State.beside(cluster_file())
    state.create()
    return state.logs / name


def append_log(path: Path, text: str) -> None:
    """Add an entry with the time to a log that only its owner may read."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "a", encoding="utf-8") as stream:
        stream.write(f"--- {datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")


def bar(percent: float | None, width: int = 10) -> str:
    """``██████░░░░  61 %`` (the number alone at width 0), or a dash where nothing is known."""
    if percent is None:
        return "-"
    if width <= 0:
        return f"{percent:.0f} %"
    filled = round(min(max(percent, 0.0), 100.0) / 100 * width)
    return f"{'█' * filled}{'░' * (width - filled)} {percent:3.0f} %"


def sparkline(values: Sequence[float]) -> str:
    """One block character for each value, scaled to the largest."""
    top = max(values, default=0.0)
    if top <= 0:
        return _BLOCKS[0] * len(values)
    return "".join(_BLOCKS[min(int(value / top * 8), 7)] for value in values)


def timestamp(at: Any) -> float | None:
    """Seconds since the epoch of a number or an ISO 8601 text; None for anything else."""
    if isinstance(at, int | float) and not isinstance(at, bool):
        return float(at)
    if isinstance(at, str):
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def ago(at: Any, now: float | None = None) -> str:
    """How long ago a moment was, in words."""
    moment = timestamp(at)
    if moment is None:
        return "at an unknown time"
    seconds = max((time.time() if now is None else now) - moment, 0)
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
