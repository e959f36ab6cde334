# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground status``."""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clusterops import clients
from clusterops.cli import output
from clusterops.cli.snapshot import Snapshot, agents_by_name, compose, take
from clusterops.errors import ClusterOpsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

    from clusterops.clients import ScalerClient, ServerManagerClient

INTERVAL_S = 1.0
REDRAW_S = 0.4
#: Ansible names a role's task "collection.of.role : task".
_ROLE = re.compile(r"^(?:\w+\.)*(\w+) : ")
STATE_STYLE = {
    "in service": "green",
    "running": "cyan",
    "stopped": "dim",
    "draining": "yellow",
    "joining": "cyan",
    "leaving": "yellow",
    "preparing": "cyan",
    "paused": "yellow",
    "unhealthy": "bold red",
    "error": "bold red",
}
#: Cells of a bar: as many as the terminal has room for; below the least only the number is shown.
_BAR_MOST, _BAR_LEAST = 16, 3


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (a contract).")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="A live view.")] = False,
) -> None:
    """Show the nodes, what the scaler does and why, and where to look.

    --watch takes the whole terminal: agents, traffic, latency, the last minutes as curves, the
    scaler's decisions, alerts. q or Ctrl-C ends it. Without a terminal it prints a block, and
    with --json a line, each second.
    """
    server_manager = clients.server_manager()
    cluster = server_manager.cluster()
    scaler = clients.scaler(cluster)
    first = take(server_manager, scaler, cluster)
    if watch:
        _watch(server_manager, scaler, first, as_json=as_json)
    elif as_json:
        output.print_json(compose(first))
    else:
        console = output.console()
        first = replace(first, alerts=clients.alerts(cluster))
        console.print(render(first, width=console.width))


class Decisions:
    """The scaler's last decisions, as they were seen."""

    def __init__(self, length: int = 6) -> None:
        self._seen: deque[dict[str, Any]] = deque(maxlen=length)

    def add(self, snapshot: Snapshot) -> None:
        decision = (snapshot.scaler or {}).get("last_decision")
        if not isinstance(decision, dict):
            return
        # The same answer at each look is one decision that goes on, seen last just now.
        if self._seen and _said(self._seen[0]) == _said(decision):
            self._seen[0] = decision
        else:
            self._seen.appendleft(decision)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._seen)


def _said(decision: dict[str, Any]) -> tuple[Any, Any]:
    return decision.get("action"), decision.get("reason")


def _watch(
    server_manager: ServerManagerClient, scaler: ScalerClient, first: Snapshot, *, as_json: bool
) -> None:
    console = output.console()
    decisions = Decisions()
    latest = first
    decisions.add(latest)

    def view() -> Group:
        # The width is asked for each time: the terminal may have been resized.
        return render(latest, decisions, width=console.width)

    def look() -> RenderableType:
        nonlocal latest
        try:
            latest = take(server_manager, scaler, latest.cluster)
        except ClusterOpsError as error:
            return _with_note(view(), error.message)
        decisions.add(latest)
        return view()

    try:
        if as_json:
            while True:
                output.print_json(compose(latest), one_line=True)
                time.sleep(INTERVAL_S)
                latest = take(server_manager, scaler, latest.cluster)
        elif not sys.stdout.isatty():
            console.print(view())
            while True:
                time.sleep(INTERVAL_S)
                console.print(look())
        else:
            _watch_screen(first)
    except KeyboardInterrupt:
        return


def _watch_screen(first: Snapshot) -> None:
    """The whole terminal, until q or Ctrl-C."""
    from functools import partial

    from clusterops.cli import watch_view
    from clusterops.cli.screen import Screen
    from clusterops.cli.watch_feed import Feeds
    from clusterops.cli.watch_state import WatchState

    state = WatchState(first.cluster, first.servers)
    if first.scaler is not None:
        state.apply("status", first.scaler, time.time())
    with Feeds(first.cluster) as feeds, Screen() as screen:
        drawn_at = 0.0
        while screen.key(REDRAW_S) not in screen.ENDS:
            news = list(feeds.messages())
            for name, data in news:
                state.apply(name, data, time.time())
            # Drawing costs more than anything else here.
            if news or time.monotonic() - drawn_at >= INTERVAL_S:
                drawn_at = time.monotonic()
                screen.show(partial(watch_view.at_size, state, time.time()))


def _with_note(view: Group, note: str) -> Group:
    from rich.console import Group
    from rich.text import Text

    return Group(view, "", Text(note, style="red"))


def render(snapshot: Snapshot, decisions: Decisions | None = None, *, width: int = 80) -> Group:
    """The view for people, for a terminal of ``width`` columns."""
    from rich.console import Group
    from rich.text import Text

    document = compose(snapshot)
    head = Text.assemble((str(document["name"]), "bold"), f"  {document['provider']}")
    facts = [(title, Text(words)) for title, words in _facts(snapshot, document)]
    parts: list[RenderableType] = [head, "", _nodes(snapshot, document, width), "", _pairs(facts)]
    if decisions is not None:
        told = [
            (f"  {output.ago(each.get('at'))}", Text(_decision_words(each))) for each in decisions
        ]
        parts += ["", Text("Last decisions", style="bold"), _pairs(told)]
        parts += ["", Text("q ends", style="dim")]
    return Group(*parts)


