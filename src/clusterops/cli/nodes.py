# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a node by name, and the ssh command that reaches it."""

from __future__ import annotations

import shlex
from typing import Any

from clusterops.errors import ClusterOpsError, NotRunningError, UsageError
from clusterops.ssh_identity import ssh_options
from clusterops.state import State

Json = dict[str, Any]


def find(servers: list[Json], name: str, *, what: str = "node") -> Json:
    """The running machine of a name.

    Raises:
        UsageError: there is no such machine; the message lists those that are.
        NotRunningError: it is not running.
    """
    for server in servers:
        if server.get("name") == name:
            return running(server)
    names = ", ".join(str(server.get("name")) for server in servers) or "none"
    raise UsageError(f"There is no {what} '{name}'.", remedy=f"nodes: {names}")


def running(server: Json) -> Json:
    """The machine itself.

    Raises:
        NotRunningError: it is not running.
    """
    if server.get("state") != "running":
        raise NotRunningError(
            f"{server.get('name')} is not running: it is {server.get('state')}.",
            remedy="the scaler starts agents when they are needed; "
            "./playground scale N asks for them",
        )
    return server


def ssh_command(
    state: State, server: Json, *, user: str = "root", remote: str = "", tty: bool = False
) -> list[str]:
    """The argument list of ssh(1) that runs a remote command line, or a shell, as root.

    Args:
        user: who may log in; another user than root becomes root with sudo.

    Raises:
        ClusterOpsError: the machine has no published ssh port.
    """
    port = (server.get("ports") or {}).get("ssh")
    if not port:
        raise ClusterOpsError(
            f"{server.get('name')} has no ssh port on this machine.",
            remedy="./playground up repairs it",
        )
    command = ["ssh", *ssh_options(state), "-o", "ConnectTimeout=10"]
    if tty:
        command.append("-t")
    command += ["-p", str(port), f"{user}@127.0.0.1"]
    if user != "root":
        remote = f"sudo -n sh -c {shlex.quote(remote)}" if remote else "exec sudo -n -i"
    return [*command, "--", remote] if remote else command


def remote_line(words: list[str]) -> str:
    """One word is a shell command line; several are a program and its arguments, kept apart."""
    return words[0] if len(words) == 1 else shlex.join(words)
