# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground status``."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clusterops.cli import clients, output
from clusterops.cli.snapshot import Snapshot, agents_by_name, compose, take
from clusterops.errors import ClusterOpsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Group, RenderableType

    from clusterops.cli.clients import ScalerClient, ServerManagerClient

INTERVAL_S = 1.0
_STATE_STYLE = {"running": "green", "stopped": "dim", "error": "red", "paused": "yellow"}


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (a contract).")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again each second.")] = False,
) -> None:
    """Show the nodes, what the scaler does and why, and where to look.

    With --watch, q or Ctrl-C ends it.
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
        output.console().print(render(first))


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
    decisions = Decisions()
    latest = first
    decisions.add(latest)

    def look() -> RenderableType:
        nonlocal latest
        try:
            latest = take(server_manager, scaler, latest.cluster)
        except ClusterOpsError as error:
            return _with_note(render(latest, decisions), f"[red]{error.message}[/red]")
        decisions.add(latest)
        return render(latest, decisions)

    try:
        if as_json:
            while True:
                output.print_json(compose(latest), one_line=True)
                time.sleep(INTERVAL_S)
                latest = take(server_manager, scaler, latest.cluster)
        elif not sys.stdout.isatty():
            console = output.console()
            console.print(render(latest, decisions))
            while True:
                time.sleep(INTERVAL_S)
                console.print(look())
        else:
            from rich.live import Live

            from clusterops.cli.keys import Keys

            with (
                Keys() as keys,
                Live(
                    render(latest, decisions),
                    screen=True,
                    auto_refresh=False,
                    console=output.console(),
                ) as live,
            ):
                while keys.wait(INTERVAL_S) not in ("q", "Q", "\x03", "\x1b"):
                    live.update(look(), refresh=True)
    except KeyboardInterrupt:
        return


def _with_note(view: Group, note: str) -> Group:
    from rich.console import Group

    return Group(view, note)


def render(snapshot: Snapshot, decisions: Decisions | None = None) -> Group:
    """The view for people."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    document = compose(snapshot)
    scaler = snapshot.scaler or {}
    agents = agents_by_name(scaler)
    pool = {entry.get("name"): entry for entry in document["load_balancer"]["upstreams"]}

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("Node", "State", "Traffic", "CPU", "Memory"):
        table.add_column(column, no_wrap=True)
    table.add_column("In flight", justify="right", no_wrap=True)
    table.add_column("Address", no_wrap=True)
    for node in document["nodes"]:
        style = _STATE_STYLE.get(str(node["state"]), "yellow")
        entry = pool.get(node["name"], {})
        flight = entry.get("in_flight", agents.get(str(node["name"]), {}).get("in_flight"))
        table.add_row(
            escape(str(node["name"])),
            f"[{style}]{escape(str(node['state']))}[/{style}]",
            _traffic(node, agents.get(str(node["name"])), entry),
            output.bar(node["cpu_percent"]),
            output.bar(node["memory_percent"]),
            "-" if flight is None else str(flight),
            escape(str(node["address"] or "-")),
        )
    lines = [escape(line) for line in _words(snapshot, document)]
    head = f"[bold]{escape(str(document['name']))}[/bold]  {escape(str(document['provider']))}"
    parts: list[RenderableType] = [head, "", table, "", *lines]
    if decisions is not None:
        parts += ["", "[bold]Last decisions[/bold]"]
        parts += [escape(f"  {_decision_words(each)}") for each in decisions]
    return Group(*parts)


def _traffic(node: dict[str, Any], agent: dict[str, Any] | None, entry: dict[str, Any]) -> str:
    if node["role"] != "agent":
        return "-"
    if node["in_service"] is None:
        return "unknown"
    if entry.get("state") == "draining":
        return "[yellow]draining[/yellow]"
    if node["in_service"]:
        return "[green]in service[/green]"
    if node["state"] == "running" and agent and agent.get("healthy") is False:
        return "[red]unhealthy[/red]"
    return "[dim]out[/dim]"


def _words(snapshot: Snapshot, document: dict[str, Any]) -> list[str]:
    config = snapshot.cluster.get("config") or {}
    scaler = document["scaler"]
    lines: list[str] = []
    if snapshot.scaler is None:
        lines.append(f"Scaler         unreachable: {snapshot.scaler_error}")
    else:
        lines.append(
            f"Scaler         {scaler['mode']}, {scaler['desired']} wanted "
            f"({scaler['min']} to {scaler['max']})"
        )
        decision = scaler["last_decision"]
        lines.append(f"Decision       {_decision_words(decision) if decision else 'none yet'}")
        action = snapshot.scaler.get("action")
        if isinstance(action, dict):
            lines.append(f"Doing          {action_words(action)}")
        for alarm in snapshot.scaler.get("alarms") or []:
            text = alarm.get("message", alarm) if isinstance(alarm, dict) else alarm
            lines.append(f"Alarm          {text}")
    application = document["application"]
    if application["name"]:
        health = {True: "healthy", False: "NOT healthy"}.get(application["healthy"], "unknown")
        release = application["release"] or "no release"
        lines.append(f"Application    {application['name']} {release}, {health}")
    lines.append(f"Load balancer  {document['load_balancer']['url']}")
    lines.append(f"Dashboard      {clients.host_url(config, 'port_dashboard', 9000)}")
    lines.append(f"Prometheus     {clients.host_url(config, 'port_prometheus', 9090)}")
    return lines


def _decision_words(decision: dict[str, Any]) -> str:
    action = str(decision.get("action") or "none").replace("_", " ")
    return f"{output.ago(decision.get('at'))}: {action}: {decision.get('reason') or 'no reason'}"


def action_words(action: dict[str, Any]) -> str:
    """What the scaler is doing at this moment: ``scale up agent-2: waiting for ssh (8 s)``."""
    kind = str(action.get("kind") or "action").replace("_", " ")
    words = f"{kind} {action.get('agent') or ''}".strip()
    if action.get("step"):
        words += f": {action['step']}"
    started = output.timestamp(action.get("started_at"))
    return words if started is None else f"{words} ({max(time.time() - started, 0):.0f} s)"
