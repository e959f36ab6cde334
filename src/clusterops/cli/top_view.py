# SPDX-License-Identifier: GPL-3.0-or-later
"""What services and containers use, as tables. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clusterops.cli import output

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

Json = dict[str, Any]

SORTS = ("cpu", "memory", "io", "name")
KEYS = {"c": "cpu", "m": "memory", "i": "io", "n": "name"}
KIND_WIDTH = 70
_HOT, _WARM = 80.0, 50.0


def rows_of(document: Json, sort: str) -> list[tuple[str, Json]]:
    """Node and row of everything, in order."""
    rows = [(str(node["name"]), row) for node in document["nodes"] for row in node["services"]]
    return sorted(rows, key=lambda pair: (*_key(pair[1], sort), pair[1]["name"], pair[0]))


def _key(row: Json, sort: str) -> tuple[float, ...]:
    io = row["read_bytes_per_s"] + row["write_bytes_per_s"]
    if sort == "memory":
        return (-row["memory_bytes"],)
    if sort == "io":
        return (-io, -row["cpu_percent"])
    if sort == "name":
        return ()
    return (-row["cpu_percent"], -row["memory_bytes"])


def render(
    document: Json,
    *,
    sort: str = "cpu",
    width: int = 80,
    height: int | None = None,
    grouped: bool = True,
    note: str = "",
    live: bool = False,
) -> Group:
    """The view for a terminal; with a height, no more than what fits."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    if not document["nodes"]:
        parts.append(Text("Waiting for the nodes …", style="dim"))
    nodes = document["nodes"]
    # Lines that are not services': the table's head, the foot, and what stands above each node.
    room = None if height is None else height - 1 - (2 if live else 0) - (1 if note else 0)
    if grouped:
        parts.append(_by_node(nodes, sort, width, room))
    else:
        left = None if room is None else room - len(nodes) - 1
        if left is None or left > len(nodes) + 4:
            parts += [_bars(nodes, width), Text("")]
        else:
            left = room
        parts.append(_mixed(document, sort, width, left))
    if note:
        parts.append(Text(note, style="red", no_wrap=True, overflow="ellipsis"))
    if live:
        keys = [("c", "cpu"), ("m", "memory"), ("i", "io"), ("n", "name")]
        foot = Text("\nsort by ", style="dim")
        for key, name in keys:
            foot.append(f"{key} ", style="bold")
            foot.append(f"{name}  ", style="reverse" if name == sort else "dim")
        foot.append("g ", style="bold")
        foot.append("mix  " if grouped else "group  ", style="dim")
        foot.append("q ", style="bold")
        foot.append("end", style="dim")
        parts.append(foot)
    return Group(*parts)


def _table(width: int, *, with_node: bool) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", width=width)
    if with_node:
        table.add_column("Node", no_wrap=True)
    table.add_column("Service", no_wrap=True, overflow="ellipsis", ratio=1, min_width=10)
    if width >= KIND_WIDTH:
        table.add_column("Kind", no_wrap=True)
    for title in ("CPU", "Memory", "Read/s", "Write/s"):
        table.add_column(title, no_wrap=True, justify="right")
    if width >= 90:
        table.add_column("Processes", no_wrap=True, justify="right")
    return table


def _cells(row: Json, width: int) -> list[Text]:
    from rich.text import Text

    cpu = row["cpu_percent"]
    idle = cpu < 0.05 and not row["read_bytes_per_s"] and not row["write_bytes_per_s"]
    cells = [
        Text(str(row["name"])),
        Text(f"{cpu:.1f} %", style=_heat(cpu)),
        Text(size(row["memory_bytes"])),
        Text(size(row["read_bytes_per_s"])),
        Text(size(row["write_bytes_per_s"])),
    ]
    if width >= KIND_WIDTH:
        kind = str(row["kind"])
        cells.insert(1, Text(kind, style="cyan" if kind == "container" else "dim"))
    if width >= 90:
        cells.append(Text(str(row["processes"])))
    if idle:
        for cell in cells:
            cell.stylize("dim")
    return cells


def _heat(percent: float) -> str:
    return "bold red" if percent >= _HOT else "yellow" if percent >= _WARM else ""


def _by_node(nodes: list[Json], sort: str, width: int, room: int | None) -> Table:
    from rich.text import Text

    table = _table(width, with_node=False)
    counts = shares([len(node["services"]) for node in nodes], room)
    for node, count in zip(nodes, counts, strict=True):
        rows = [row for _, row in rows_of({"nodes": [node]}, sort)]
        cells = [
            Text(str(node["name"]), style="bold reverse"),
            *([Text("node", style="dim")] if width >= KIND_WIDTH else []),
            Text(f"{node['cpu_percent']:.0f} %", style=f"bold {_heat(node['cpu_percent'])}"),
            Text(size(node["memory_bytes"]), style="bold"),
        ]
        table.add_row(*cells)
        for row in rows[:count]:
            first, *rest = _cells(row, width)
            table.add_row(Text.assemble("  ", first), *rest)
        if len(rows) > count:
            table.add_row(Text(f"  … {len(rows) - count} more", style="dim"))
    return table


def shares(wanted: list[int], room: int | None) -> list[int]:
    """How many rows each node gets of what fits: a line for its own, and one that says "more"."""
    if room is None or sum(wanted) + len(wanted) <= room:
        return wanted
    given = [0] * len(wanted)
    left = room - 2 * len(wanted)
    while left > 0 and any(has < want for has, want in zip(given, wanted, strict=True)):
        for place, want in enumerate(wanted):
            if left > 0 and given[place] < want:
                given[place] += 1
                left -= 1
    return given


def _mixed(document: Json, sort: str, width: int, room: int | None) -> Table:
    from rich.text import Text

    table = _table(width, with_node=True)
    rows = rows_of(document, sort)
    shown = rows if room is None or len(rows) <= room else rows[: max(room - 1, 0)]
    for name, row in shown:
        table.add_row(Text(name), *_cells(row, width))
    if len(rows) > len(shown):
        table.add_row(Text(f"… {len(rows) - len(shown)} more", style="dim"))
    return table


def _bars(nodes: list[Json], width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    cells = max(min((width - 44) // 2, 30), 0)
    for node in nodes:
        memory = node["memory_bytes"] / max(node["memory_total_bytes"], 1) * 100
        grid.add_row(
            Text(str(node["name"]), style="bold"),
            Text(f"CPU {output.bar(node['cpu_percent'], cells)}"),
            Text(f"memory {output.bar(memory, cells)}"),
        )
    return grid


def size(count: float) -> str:
    """Bytes as people write them: ``0``, ``12 K``, ``3.4 M``."""
    if count < 1024:
        return f"{count:.0f}"
    for unit in ("K", "M", "G", "T"):
        count /= 1024
        if count < 1024 or unit == "T":
            return f"{count:.1f} {unit}" if count < 10 else f"{count:.0f} {unit}"
    return ""
