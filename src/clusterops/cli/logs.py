# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground logs``."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from clusterops import clients
from clusterops.cli import nodes
from clusterops.config import CONTROL_NODE
from clusterops.errors import ClusterOpsError, ExitCode, NotRunningError, UsageError

Json = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """Where a log is. Units are journalctl patterns, files are shell patterns."""

    where: str  # control, agents, host
    units: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    help: str = field(default="", compare=False)


TARGETS: dict[str, Target] = {
    "scaler": Target("control", units=("*scaler*",), help="decisions and actions"),
    "load-balancer": Target(
        "control", units=("nginx*",), files=("/var/log/nginx/*.log",), help="each request"
    ),
    "server-manager": Target("host", help="machines: power, creation"),
    "registry": Target("control", units=("docker-registry*",), help="application images"),
    "postgresql": Target(
        "control", units=("postgresql*",), files=("/var/log/postgresql/*.log",), help="database"
    ),
    "redis": Target(
        "control", units=("redis*",), files=("/var/log/redis/*.log",), help="cache and queue"
    ),
    "prometheus": Target("control", units=("prometheus*",), help="monitoring"),
    "app": Target("agents", help="the application on each agent in service"),
    "metrics-api": Target("agents", units=("*metrics-api*",), help="metrics on each agent"),
}
_ALIASES = {"nginx": "load-balancer", "postgres": "postgresql", "application": "app"}


def logs(
    target: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(TARGETS)}, or a node's name for its whole journal.",
            show_default=False,
        ),
    ] = None,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, max=100_000, help="Lines.")] = 50,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines.")] = False,
    node: Annotated[str | None, typer.Option("--node", help="Only this agent.")] = None,
) -> int:
    """Read the log of a service or a node."""
    if target is None:
        raise UsageError("Which log?", remedy=_choices([]))
    chosen = TARGETS.get(_ALIASES.get(target, target))
    if chosen is not None and chosen.where == "host":
        return _host_log(lines, follow=follow)
    manager = clients.server_manager()
    servers, cluster = manager.servers(), manager.cluster()
    if chosen is None:
        if not any(server.get("name") == target for server in servers):
            raise UsageError(f"There is no log '{target}'.", remedy=_choices(servers))
        chosen, machines = Target("node"), [nodes.find(servers, target)]
    elif chosen.where == "control":
        if node not in (None, CONTROL_NODE):
            raise UsageError(f"'{target}' runs on {CONTROL_NODE} only.")
        machines = [nodes.find(servers, CONTROL_NODE)]
    else:
        machines = _agents(cluster, servers, node)
    remote = remote_command(target if chosen.where == "agents" else "", chosen, lines, follow)
    state, user = clients.current_state(), str(cluster.get("ssh_user") or "root")
    commands = {
        str(server["name"]): nodes.ssh_command(state, server, user=user, remote=remote)
        for server in machines
    }
    return _stream(commands)


def remote_command(name: str, target: Target, lines: int, follow: bool) -> str:
    """The shell line that prints a log on its node."""
    if name in ("app", "application"):
        extra = " --follow" if follow else ""
        # The project is asked of the engine, so that no path or application name is assumed.
        return (
            "for p in $(docker compose ls -q); do "
            f'docker compose -p "$p" logs --no-color --timestamps --tail {lines}{extra}; done'
        )
    units = " ".join(f"-u '{unit}'" for unit in target.units)
    journal = f"journalctl --no-pager -q -n {lines} {units}".rstrip()
    if follow:
        journal += " -f"
    if not target.files:
        return f"exec {journal}"
    tail = f"tail -q -n {lines}{' -F' if follow else ''}"
    files = " ".join(target.files)
    if follow:
        # Both watch their output and end when ssh closes it.
        return f"{journal} & ls {files} >/dev/null 2>&1 && {tail} {files} & wait"
    return f"{journal}; for f in {files}; do [ -s $f ] && {tail} $f; done; true"


def _choices(servers: list[Json]) -> str:
    names = [str(server.get("name")) for server in servers]
    return "logs: " + ", ".join([*TARGETS, *(names or ["or a node's name"])])


def _agents(cluster: Json, servers: list[Json], node: str | None) -> list[Json]:
    """The agents to ask: the one named, else those in service, else those that run."""
    if node is not None:
        return [nodes.find(servers, node, what="agent")]
    up = [s for s in servers if s.get("role") == "agent" and s.get("state") == "running"]
    with contextlib.suppress(ClusterOpsError):
        status = clients.scaler(cluster).status()
        serving = {a.get("name") for a in status.get("agents") or [] if a.get("in_service")}
        up = [server for server in up if server.get("name") in serving] or up
    if not up:
        raise NotRunningError("No agent is running.", remedy="see ./playground status")
    return up


def _host_log(lines: int, *, follow: bool) -> int:
    root = clients.current_state().root
    found = [p for p in (root / "server-manager.log", root / "logs" / "server-manager.log")
             if p.exists()]  # fmt: skip
    if not found:
        raise NotRunningError("The Server Manager has no log yet.", remedy=clients.START)
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(found[0])]
    return _stream({"host": command})


def _stream(commands: dict[str, list[str]]) -> int:
    """Run commands side by side and print their lines, with a name before each if several."""
    prefix = len(commands) > 1
    width = max(map(len, commands))
    write = threading.Lock()
    running: list[subprocess.Popen[bytes]] = []
    broken = threading.Event()

    def copy(name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        mark = f"{name:<{width}} | ".encode() if prefix else b""
        for line in process.stdout:
            with write:
                try:
                    sys.stdout.buffer.write(mark + line)
                    sys.stdout.buffer.flush()
                except BrokenPipeError:
                    broken.set()
                    for each in running:
                        each.terminate()
                    return

    threads: list[threading.Thread] = []
    try:
        for name, command in commands.items():
            process = subprocess.Popen(  # noqa: S603 - a fixed program, no local shell
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )
            running.append(process)
            threads.append(threading.Thread(target=copy, args=(name, process), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()
        codes = [process.wait() for process in running]
    except FileNotFoundError as error:
        raise ClusterOpsError("ssh is not installed.", remedy="install openssh-client") from error
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if broken.is_set():
        raise BrokenPipeError
    return int(ExitCode.FAILED if any(codes) else ExitCode.DONE)
