# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a runner and reading what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any

from clusterops.errors import CommandError
from clusterops.load.open_options import OpenOptions
from clusterops.load.options import LoadOptions


class LoadRun:
    """One run of the generator; leaving the context ends it.

    >>> with LoadRun(options) as run:          # doctest: +SKIP
    ...     for line in run.lines(): ...
    """

    def __init__(
        self, options: LoadOptions | OpenOptions, *, command: list[str] | None = None
    ) -> None:
        self._command = command or [
            sys.executable,
            "-m",
            options.runner,
            *options.command_line(),
        ]
        self._process: subprocess.Popen[str] | None = None
        self._stderr: IO[str] | None = None

    def __enter__(self) -> LoadRun:
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            # Ctrl-C goes to this process only, which passes it on once.
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        if self._stderr is not None:
            self._stderr.close()

    def lines(self) -> Iterator[dict[str, Any]]:
        """What the runner says, up to and including the summary.

        Raises:
            CommandError: it ended without a summary.
        """
        assert self._process is not None and self._process.stdout is not None  # noqa: S101
        # Not `for line in stdout`: an interrupted read must be able to go on.
        while text := self._process.stdout.readline():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            yield line
            if line.get("type") == "summary":
                return
        raise CommandError(
            "the load generator",
            self._process.wait(),
            self._errors(),
            remedy="./playground doctor checks what it needs",
        )

    def interrupt(self) -> None:
        """Ask for an early end; a summary still comes."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def _errors(self) -> str:
        assert self._stderr is not None  # noqa: S101
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr if line.strip()]
        # The last line of a traceback is what went wrong.
        return lines[-1] if lines else ""
