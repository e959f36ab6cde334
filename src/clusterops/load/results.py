# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of runs, as they are kept: one JSON file each, the newest under a name of its own.

``.playground/load/TIME-PROFILE.json``; ``LATEST.json`` is a link to the newest. Its form is a
contract: the report reads it.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clusterops.state import State, write_private

Json = dict[str, Any]
KEPT = 20
LATEST = "LATEST.json"


class Results:
    """Gathers the lines of one run."""

    def __init__(self, *, profile: str, url: str, open_loop: bool, started_at: datetime) -> None:
        self._head = {
            "profile": profile,
            "started_at": _text(started_at),
            "url": url,
            "open_loop": open_loop,
        }
        self._name = f"{started_at:%Y%m%dT%H%M%S}-{profile.split()[0]}.json"
        self._rows: list[Json] = []
        self._requests = self._failures = 0
        self.totals: Json = {}

    def second(self, line: Json) -> None:
        """Take the line of a second, whose numbers of requests are those of the run so far."""
        if not self._rows:  # it took a moment until the generator was there
            began = datetime.now(UTC) - timedelta(seconds=line["t"])
            self._head["started_at"] = _text(began)
        self._rows.append(
            {
                "at": line.get("at") or _text(datetime.now(UTC)),
                "requests": line["requests"] - self._requests,
                "failures": line["failures"] - self._failures,
                "rate_wanted": line.get("rate_wanted"),
                "p50_ms": line["p50"],
                "p95_ms": line["p95"],
                "p99_ms": line["p99"],
            }
        )
        self._requests, self._failures = line["requests"], line["failures"]

    def document(self) -> Json:
        """The whole run."""
        return {
            **self._head,
            "duration_s": self.totals.get("duration_s"),
            "totals": self.totals,
            "seconds": self._rows,
        }

    def keep(self, state: State) -> Path:
        """Write the file, make it the newest, and forget the oldest beyond KEPT."""
        folder = state.root / "load"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / self._name
        write_private(path, json.dumps(self.document(), indent=1) + "\n")
        link = folder / f".{LATEST}.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(path.name)
        link.replace(folder / LATEST)
        files = sorted(each for each in folder.glob("*.json") if not each.is_symlink())
        for old in files[:-KEPT]:
            old.unlink(missing_ok=True)
        return path


def progress(line: Json, duration_s: float) -> Json:
    """How far a run is, for whoever started it as a job."""
    elapsed = float(line["t"])
    return {
        "elapsed_s": elapsed,
        "duration_s": duration_s,
        "requests": line["requests"],
        "failures": line["failures"],
        "requests_per_s": line["rps"],
        "p50_ms": line["p50"],
        "p95_ms": line["p95"],
        "p99_ms": line["p99"],
    }


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
