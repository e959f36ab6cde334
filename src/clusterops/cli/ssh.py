# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground ssh``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from clusterops import clients
from clusterops.cli import nodes
from clusterops.errors import ClusterOpsError


def ssh(
    node: Annotated[str, typer.Argument(help="control-1, agent-1, …", show_default=False)],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND]…", help="Run this instead of a shell."),
    ] = None,
) -> None:
    """Log in to a node as root, or run a command there and pass on its exit code.

    Several words are a program with its arguments; one quoted word is a shell line:
    ./playground ssh agent-1 -- 'docker ps | wc -l'
    """
    manager = clients.server_manager()
    server = nodes.find(manager.servers(), node)
    user = str(manager.cluster().get("ssh_user") or "root")
    remote = nodes.remote_line(command) if command else ""
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    arguments = nodes.ssh_command(
        clients.current_state(),
        server,
        user=user,
        remote=remote,
        tty=on_terminal and (bool(remote) or user != "root"),
    )
    sys.stdout.flush()
    try:
        os.execvp("ssh", arguments)  # noqa: S606, S607 - its exit code and terminal become ours
    except FileNotFoundError as error:
        raise ClusterOpsError("ssh is not installed.", remedy="install openssh-client") from error