def _nodes(snapshot: Snapshot, document: dict[str, Any], width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    agents = agents_by_name(snapshot.scaler or {})
    pool = {entry.get("name"): entry for entry in document["load_balancer"]["upstreams"]}
    rows: list[tuple[dict[str, Any], str, str, str, str]] = []
    for node in document["nodes"]:
        agent = agents.get(str(node["name"]), {})
        entry = pool.get(node["name"], {})
        flight = entry.get("in_flight", agent.get("in_flight"))
        rows.append(
            (
                node,
                str(node["name"]),
                state_word(node, agent, entry),
                "-" if flight is None else str(flight),
                str(node["address"] or "-"),
            )
        )
    titles = ("Node", "State", "In flight", "Address")
    # A column is as wide as its longest text; two spaces stand between columns, and the two
    # bars share what is left beside their numbers ("100 %" and a space each).
    texts = [max([len(row[at + 1]) for row in rows] + [len(titles[at])]) for at in range(4)]
    cells = min((width - sum(texts) - 5 * 2 - 2 * 6) // 2, _BAR_MOST)
    cells = cells if cells >= _BAR_LEAST else 0

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("Node", "State", "CPU", "Memory", "In flight", "Address"):
        right = title == "In flight" or (not cells and title in ("CPU", "Memory"))
        table.add_column(title, no_wrap=True, justify="right" if right else "left")
    for node, name, state, flight, address in rows:
        table.add_row(
            Text(name),
            Text(state, style=STATE_STYLE.get(state, "yellow")),
            Text(output.bar(node["cpu_percent"], cells)),
            Text(output.bar(node["memory_percent"], cells)),
            Text(flight),
            Text(address),
        )
    return table


def _pairs(rows: list[tuple[str, Text]]) -> Table:
    """Titles and texts in two columns: a long text goes on below its own beginning."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for title, text in rows:
        grid.add_row(Text(title), text)
    return grid


def state_word(node: dict[str, Any], agent: dict[str, Any], entry: dict[str, Any]) -> str:
    """One word for a node: what its machine does or, while that runs, its part in the traffic."""
    state = str(node["state"])
    if node["role"] != "agent" or state != "running":
        return state
    if entry.get("state") == "draining":
        return "draining"
    if agent.get("healthy") is False and (node["in_service"] or agent.get("ready") is False):
        return "unhealthy"
    return "in service" if node["in_service"] else "running"


def _facts(snapshot: Snapshot, document: dict[str, Any]) -> list[tuple[str, str]]:
    config = snapshot.cluster.get("config") or {}
    scaler = document["scaler"]
    facts: list[tuple[str, str]] = []
    if snapshot.scaler is None:
        facts.append(("Scaler", f"unreachable: {snapshot.scaler_error}"))
    else:
        desired = "?" if scaler["desired"] is None else scaler["desired"]
        facts.append(
            ("Scaler", f"{scaler['mode']}, {desired} wanted ({scaler['min']} to {scaler['max']})")
        )
        decision = scaler["last_decision"]
        words = f"{output.ago(decision['at'])}: {_decision_words(decision)}" if decision else ""
        facts.append(("Decision", words or "none yet"))
        action = snapshot.scaler.get("action")
        if isinstance(action, dict):
            facts.append(("Doing", action_words(action)))
        for alarm in snapshot.scaler.get("alarms") or []:
            text = alarm.get("message", alarm) if isinstance(alarm, dict) else alarm
            facts.append(("Alarm", str(text)))
    application = document["application"]
    if application["name"]:
        health = {True: "healthy", False: "NOT healthy"}.get(application["healthy"], "unknown")
        release = application["release"] or "no release"
        facts.append(("Application", f"{application['name']} {release}, {health}"))
    facts.append(("Load balancer", str(document["load_balancer"]["url"])))
    facts.append(("Dashboard", clients.host_url(config, "port_dashboard", 9000)))
    facts.append(("Prometheus", clients.host_url(config, "port_prometheus", 9090)))
    facts += [("Alert", text) for text in snapshot.alerts]
    return facts


def _decision_words(decision: dict[str, Any]) -> str:
    action = str(decision.get("action") or "none")
    words = "no change" if action == "none" else action.replace("_", " ")
    return f"{words}: {decision.get('reason') or 'no reason'}"


def action_words(action: dict[str, Any]) -> str:
    """What the scaler is doing at this moment: ``scale up agent-2: waiting for ssh (8 s)``."""
    kind = str(action.get("kind") or "action").replace("_", " ")
    words = f"{kind} {action.get('agent') or ''}".strip()
    if action.get("step"):
        words += f": {_ROLE.sub(lambda found: f'{found[1]}: ', str(action['step']))}"
    started = output.timestamp(action.get("started_at"))
    return words if started is None else f"{words} ({max(time.time() - started, 0):.0f} s)"
