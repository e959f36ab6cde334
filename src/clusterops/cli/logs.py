# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground logs``."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clusterops import clients
from clusterops.cli import fleet, log_view, nodes, output
from clusterops.config import CONTROL_NODE
from clusterops.errors import ClusterOpsError, ExitCode, NotRunningError, UsageError
from clusterops.on_node.log_sources import LEVELS, severity

if TYPE_CHECKING:
    from rich.console import Console

    from clusterops.clients import ServerManagerClient

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
#: One line for each request would bury everything else: `logs load-balancer` has them.
_QUIET = {"load-balancer": ("/var/log/nginx/error.log",)}
#: How long the nodes may take until they have told their last lines, in seconds.
_READY_S, _ALL_S = 10.0, 40.0
_LATE_LINES = 1000
LINES_PER_SECOND = 10


@dataclass(frozen=True)
class Wish:
    """What to show: the query of each node, and which nodes.

    Attributes:
        query: see :func:`clusterops.on_node.log_collector.run`.
        choose: the nodes of a list of servers.
    """

    query: Json
    choose: Callable[[list[Json]], list[Json]]


def logs(
    target: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(TARGETS)}, or a node's name for all of its logs; "
            "default: everything.",
            show_default=False,
        ),
    ] = None,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=1, max=100_000, help="The last lines, merged.")
    ] = 50,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines.")] = False,
    node: Annotated[
        list[str] | None, typer.Option("--node", help="Only this node; may be given again.")
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service",
            help="Only this service, unit or container ('docker*'); may be given again.",
        ),
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(
            "--level", "--priority", "-p", help="This and worse: error, warning, notice, info, …"
        ),
    ] = None,
    grep: Annotated[
        str | None, typer.Option("--grep", "-g", help="Only messages with this regular expression.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="From this time on: 10m, 14:05, 2026-01-31T14:05.")
    ] = None,
    all_lines: Annotated[
        bool, typer.Option("--all", help="All lines of services that write many a second.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> int:
    """Read the logs of all nodes in one stream, in order of time.

    The journals, the application's containers, and the files of nginx, PostgreSQL and Redis. With
    --follow, nodes that come are followed, too, and Ctrl-C ends it. Where no service is asked for,
    one that writes much is shown with its first lines of each second, and the load balancer
    without its line for each request.
    """
    filters = _filters(service or [], level, grep, since)
    if not (service or grep or all_lines or as_json) and target not in (*TARGETS, *_ALIASES):
        filters["per_second"] = LINES_PER_SECOND
    chosen = TARGETS.get(_ALIASES.get(target or "", target or ""))
    if chosen is not None and chosen.where == "host":
        wish = Wish({**_host_query(must=True), **filters}, lambda _: [])
        return _show(None, wish, [], lines, follow=follow, as_json=as_json, host=True)
    manager = clients.server_manager()
    servers, cluster = manager.servers(), manager.cluster()
    if not servers:
        raise NotRunningError(
            "The cluster is not running: it has no machines.", remedy=clients.START
        )
    only = _only(servers, target if chosen is None else None, node or [])
    query = query_of(chosen, [_ALIASES.get(name, name) for name in service or []])
    serving: set[str] = set()
    if chosen is not None and chosen.where == "control":
        if only and only != {CONTROL_NODE}:
            raise UsageError(f"'{target}' runs on {CONTROL_NODE} only.")
        only = {CONTROL_NODE}
    elif chosen is not None and not only and not follow:
        serving = _in_service(cluster)
    wish = Wish({**query, **filters}, _chooser(chosen, only, serving))
    for name in only:
        nodes.find(servers, name)
    if chosen is not None and not wish.choose(servers):
        raise NotRunningError("No agent is running.", remedy="see ./playground status")
    whole = target is None and not only
    return _show(manager, wish, servers, lines, follow=follow, as_json=as_json, host=whole,
                 user=str(cluster.get("ssh_user") or "root"))  # fmt: skip


def query_of(target: Target | None, services: list[str]) -> Json:
    """Which sources a node looks at."""
    if target is not None:
        app = target.where == "agents" and not target.units
        own = next(name for name, known in TARGETS.items() if known is target)
        files = {own: list(target.files)} if target.files else {}
        return {"journal": not app, "units": list(target.units), "containers": app, "files": files}
    files = {
        name: list(known.files if name in services else _QUIET.get(name, known.files))
        for name, known in TARGETS.items()
        if known.files
    }
    return {"journal": True, "units": [], "containers": True, "files": files}


def _filters(services: list[str], level: str | None, grep: str | None, since: str | None) -> Json:
    """The query's part that chooses among entries.

    Raises:
        UsageError: a filter cannot be understood.
    """
    found: Json = {"services": [_ALIASES.get(name, name) for name in services]}
    if level is not None:
        number = int(level) if level.isdigit() else severity(level)
        if number is None or number >= len(LEVELS):
            raise UsageError(
                f"--level: found {level!r}; allowed: error, {', '.join(LEVELS)}, or 0 to 7"
            )
        found["priority"] = number
    if grep is not None:
        try:
            re.compile(grep)
        except re.error as error:
            raise UsageError(f"--grep: {grep!r} is no regular expression: {error}") from None
        found["grep"] = grep
    if since is not None:
        from clusterops.cli.history import moment

        found["since"] = moment(since, time.time(), option="--since")
    return found


def _only(servers: list[Json], target: str | None, named: list[str]) -> set[str]:
    """Names of the only nodes that are asked for; none: all.

    Raises:
        UsageError: the target is neither a log nor a node.
    """
    if target is not None and not any(server.get("name") == target for server in servers):
        raise UsageError(f"There is no log '{target}'.", remedy=_choices(servers))
    for name in named:
        nodes.find(servers, name)
    return {*([target] if target else []), *named}


def _choices(servers: list[Json]) -> str:
    names = [str(server.get("name")) for server in servers]
    return "logs: " + ", ".join([*TARGETS, *(names or ["or a node's name"])])


def _chooser(
    target: Target | None, only: set[str], serving: set[str]
) -> Callable[[list[Json]], list[Json]]:
    """The nodes to follow: those named; of agents those in service, else those that run."""

    def choose(servers: list[Json]) -> list[Json]:
        up = [server for server in servers if server.get("state") == "running"]
        if only:
            return [server for server in up if server.get("name") in only]
        if target is None:
            return up
        agents = [server for server in up if server.get("role") == "agent"]
        return [server for server in agents if server.get("name") in serving] or agents

    return choose


def _in_service(cluster: Json) -> set[str]:
    with contextlib.suppress(ClusterOpsError):
        status = clients.scaler(cluster).status()
        return {str(a.get("name")) for a in status.get("agents") or [] if a.get("in_service")}
    return set()


def _host_query(*, must: bool) -> Json:
    """The Server Manager's log, which is on this machine.

    Raises:
        NotRunningError: there is none, but there must be.
    """
    root = clients.current_state().root
    found = [p for p in (root / "server-manager.log", root / "logs" / "server-manager.log")
             if p.exists()]  # fmt: skip
    if not found and must:
        raise NotRunningError("The Server Manager has no log yet.", remedy=clients.START)
    files = {"server-manager": [str(path) for path in found[:1]]}
    return {"journal": False, "containers": False, "files": files}


def _show(
    manager: ServerManagerClient | None,
    wish: Wish,
    servers: list[Json],
    lines: int,
    *,
    follow: bool,
    as_json: bool,
    host: bool,
    user: str = "root",
) -> int:
    """Ask the nodes and print what they say."""
    narrowing = ("services", "priority", "grep", "since", "per_second")
    filters = {key: value for key, value in wish.query.items() if key in narrowing}
    on_host = {**_host_query(must=False), **filters} if host else {}

    def choose(found: list[Json]) -> list[Json]:
        return [*wish.choose(found), *([fleet.this_host()] if host else [])]

    stream = Stream(lines, follow=follow)

    def program(name: str) -> fleet.Program:
        query = on_host if name == fleet.HOST else wish.query
        return fleet.collector({**query, **stream.span(name, query)})

    printer = Printer(as_json=as_json, names=[str(server["name"]) for server in choose(servers)])
    command = fleet.over_ssh(clients.current_state(), user)
    with fleet.Fleet(program, command, keep=follow) as asked:
        asked.update(choose(servers))
        for entry in stream.last(asked):
            printer.print(entry)
        if not follow:
            return _ended(asked)
        ask = manager.servers if manager is not None else lambda: []
        with fleet.Roster(ask, servers) as roster:
            while True:
                asked.update(choose(roster.servers))
                for entry in stream.next(asked):
                    printer.print(entry)
                printer.check()


def _ended(asked: fleet.Fleet) -> int:
    for name, why in asked.failures.items():
        output.print_error(f"{name}: {why or 'its log could not be read'}")
    return int(ExitCode.FAILED if asked.failures else ExitCode.DONE)


class Stream:
    """What the nodes print, as entries in order of time."""

    def __init__(
        self, lines: int, *, follow: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lines, self._follow, self._clock = lines, follow, clock
        self._merger = log_view.Merger()
        self._began = time.time()
        self._seen: dict[str, float] = {}
        self._known: set[str] = set()
        self._going_on = False

    def span(self, node: str, query: Json) -> Json:
        """Which entries of a node are asked for: those that it has not told yet."""
        if not self._going_on:
            return {"lines": self._lines, "follow": self._follow}
        since = max(self._seen.get(node, self._began) + 1e-6, query.get("since") or 0.0)
        return {"lines": _LATE_LINES, "follow": self._follow, "since": since}

    def last(self, asked: fleet.Fleet) -> list[Json]:
        """The last entries of all nodes, once all of them have told theirs."""
        ready: set[str] = set()
        ends = self._clock() + (_READY_S if self._follow else _ALL_S)
        while self._clock() < ends and not asked.ended:
            if ready | set(asked.failures) >= set(asked.nodes):
                break
            for line in asked.lines(0.2):
                if log_view.is_ready(line.text):
                    ready.add(line.node)
                self._take(line)
        self._going_on = True
        self._known |= set(asked.nodes)
        return list(self._merger.rest())[-self._lines :]

    def next(self, asked: fleet.Fleet) -> list[Json]:
        """What is new, and what is to be said about nodes."""
        found: list[Json] = []
        for name in asked.nodes:
            if name not in self._known:
                self._known.add(name)
                found.append(log_view.note(name, f"{name} came", time.time(), "came"))
        for line in asked.lines(0.1):
            self._take(line)
            if line.gone:
                self._known.discard(line.node)
                words = f"{line.node} is left: {line.gone}"
                found.append(log_view.note(line.node, words, time.time(), "gone"))
        return [*found, *self._merger.due(self._clock())]

    def _take(self, line: fleet.Line) -> None:
        entry = log_view.parse(line.node, line.text)
        if entry is not None:
            self._seen[line.node] = max(self._seen.get(line.node, 0.0), entry["at"])
            self._merger.add(entry, self._clock())


class Printer:
    """Writes entries to standard output."""

    def __init__(self, *, as_json: bool, names: list[str]) -> None:
        self._as_json = as_json
        self._format = log_view.Formatter(names)
        self._console: Console | None = None
        if not as_json and sys.stdout.isatty():
            self._console = output.console()

    def check(self) -> None:
        """Whether somebody still reads, however little there is to say.

        Raises:
            BrokenPipeError: nobody does.
        """
        try:
            gone = output.reader_gone()
        except (OSError, ValueError):  # it is no file at all
            return
        if gone:
            raise BrokenPipeError

    def print(self, entry: Json) -> None:
        """Write one entry."""
        if self._as_json:
            output.print_json(log_view.document(entry), one_line=True)
        elif self._console is None:
            print(self._format.text(entry).plain, flush=True)
        else:
            self._console.print(self._format.text(entry), soft_wrap=True)
