# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground top``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clusterops import clients
from clusterops.cli import fleet, nodes, output, top_view
from clusterops.errors import ExitCode, NotRunningError, UsageError

if TYPE_CHECKING:
    from rich.console import ConsoleDimensions, Group

Json = dict[str, Any]
INTERVAL_MIN_S, INTERVAL_MAX_S = 0.5, 60.0
_FIRST_S = 20.0


def top(
    node: Annotated[
        list[str] | None, typer.Argument(help="Only these nodes; default: all.", show_default=False)
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", help="cpu, memory, io or name; keys c, m, i, n.")
    ] = "cpu",
    interval: Annotated[
        float, typer.Option("--interval", "-d", help="Seconds between two looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, then end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a look.")] = False,
) -> int:
    """Show what each service and container of each node uses, the busiest first.

    CPU is in percent of what the node may use, as everywhere. Keys: c, m, i, n sort; g groups by
    node or mixes all; q ends. Without a terminal it prints each look.
    """
    if sort not in top_view.SORTS:
        raise UsageError(f"--sort: found {sort!r}; allowed: {', '.join(top_view.SORTS)}")
    if not INTERVAL_MIN_S <= interval <= INTERVAL_MAX_S:
        raise UsageError(
            f"--interval: found {interval:g}; allowed: {INTERVAL_MIN_S:g} to {INTERVAL_MAX_S:g}"
        )
    manager = clients.server_manager()
    servers, cluster = manager.servers(), manager.cluster()
    for name in node or []:
        nodes.find(servers, name)
    choose = _chooser(set(node or []))
    if not choose(servers):
        raise NotRunningError("No node is running.", remedy=clients.START)
    program = fleet.probe(1.0 if once else interval, 1 if once else 0)
    command = fleet.over_ssh(clients.current_state(), str(cluster.get("ssh_user") or "root"))
    with fleet.Fleet(lambda _: program, command, keep=not once) as asked:
        asked.update(choose(servers))
        looks = Looks(asked)
        if once:
            return _once(looks, sort, as_json=as_json)
        with fleet.Roster(manager.servers, servers) as roster:
            return _live(looks, roster, choose, sort, interval, as_json=as_json)


def _chooser(named: set[str]) -> Callable[[list[Json]], list[Json]]:
    def choose(servers: list[Json]) -> list[Json]:
        up = [server for server in servers if server.get("state") == "running"]
        return [server for server in up if not named or server.get("name") in named]

    return choose


class Looks:
    """The last look at each node."""

    def __init__(self, asked: fleet.Fleet) -> None:
        self.fleet = asked
        self._last: dict[str, Json] = {}

    def take(self, seconds: float) -> None:
        """Wait at most so long for what the nodes say."""
        for line in self.fleet.lines(seconds):
            if line.gone:
                self._last.pop(line.node, None)
                continue
            try:
                look = json.loads(line.text)
            except ValueError:
                continue
            if isinstance(look, dict) and isinstance(look.get("services"), list):
                self._last[line.node] = look

    def document(self) -> Json:
        """What is known now; a contract of ``--json``."""
        order = self.fleet.nodes
        rows = [{"name": name, **self._last[name]} for name in order if name in self._last]
        return {"nodes": rows}

    @property
    def complete(self) -> bool:
        return set(self._last) >= set(self.fleet.nodes)


def _once(looks: Looks, sort: str, *, as_json: bool) -> int:
    ends = time.monotonic() + _FIRST_S
    while not looks.complete and not looks.fleet.ended and time.monotonic() < ends:
        looks.take(0.2)
    _print(looks.document(), sort, as_json=as_json)
    silent = [name for name in looks.fleet.nodes if not any(
        known["name"] == name for known in looks.document()["nodes"])]  # fmt: skip
    for name in silent:
        why = looks.fleet.failures.get(name) or "it did not answer in time"
        output.print_error(f"{name}: {why}")
    return int(ExitCode.FAILED if silent else ExitCode.DONE)


def _print(document: Json, sort: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json(document, one_line=not sys.stdout.isatty())
    else:
        console = output.console()
        console.print(top_view.render(document, sort=sort, width=console.width))


def _live(
    looks: Looks,
    roster: fleet.Roster,
    choose: Callable[[list[Json]], list[Json]],
    sort: str,
    interval: float,
    *,
    as_json: bool,
) -> int:
    """Until q or Ctrl-C."""
    if as_json or not sys.stdout.isatty():
        try:
            while True:
                ends = time.monotonic() + interval
                while (left := ends - time.monotonic()) > 0:
                    looks.take(left)
                    looks.fleet.update(choose(roster.servers))
                _print(looks.document(), sort, as_json=as_json)
        except KeyboardInterrupt:
            return int(ExitCode.DONE)
    from clusterops.cli.screen import Screen

    grouped = True
    with Screen() as screen:
        while (key := screen.key(0.25)) not in screen.ENDS:
            sort = top_view.KEYS.get(key or "", sort)
            grouped = grouped != (key == "g")
            looks.take(0.0)
            looks.fleet.update(choose(roster.servers))
            shape = {"sort": sort, "grouped": grouped, "note": roster.trouble}
            screen.show(partial(_view, looks.document(), shape))
    return int(ExitCode.DONE)


def _view(document: Json, shape: Json, size: ConsoleDimensions) -> Group:
    return top_view.render(document, **shape, width=size.width, height=size.height, live=True)
