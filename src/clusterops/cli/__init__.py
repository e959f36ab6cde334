# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``./playground COMMAND``.

A command is a plain function with typed Typer options in a module of its own. The table below
is all that is known about it before it is chosen, so `--help` and `status` never pay for the
imports of `up` or `load`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from clusterops import __version__
from clusterops.cli import output
from clusterops.errors import ClusterOpsError, ExitCode

PROGRAM = "./playground"
DEBUG_ENV = "PLAYGROUND_DEBUG"
INTERRUPTED = 130


class Command(NamedTuple):
    """Where a command's function (or group of commands) is, and its line in the list."""

    module: str
    function: str
    help: str
    panel: str


_RUN, _LOOK, _TRY = "Run the cluster", "Look at it", "Work with it"

COMMANDS: dict[str, Command] = {
    "up": Command("clusterops.cli.up", "up", "Bring the cluster up, or apply a change.", _RUN),
    "down": Command("clusterops.cli.down", "down", "Remove the cluster.", _RUN),
    "deploy": Command("clusterops.cli.deploy", "deploy", "Release an application.", _RUN),
    "rollback": Command("clusterops.cli.deploy", "rollback", "Go back to a release.", _RUN),
    "scale": Command("clusterops.cli.scale", "scale", "Set the number of agents.", _RUN),
    "pause": Command("clusterops.cli.pause", "pause", "Stop scaling for a while.", _RUN),
    "resume": Command("clusterops.cli.pause", "resume", "Scale again.", _RUN),
    "token": Command("clusterops.cli.token", "app", "Show or replace the tokens.", _RUN),
    "status": Command("clusterops.cli.status", "status", "Show nodes, scaler and traffic.", _LOOK),
    "top": Command("clusterops.cli.top", "top", "Show what services use.", _LOOK),
    "explain": Command("clusterops.cli.history", "explain", "Say why it (not) scaled.", _LOOK),
    "events": Command("clusterops.cli.history", "events", "List what the scaler did.", _LOOK),
    "audit": Command("clusterops.cli.audit", "audit", "List who changed what.", _LOOK),
    "logs": Command("clusterops.cli.logs", "logs", "Read the logs of all nodes.", _LOOK),
    "report": Command("clusterops.cli.report", "report", "Write a run as one page.", _LOOK),
    "doctor": Command("clusterops.cli.doctor", "doctor", "Check this machine.", _LOOK),
    "app": Command("clusterops.cli.application", "app", "Make or check an application.", _TRY),
    "load": Command("clusterops.cli.load", "load", "Put load on the application.", _TRY),
    "record": Command("clusterops.cli.history", "record", "Export the scaler's record.", _TRY),
    "replay": Command("clusterops.cli.replay", "replay", "Try a policy on a record.", _TRY),
    "simulate": Command(
        "clusterops.cli.simulate", "simulate", "Try scaling policies on a load.", _TRY
    ),
    "ssh": Command("clusterops.cli.ssh", "ssh", "Log in to a node, or run a command there.", _TRY),
    "test": Command("clusterops.cli.testing", "test", "Run the playground's own tests.", _TRY),
}

# Called by files of the project, not by people: the list of commands leaves them out.
HIDDEN: dict[str, Command] = {
    "vagrant": Command("clusterops.cli.vagrant", "vagrant", "Serve the Vagrantfile.", _RUN),
}

# Options that a command's parser needs, known before its module is imported.
_CONTEXT: dict[str, dict[str, Any]] = {"test": {"ignore_unknown_options": True}}


class LazyGroup(TyperGroup):
    """A group that imports the one command that is called."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name) or HIDDEN.get(cmd_name)
        if entry is None:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=entry.help, rich_help_panel=entry.panel)
        function = getattr(importlib.import_module(entry.module), entry.function)
        if isinstance(function, typer.Typer):
            return typer.main.get_command(function)
        single = typer.Typer(add_completion=False)
        settings = {"help_option_names": ["-h", "--help"], **_CONTEXT.get(cmd_name, {})}
        single.command(cmd_name, context_settings=settings)(function)
        return typer.main.get_command(single)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A small production cluster on your own machine: load it, break it, watch it heal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Every error that a user can act on is one line on stderr, and what to do about it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = typer.main.get_command(app).main(
            given or ["--help"], prog_name=PROGRAM, standalone_mode=False
        )
        sys.stdout.flush()
    except ClusterOpsError as error:
        _debug_traceback()
        output.print_error(error.message, error.remedy)
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough. The interpreter's last flush must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _usage(error)
        return _internal(error)
    return result if isinstance(result, int) else int(ExitCode.DONE)


def _usage(error: Any) -> int:
    """Typer's own complaints about the command line, in the form of all other errors."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else PROGRAM
    output.print_error(error.format_message().rstrip("."), f"see {path} --help")
    return int(error.exit_code)


def _internal(error: Exception) -> int:
    """A defect of ours: one line for the user, the traceback for whoever mends it."""
    import traceback

    text = "".join(traceback.format_exception(error))
    what = f"{type(error).__name__}: {error}".split("\n", 1)[0]
    try:
        log = output.log_file("cli.log")
        output.append_log(log, f"{PROGRAM} {' '.join(sys.argv[1:2])}\n{text}")
        where = f"details in {log}"
    except OSError:
        where = f"{DEBUG_ENV}=1 shows the details"
    _debug_traceback()
    output.print_error(f"{what}; {where}", prefix="Internal error")
    return int(ExitCode.FAILED)


def _debug_traceback() -> None:
    if os.environ.get(DEBUG_ENV):
        import traceback

        traceback.print_exc()
