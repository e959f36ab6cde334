# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground scale``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from clusterops import clients
from clusterops.cli import output
from clusterops.cli.status import action_words
from clusterops.clients import AnswerError, ScalerClient
from clusterops.errors import ClusterOpsError, NotRunningError, UsageError

POLL_S = 1.0
Json = dict[str, Any]


def scale(
    count: Annotated[int, typer.Argument(metavar="N", help="Agents.", show_default=False)],
    wait: Annotated[bool, typer.Option(help="Wait until that many are in service.")] = True,
    timeout: Annotated[
        float, typer.Option(min=1, max=3600, help="Longest wait, in seconds.")
    ] = 180.0,
) -> None:
    """Set the number of agents, and wait until that many are in service.

    The policy may raise the number when there is load; it does not lower it for a while.
    """
    cluster = clients.server_manager().cluster()
    config = cluster.get("config") or {}
    scaler = clients.scaler(cluster, timeout_s=10)
    before = scaler.status()
    low = before.get("min", config.get("agents_min", 0))
    high = before.get("max", config.get("agents_max", 0))
    if not low <= count <= high:
        raise UsageError(
            f"N: found {count}, allowed: a whole number from {low} to {high}",
            remedy="agents_min and agents_max in cluster.yml set the range",
        )
    try:
        scaler.set_desired(count)
    except AnswerError as error:
        if error.status in (400, 422):
            raise UsageError(error.message) from error
        raise
    if wait:
        _wait(scaler, count, rising=in_service(before) < count, timeout_s=timeout)
    hold = config.get("scaling_hold_s", 300)
    print(f"For {hold:g} s the policy may raise the number above {count}, but not lower it below.")


def in_service(status: Json) -> int:
    """How many agents get traffic."""
    return sum(1 for agent in status.get("agents") or [] if agent.get("in_service"))


@dataclass(frozen=True)
class Progress:
    """How far a change of the number of agents is."""

    done: bool
    line: str


def progress(status: Json, count: int, *, rising: bool) -> Progress:
    """What a user who asked for ``count`` agents is to know now."""
    serving = in_service(status)
    desired = status.get("desired")
    action = status.get("action")
    idle = not isinstance(action, dict)
    if isinstance(desired, int) and desired > count and not rising:
        return Progress(True, f"The policy wants {desired} again: there is load for them.")
    reached = serving >= count if rising else serving == count and idle
    words = f"{serving} of {count} in service"
    if reached:
        return Progress(True, f"{serving} {'agent' if serving == 1 else 'agents'} in service.")
    if isinstance(action, dict):
        words += f"; {action_words(action)}"
    elif status.get("blocked_by"):
        words += f"; waiting: {status['blocked_by']}"
    elif status.get("mode") not in ("auto", None):
        words += f"; the scaler is {status['mode']}"
    else:
        words += "; waiting for the scaler's next look"
    return Progress(False, words)


def _wait(
    scaler: ScalerClient,
    count: int,
    *,
    rising: bool,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    end = clock() + timeout_s
    words = ""
    with _Line() as line:
        while True:
            try:
                now = progress(scaler.status(), count, rising=rising)
            except NotRunningError as error:  # it restarts in a second or two
                now = Progress(False, error.message)
            if now.done:
                line.end(now.line)
                return
            words = now.line
            line.show(words)
            if clock() >= end:
                break
            sleep(POLL_S)
    raise ClusterOpsError(
        f"After {timeout_s:g} s: {words}.",
        remedy="the scaler goes on; see ./playground status and ./playground logs scaler",
    )


class _Line:
    """One line that changes: a spinner on a terminal, else a new line for each new text."""

    def __init__(self) -> None:
        self._status: Any = None
        self._last = ""

    def __enter__(self) -> _Line:
        if sys.stdout.isatty():
            self._status = output.console().status("…")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, text: str) -> None:
        if self._status is not None:
            from rich.markup import escape

            self._status.update(escape(text))
            return
        # Elapsed times change each second; a log wants a line for each step only.
        step = text.split(" (", 1)[0]
        if step != self._last:
            self._last = step
            print(text, flush=True)

    def end(self, text: str) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
        print(text, flush=True)
