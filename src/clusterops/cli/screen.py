# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole terminal for one view, given back as it was whatever ends the command."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from clusterops.cli import output
from clusterops.cli.keys import Keys

if TYPE_CHECKING:
    from rich.console import ConsoleDimensions, RenderableType
    from rich.live import Live


class Screen:
    """Keys and a full-screen view; SIGTERM and a lost terminal end it as Ctrl-C does."""

    ENDS = ("q", "Q", "\x03", "\x1b")

    def __init__(self) -> None:
        self._console = output.console()
        self._stack = contextlib.ExitStack()
        self._keys = Keys()
        self._live: Live | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Screen:
        from rich.live import Live

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                self._before[number] = signal.signal(number, _interrupt)
        self._stack.enter_context(self._keys)
        self._live = self._stack.enter_context(
            Live(screen=True, auto_refresh=False, console=self._console, vertical_overflow="crop")
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._stack.close()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return kind is KeyboardInterrupt

    def key(self, seconds: float) -> str | None:
        """The key pressed within a time, or None."""
        return self._keys.wait(seconds)

    def show(self, view: Callable[[ConsoleDimensions], RenderableType]) -> None:
        """Draw a view for the size that the terminal has now."""
        if self._live is not None:
            self._live.update(view(self._console.size), refresh=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
