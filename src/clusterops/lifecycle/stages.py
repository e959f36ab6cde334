# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells a person how far a long task is: the stage, what it does now, how long it takes.

On a terminal the running stage is one live line; elsewhere every step is a line of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DETAIL_EVERY_S = 5.0


class Stages:
    """Prints stages one after the other."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)
        self._live = sys.stdout.isatty()
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    @contextmanager
    def stage(self, title: str) -> Iterator[Stage]:
        """One stage: closed with a tick and its duration, or a cross when it raises."""
        stage = Stage(title, self._console, self._live, self._began)
        with stage:
            yield stage

    def say(self, text: str = "") -> None:
        self._console.print(text, soft_wrap=True)


class Stage:
    """The stage that runs now."""

    def __init__(self, title: str, console: Any, live: bool, began: float) -> None:
        self._title = title
        self._console = console
        self._began = began
        self._stage_began = time.monotonic()
        self._status = console.status(self, spinner="dots") if live else None
        self._last = ""
        self._detailed = 0.0
        self.result = ""

    def __enter__(self) -> Stage:
        if self._status:
            self._status.start()
        self.step("")
        return self

    def step(self, text: str) -> None:
        """Say what is being done now."""
        if text and text == self._last:
            return
        self._last = text
        if text and not self._status:
            elapsed = time.monotonic() - self._began
            self._console.print(f"  {elapsed:6.1f} s  {_escape(text)}", soft_wrap=True)

    def also(self, text: str) -> None:
        """The same step elsewhere: shown on the live line, not worth a line of its own."""
        if self._status:
            self._last = text

    def detail(self, text: str) -> None:
        """Say a step of many small ones; off a terminal only one every few seconds is printed."""
        now = time.monotonic()
        if self._status or now - self._detailed >= DETAIL_EVERY_S:
            self._detailed = now
            self.step(text)

    def __rich__(self) -> str:
        elapsed = time.monotonic() - self._began
        return f"[bold]{self._title}[/] [dim]{_escape(self._last)[:100]} · {elapsed:.0f} s[/]"

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._status:
            self._status.stop()
        seconds = time.monotonic() - self._stage_began
        mark = "[green]✓[/]" if kind is None else "[red]✗[/]"
        result = f" [dim]{_escape(self.result)}[/]" if self.result else ""
        line = f"{mark} {self._title}{result} [dim]({seconds:.1f} s)[/]"
        self._console.print(line, soft_wrap=True)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
