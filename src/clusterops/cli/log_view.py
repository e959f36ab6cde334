# SPDX-License-Identifier: GPL-3.0-or-later
"""Log entries of several nodes: put in order of time, and as text. Pure."""

from __future__ import annotations

import heapq
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clusterops.on_node.log_sources import LEVELS

if TYPE_CHECKING:
    from rich.text import Text

Json = dict[str, Any]

#: Lines that are held back until older ones of other nodes can no longer come, in seconds.
HOLD_S = 0.4
HELD_MAX = 5000
#: Told apart on light and on dark terminals; the control node has the first one.
COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_red", "bright_cyan",
           "bright_green", "bright_magenta", "bright_yellow", "bright_blue")  # fmt: skip
_LEVEL_STYLES = {"emerg": "bold red", "alert": "bold red", "crit": "bold red", "err": "red",
                 "warning": "yellow", "notice": "bold", "debug": "dim"}  # fmt: skip
_LEVEL_WORDS = {"err": "error", "emerg": "emerg", "warning": "warn"}
#: Programs colour their lines for a terminal that they do not have.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: Fields of structured lines that the line tells already.
_TOLD = {"time", "timestamp", "ts", "level", "severity", "service", "logger", "message", "msg",
         "event", "epoch_s"}  # fmt: skip


class Merger:
    """Puts lines in order of time, while they come."""

    def __init__(self, hold_s: float = HOLD_S) -> None:
        self._hold_s = hold_s
        self._heap: list[tuple[float, int, float, Json]] = []
        self._count = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, entry: Json, now: float) -> None:
        """An entry that came at a time, in seconds of a clock that only goes on."""
        heapq.heappush(self._heap, (entry["at"], next(self._count), now, entry))

    def due(self, now: float) -> Iterator[Json]:
        """Entries, in order, that have waited long enough for older ones."""
        while self._heap and (now - self._heap[0][2] >= self._hold_s or len(self._heap) > HELD_MAX):
            yield heapq.heappop(self._heap)[3]

    def rest(self) -> Iterator[Json]:
        """All that is left, in order."""
        while self._heap:
            yield heapq.heappop(self._heap)[3]


def parse(node: str, text: str) -> Json | None:
    """An entry that a node printed; None for anything else."""
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("at"), int | float):
        return None
    return {**entry, "node": node}


def is_ready(text: str) -> bool:
    """Whether a line says that what follows is new."""
    return text == '{"ready":true}'


def document(entry: Json) -> Json:
    """An entry as ``--json`` prints it."""
    at = datetime.fromtimestamp(entry["at"], UTC).isoformat(timespec="microseconds")
    keys = ("node", "service", "source", "level", "message")
    found: Json = {"at": at.replace("+00:00", "Z"), **{key: entry.get(key) for key in keys}}
    if isinstance(entry.get("fields"), dict):
        found["fields"] = entry["fields"]
    return found


def note(node: str, words: str, at: float, event: str) -> Json:
    """An entry of our own about a node that came or went."""
    return {"at": at, "node": node, "service": "logs", "source": event, "level": "notice",
            "message": words, "note": True}  # fmt: skip


class Colours:
    """A colour for each node, the same for as long as this process runs."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, node: str) -> str:
        if node not in self._known:
            self._known[node] = COLOURS[len(self._known) % len(COLOURS)]
        return self._known[node]


class Formatter:
    """Makes lines for people; columns grow with what they have to hold.

    Args:
        nodes: names that will be shown, as far as they are known.
        with_date: the day stands before the time.
    """

    def __init__(self, nodes: Iterable[str] = (), *, with_date: bool = False) -> None:
        self._colours = Colours()
        self._node_width = self._service_width = 0
        self._with_date = with_date
        for name in nodes:
            self._colours.of(name)
            self._node_width = max(self._node_width, len(name))

    def text(self, entry: Json) -> Text:
        """One line: time, node, service, message."""
        from rich.text import Text

        node, service = str(entry["node"]), str(entry["service"])
        colour = self._colours.of(node)
        self._node_width = max(self._node_width, len(node))
        self._service_width = min(max(self._service_width, len(service)), 16)
        line = Text()
        line.append(f"{self._time(entry['at'])} ", style="dim")
        line.append(f"{node:<{self._node_width}} ", style=colour)
        if entry.get("note"):
            line.append(f"-- {printable(str(entry['message']))} --", style="italic dim")
            return line
        line.append(f"{service:<{self._service_width}} ", style="default")
        level = str(entry.get("level") or "info")
        style = _LEVEL_STYLES.get(level, "")
        if LEVELS.index(level) <= LEVELS.index("warning") and not _says(entry["message"], level):
            line.append(f"{_LEVEL_WORDS.get(level, level)}: ", style=style)
        message, more = words(entry)
        line.append(printable(message), style=style)
        if more:
            line.append(f"  {printable(more)}", style="dim")
        return line

    def _time(self, at: float) -> str:
        moment = datetime.fromtimestamp(at, UTC).astimezone()
        form = "%Y-%m-%d %H:%M:%S" if self._with_date else "%H:%M:%S"
        return f"{moment:{form}}.{moment.microsecond // 1000:03}"


def _says(message: str, level: str) -> bool:
    return _LEVEL_WORDS.get(level, level).lower() in message[:40].lower()


def words(entry: Json) -> tuple[str, str]:
    """The message, and what else a structured line has to say."""
    fields = entry.get("fields")
    if not isinstance(fields, dict):
        return str(entry["message"]), ""
    if "upstream_response_s" in fields:
        return _request(fields)
    more = {key: value for key, value in fields.items() if key not in _TOLD}
    return str(entry["message"]), " ".join(f"{key}={_short(value)}" for key, value in more.items())


def _request(fields: Json) -> tuple[str, str]:
    """A line of the load balancer's access log."""
    seconds = fields.get("duration_s")
    took = f"{seconds * 1000:.0f} ms" if isinstance(seconds, int | float) else "?"
    text = f"{fields.get('method')} {fields.get('uri')} {fields.get('status')} {took}"
    return text, " ".join(str(fields[key]) for key in ("agent", "client") if fields.get(key))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"


def printable(text: str) -> str:
    """A text that does nothing to a terminal but to be shown; tabs become blanks."""
    text = _COLOUR.sub("", text)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if character in "\t\n" else "�"
        for character in text
    )
