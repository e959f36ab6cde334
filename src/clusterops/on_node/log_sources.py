# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of logs, whatever wrote them, as entries of one form. Pure, but for `containers`.

An entry is ``{at, service, source, level, message}`` and, for structured lines, ``fields``: ``at``
is Unix seconds, ``level`` a name of syslog's, ``source`` the unit, container or file.
"""

from __future__ import annotations

import calendar
import fnmatch
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

#: Syslog's severities, the worst first; the place is the number in the journal.
LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_ALIASES = {
    "critical": "crit", "fatal": "crit", "panic": "crit", "error": "err", "warn": "warning",
    "log": "info", "trace": "debug",
}  # fmt: skip
#: Units that are better known by what they do.
_SERVICES = {"nginx": "load-balancer", "redis-server": "redis", "docker-registry": "registry"}
_LOGINS = ("ssh", "sshd", "cron")
_WORD = re.compile(
    r"\W{0,2}(?:level=)?\[?(EMERG|ALERT|CRIT|CRITICAL|FATAL|PANIC|ERROR|WARN|WARNING|NOTICE|INFO|"
    r"LOG|DEBUG)\b",
    re.IGNORECASE,
)
_STAMPS = (
    # What the line begins with, and how strptime reads it; times without a zone are the node's.
    (re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)[.,]?(\d*) *(Z|UTC)?"), "%Y-%m-%d %H:%M:%S"),
    (re.compile(r"(\d{4}/\d\d/\d\d) (\d\d:\d\d:\d\d)()()"), "%Y/%m/%d %H:%M:%S"),
    (re.compile(r"\d+:\w (\d+ \w{3} \d{4}) (\d\d:\d\d:\d\d)[.](\d+)()"), "%d %b %Y %H:%M:%S"),
)
#: What Go programs write: time=… level=… msg="…".
_PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
MESSAGE_MAX = 16_384


def severity(level: object) -> int | None:
    """The number of a level's name (0 the worst, 7 the least), or None."""
    name = str(level).lower()
    name = _ALIASES.get(name, name)
    return LEVELS.index(name) if name in LEVELS else None


def service_of(unit: str) -> str:
    """``clusterops-scaler.service`` is known as ``scaler``."""
    name = re.sub(r"\.(service|scope|socket|timer|mount|target|slice)$", "", unit)
    name = name.split("@", 1)[0]
    if name.startswith("clusterops-"):
        name = name[len("clusterops-") :]
    return _SERVICES.get(name, name) or "system"


def from_journal(line: str | bytes) -> tuple[Json, str | None] | None:
    """An entry, and the journal's cursor; None for what is no entry."""
    try:
        record = json.loads(line)
        at = int(record["__REALTIME_TIMESTAMP"]) / 1e6
    except (ValueError, KeyError, TypeError):
        return None
    text = record.get("MESSAGE")
    if isinstance(text, list):  # bytes that are no UTF-8
        text = bytes(text).decode("utf-8", "replace")
    # What the service manager says about a unit belongs to the unit.
    unit = str(record.get("UNIT") or record.get("_SYSTEMD_UNIT") or "")
    name = record.get("SYSLOG_IDENTIFIER") or "kernel"
    own = unit.partition(".")[0]
    if not unit or unit.startswith(("user@", "session-", "init.scope")):
        unit = str(name)
    elif own in _LOGINS and not str(name).startswith((own, "systemd")):
        unit = str(name)  # a program that somebody started there
    number = str(record.get("PRIORITY", ""))
    level = LEVELS[int(number)] if number in tuple("01234567") else "info"
    entry = entry_of(at, service_of(unit), unit, str(text or ""), level)
    return entry, record.get("__CURSOR")


def from_container(line: str, service: str, name: str) -> Json | None:
    """A line of the engine's log file of a container."""
    try:
        record = json.loads(line)
        text, at = str(record["log"]).rstrip("\n"), instant(record["time"])
    except (ValueError, KeyError, TypeError):
        return None
    if at is None:
        return None
    return entry_of(at, service, name, text, "info")


def from_file(line: str, service: str, name: str, before: float) -> Json:
    """A line of a log file; a line without a time of its own has that of the one before."""
    at = None
    if line.startswith("{"):
        try:
            at = float(json.loads(line)["epoch_s"])
        except (ValueError, KeyError, TypeError):
            at = None
    rest = line
    if at is None:
        at, rest = _stamp(line)
    return entry_of(before if at is None else at, service, name, rest, "info")


