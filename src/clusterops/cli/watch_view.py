# SPDX-License-Identifier: GPL-3.0-or-later
"""`status --watch` on a whole terminal, whatever its size. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clusterops.cli import output, watch_curves
from clusterops.cli.snapshot import agents_by_name, compose
from clusterops.cli.status import STATE_STYLE, action_words, state_word
from clusterops.cli.watch_curves import CURVES, SPAN_S, highest, number, spark
from clusterops.cli.watch_state import Decision, WatchState

if TYPE_CHECKING:
    from rich.console import ConsoleDimensions, Group, RenderableType
    from rich.text import Text

Json = dict[str, Any]

#: From this size on, curves are charts of several lines instead of one.
CHARTS_WIDTH, CHARTS_HEIGHT = 100, 34
#: Below it there are no curves at all.
CURVES_HEIGHT = 18
_MODES = {"auto": ("automatic", "green"), "held": ("held", "yellow"), "paused": ("paused", "red"),
          "unreachable": ("unreachable", "bold red")}  # fmt: skip
#: What an agent does while the scaler does something with it.
_MOVES = {"scale_up": "joining", "scale_down": "leaving", "prepare": "preparing"}
_NODES_LEAST, _DECISIONS_LEAST = 3, 2


def render(state: WatchState, now: float, width: int, height: int) -> Group:
    """Exactly what fits on the screen."""
    from rich.console import Group
    from rich.text import Text

    document = compose(state.snapshot())
    parts: list[RenderableType] = [_head(state, document, now, width)]
    if state.stopped:
        parts += ["", Text("The cluster is not running", style="bold red reverse"),
                  Text(state.stopped, style="red"),
                  Text("./playground up starts it; this view goes on by itself."), "",
                  _foot(state)]  # fmt: skip
        return Group(*parts)
    facts = _facts(state, document, now)[: max(height // 6, 1)]
    charts = width >= CHARTS_WIDTH and height >= CHARTS_HEIGHT
    chart_rows = min(max((height - 28) // 3, 4), 8) if charts else 0
    curves = charts or height >= CURVES_HEIGHT
    traffic = 3 * (chart_rows + 2) if charts else (len(CURVES) + 1) * curves
    # The rest is shared by nodes, decisions and alerts.
    left = height - 1 - len(facts) - 1 - traffic - 1 - 1
    alerts = _alerts(state, max(min(4, left - _NODES_LEAST - _DECISIONS_LEAST - 3), 1))
    left -= len(alerts)
    nodes = min(len(document["nodes"]), max(left - _DECISIONS_LEAST - 3, _NODES_LEAST))
    parts += [*facts, "", _nodes(state, document, now, width, nodes)]
    decisions = left - min(nodes, len(document["nodes"])) - 2
    if curves:
        parts += (
            watch_curves.charts(state, now, width, chart_rows)
            if charts
            else ["", watch_curves.lines(state, now, width)]
        )
    parts += [*alerts, *_decisions(state, now, width, max(decisions, 1)), _foot(state)]
    return Group(*parts)


def at_size(state: WatchState, now: float, size: ConsoleDimensions) -> Group:
    """The view for a size of the terminal."""
    return render(state, now, size.width, size.height)


def _head(state: WatchState, document: Json, now: float, width: int) -> Text:
    from rich.text import Text

    scaler = document["scaler"]
    mode, colour = _MODES.get(str(scaler["mode"]), (str(scaler["mode"]), "yellow"))
    serving = sum(bool(node["in_service"]) for node in document["nodes"])
    wanted = "?" if scaler["desired"] is None else scaler["desired"]
    head = Text.assemble((f" {document['name']} ", "bold reverse"), f" {document['provider']}  ")
    if not state.stopped:
        head.append(mode, style=colour)
        head.append(f"  {serving} in service, {wanted} wanted ({scaler['min']} to {scaler['max']})")
    clock = f"{_clock(now)}"
    head.truncate(max(width - len(clock) - 1, 1), overflow="ellipsis")
    head.append(" " * max(width - head.cell_len - len(clock), 1))
    head.append(clock, style="dim")
    return head


def _facts(state: WatchState, document: Json, now: float) -> list[Text]:
    """Lines below the head: what runs, what goes on, what is wrong."""
    from rich.text import Text

    application, status = document["application"], state.status or {}
    lines = []
    if state.scaler_lost:
        lines.append(Text(f"Scaler unreachable: {state.scaler_lost}", style="bold red"))
    elif application["name"]:
        health = application["healthy"]
        line = Text(f"{application['name']} {application['release'] or 'no release'} ")
        line.append("healthy" if health else "NOT healthy", style="green" if health else "bold red")
        line.append(f"   {document['load_balancer']['url']}", style="dim")
        lines.append(line)
    if not state.scaler_lost:
        for action in status.get("actions") or []:
            lines.append(Text(f"▶ {action_words(action)}", style="cyan"))
        waits = _waits(status, now)
        if waits:
            lines.append(Text(waits, style="yellow"))
        for alarm in status.get("alarms") or []:
            lines.append(Text(f"! {alarm}", style="bold red"))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines


def _waits(status: Json, now: float) -> str:
    """What keeps the scaler from acting, and for how long."""
    found = []
    for key, words in (
        ("hold", "held by '{holder}'"), ("floor", "{agents} asked for by hand"),
    ):  # fmt: skip
        entry = status.get(key)
        if isinstance(entry, dict):
            end = output.timestamp(entry.get("expires_at") or entry.get("ends_at"))
            left = f" for {end - now:.0f} s more" if end and end > now else ""
            found.append(words.format(**entry) + left)
    cooldown = output.timestamp(status.get("cooldown_ends_at"))
    if cooldown and cooldown > now:
        found.append(f"cooldown for {cooldown - now:.0f} s more")
    return "; ".join(found)


def _nodes(state: WatchState, document: Json, now: float, width: int, most: int) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    agents = agents_by_name(state.status or {}) if not state.scaler_lost else {}
    pool = {entry.get("name"): entry for entry in document["load_balancer"]["upstreams"]}
    rows = sorted(document["nodes"], key=lambda node: _rank(node, state))
    shown = rows if len(rows) <= most else rows[: most - 1]
    traffic = (state.traffic or {}).get("agents") or {}
    moves = {str(action.get("agent")): _MOVES.get(str(action.get("kind")), "")
             for action in (state.status or {}).get("actions") or []}  # fmt: skip
    lines = []
    for node in shown:
        name = str(node["name"])
        agent, entry, figures = agents.get(name, {}), pool.get(name, {}), traffic.get(name) or {}
        flight = figures.get("in_flight", entry.get("in_flight", agent.get("in_flight")))
        rate = number(figures.get("requests_per_s"))
        word = moves.get(name) or state_word(node, agent, entry)
        lines.append((node, name, word, number(flight), rate))
    titles = ("Node", "State", "In flight", "Req/s")
    texts = [
        max([len(line[place + 1]) for line in lines] + [len(title)])
        for place, title in enumerate(titles)
    ]
    cells, curves = widths(width, sum(texts))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("Node", "State", "CPU", "Memory", "In flight", "Req/s"):
        right = title in titles[2:] or (not cells and title not in titles)
        table.add_column(title, no_wrap=True, justify="right" if right else "left")
    if curves:
        minutes = f"last {SPAN_S / 60:.0f} min"
        table.add_column(f"CPU, {minutes}", no_wrap=True, width=curves)
        table.add_column(f"Req/s, {minutes}", no_wrap=True, width=curves)
    top = max((highest(points, now) for points in state.agent_rate.values()), default=0.0)
    for node, name, word, flight, rate in lines:
        row = [
            Text(name),
            Text(word, style=STATE_STYLE.get(word, "yellow")),
            Text(output.bar(node["cpu_percent"], cells), style=_heat(node["cpu_percent"])),
            Text(output.bar(node["memory_percent"], cells), style=_heat(node["memory_percent"])),
            Text(flight),
            Text(rate),
        ]
        if curves:
            row.append(spark(state.agent_cpu.get(name, ()), now, curves, 100.0, "green"))
            row.append(spark(state.agent_rate.get(name, ()), now, curves, top, "cyan"))
        table.add_row(*row)
    if len(rows) > len(shown):
        return Group(table, Text(f"… {len(rows) - len(shown)} more", style="dim"))
    return Group(table)


def widths(width: int, texts: int) -> tuple[int, int]:
    """Cells of a bar and of a curve, for two of each beside so many columns of text.

    Two blanks stand between columns; a bar has its number ("100 %" and a blank) beside it.
    """
    room = width - texts - 5 * 2 - 2 * 6
    curves = min((room - 2 * 8) // 2 - 2, 40)
    curves = curves if curves >= 12 else 0
    bars = min((room - (curves + 2) * 2 * bool(curves)) // 2, 16)
    return (bars if bars >= 3 else 0), curves


def _rank(node: Json, state: WatchState) -> tuple[int, int]:
    """The control node, then agents in service, then those that run; otherwise as they come."""
    group = 0 if node["role"] == "control" else 1 if node["in_service"] else 2
    if group == 2 and node["state"] in ("stopped", "absent"):
        group = 3
    return group, [server.get("name") for server in state.servers].index(node["name"])


def _heat(percent: float | None) -> str:
    if percent is None:
        return "dim"
    return "red" if percent >= 85 else "yellow" if percent >= 65 else ""


def _alerts(state: WatchState, most: int) -> list[Text]:
    from rich.text import Text

    if not state.alerts:
        return []
    firing = sorted(state.alerts, key=lambda alert: (alert["state"] != "firing", alert["name"]))
    lines = []
    for alert in firing[:most]:
        style = "bold red" if alert["state"] == "firing" else "yellow"
        line = Text(f"Alert {alert['name']} {alert['state']}", style=style)
        line.append(f"  {alert['words']}", style="not bold")
        line.no_wrap, line.overflow = True, "ellipsis"
        lines.append(line)
    return lines


def _decisions(state: WatchState, now: float, width: int, most: int) -> list[Text]:
    """What the scaler decided and did, newest first, as many lines as there is room for."""
    from rich.text import Text

    told: list[tuple[float, Text]] = [
        (each.last_at, _decision(each, now)) for each in state.decisions
    ]
    for event in state.events:
        # A decision is there already, with its guard.
        if event.get("kind") != "decision":
            told.append((event["at"], _event(event)))
    told.sort(key=lambda pair: -pair[0])
    lines = [Text("Decisions and events", style="bold")]
    if not told:
        lines.append(Text("none yet", style="dim"))
    for at, words in told:
        line = Text.assemble((f"{_clock(at)}  ", "dim"), words)
        lines += list(_folded(line, width))
    return lines[: most + 1]


def _folded(line: Text, width: int) -> list[Text]:
    """A line, or two: what is longer goes on below its own beginning, and is cut there."""
    if line.cell_len <= width:
        return [line]
    indent = 10
    cut = line.plain.rfind(" ", 0, width)
    cut = cut if cut > indent else width
    first, rest = line[:cut], line[cut + 1 :]
    rest.pad_left(indent)
    rest.truncate(width, overflow="ellipsis")
    return [first, rest]


def _decision(decision: Decision, now: float) -> Text:
    from rich.text import Text

    if decision.direction == "none":
        text = Text(f"no change: {decision.words}")
        if decision.times > 1 and decision.last_at - decision.first_at >= 1:
            text.append(f" (since {_clock(decision.first_at)})", style="dim")
    else:
        text = Text(f"scale {decision.direction} {decision.words}", style="bold cyan")
    if decision.guard:
        text.append(f" [guard: {decision.guard}]", style="yellow")
    return text


def _event(event: Json) -> Text:
    from rich.text import Text

    kind, agent = str(event.get("kind")), str(event.get("agent") or "")
    style = {"failed": "red", "alarm": "bold red", "ejected": "red", "finished": "green"}.get(kind)
    text = Text(f"{kind.replace('_', ' ')} {agent}".strip(), style=style or "")
    text.append(f": {event.get('message')}")
    return text


def _foot(state: WatchState) -> Text:
    from rich.text import Text

    how = "told by the scaler as it happens" if state.live else "asked each second"
    return Text.assemble(("q", "bold"), (f" ends   {how}", "dim"))


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%H:%M:%S}"
