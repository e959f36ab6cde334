# SPDX-License-Identifier: GPL-3.0-or-later
"""The one root of every error that a user is meant to read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit codes of the command line (a contract)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3


class ClusterOpsError(Exception):
    """Something went wrong that the user can act on: one line, and what to do about it."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class UsageError(ClusterOpsError):
    """The command line or cluster.yml is wrong."""

    exit_code = ExitCode.USAGE


class NotRunningError(ClusterOpsError):
    """The cluster, or the part that was asked for, is not running."""

    exit_code = ExitCode.NOT_RUNNING


class CommandError(ClusterOpsError):
    """An external program failed; the message carries the command, exit code and stderr."""

    def __init__(self, command: str, code: int, stderr: str, *, remedy: str | None = None) -> None:
        detail = " ".join(stderr.split())[-500:] or "no message"
        super().__init__(f"'{command}' failed with exit code {code}: {detail}", remedy=remedy)
        self.command = command
        self.code = code
        self.stderr = stderr


def print_document(make: Callable[[], Any]) -> int:
    """Print what a playbook asks a module for, one JSON document, or one line on standard error.

    Returns:
        the exit code of the module.
    """
    try:
        document = make()
    except ClusterOpsError as error:
        print(f"Error: {error}", file=sys.stderr)
        return int(error.exit_code)
    print(json.dumps(document))
    return int(ExitCode.DONE)