def entry_of(at: float, service: str, source: str, text: str, level: str) -> Json:
    """The entry of a text. JSON is taken apart; a level that the text begins with is its own."""
    entry: Json = {"at": at, "service": service, "source": source, "level": level}
    message, fields = text[:MESSAGE_MAX], None
    if text.startswith("{") and len(text) <= MESSAGE_MAX:
        try:
            fields = json.loads(text)
        except ValueError:
            fields = None
    elif text.startswith(("time=", "ts=")):
        fields = {key: _unquoted(value) for key, value in _PAIR.findall(text[:MESSAGE_MAX])}
        fields = fields if "msg" in fields else None
    if isinstance(fields, dict):
        for key in ("level", "severity"):
            own = severity(fields.get(key))
            if own is not None:
                entry["level"] = LEVELS[own]
        message = next(
            (str(fields[key]) for key in ("message", "msg", "event") if key in fields), message
        )
        entry["fields"] = fields
    elif level == "info":
        # PostgreSQL says who it is first: "[142] LOG:  …".
        found = _WORD.match(text) or _WORD.match(re.sub(r"^\[?\d+\]? ", "", text))
        own = severity(found[1]) if found else None
        if own is not None:
            entry["level"] = LEVELS[own]
    entry["message"] = message
    return entry


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def instant(text: str) -> float | None:
    """The time that a text begins with, as Unix seconds; None if it begins with none."""
    return _stamp(text)[0]


def _stamp(text: str) -> tuple[float | None, str]:
    """The time that a text begins with, and what follows it."""
    for pattern, form in _STAMPS:
        found = pattern.match(text)
        if not found:
            continue
        day, clock, fraction, zone = found.groups()
        try:
            moment = time.strptime(f"{day} {clock}", form)
        except ValueError:
            continue
        seconds = calendar.timegm(moment) if zone else time.mktime(moment)
        rest = text[found.end() :].lstrip(" ")
        return seconds + (float(f"0.{fraction}") if fraction else 0.0), rest or text
    return None, text


class Limiter:
    """Lets so many entries of a service through in a second; those of a bad level always.

    Args:
        most: entries in a second; 0: all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[tuple[str, int], int] = {}

    def take(self, entry: Json) -> Iterator[Json]:
        """The entry, or nothing; before it what has to be said about those that are left out."""
        yield from self.over(entry["at"])
        if self._most <= 0 or LEVELS.index(entry["level"]) <= LEVELS.index("warning"):
            yield entry
            return
        key = (entry["service"], int(entry["at"]))
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] <= self._most:
            yield entry

    def over(self, now: float) -> Iterator[Json]:
        """What was left out in seconds that are over."""
        for service, second in [key for key in self._seen if key[1] < int(now)]:
            count = self._seen.pop((service, second)) - self._most
            if count > 0:
                yield {
                    "at": second + 0.999999,
                    "service": service,
                    "source": "left out",
                    "level": "notice",
                    "message": f"{count} more lines of {service} in this second",
                    "note": True,
                }


def wanted(query: Json) -> Callable[[Json], bool]:
    """A function that says whether an entry is asked for.

    Args:
        query: ``services`` (shell patterns), ``priority`` (a number: this and worse), ``grep``
            (a regular expression), ``since`` (Unix seconds); each may be missing.
    """
    services = query.get("services") or []
    priority, since = query.get("priority"), query.get("since")
    grep = re.compile(query["grep"], re.IGNORECASE) if query.get("grep") else None

    def matches(entry: Json) -> bool:
        if since is not None and entry["at"] < since:
            return False
        if priority is not None and LEVELS.index(entry["level"]) > priority:
            return False
        if services and not any(_names(entry, pattern) for pattern in services):
            return False
        return grep is None or bool(grep.search(entry["message"]))

    return matches


def _names(entry: Json, pattern: str) -> bool:
    return any(
        fnmatch.fnmatchcase(name, pattern)
        for name in (entry["service"], entry["source"], entry["service"].split("/")[0])
    )


def containers(folder: str | Path) -> dict[str, tuple[str, str]]:
    """Log file -> (service, name) of each container that the engine keeps below a folder."""
    found = {}
    for log in sorted(Path(folder).glob("*/*-json.log")):
        try:
            config = json.loads((log.parent / "config.v2.json").read_text())
            name = str(config["Name"]).lstrip("/")
            labels = config["Config"].get("Labels") or {}
        except (OSError, ValueError, KeyError, AttributeError):
            continue
        found[str(log)] = (f"app/{labels.get('com.docker.compose.service') or name}", name)
    return found
