# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form KEY="VALUE" of ``--machinereadable``. Pure: text in, pairs or MalformedOutput out.

Seen with VirtualBox 7.2: most values, and keys in quotes, have \\" and \\\\ in them, and may hold
line breaks. Some are printed as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ._vboxmanage_errors import MalformedOutput
from ._vboxmanage_model import UUID

_PAIR = re.compile(r'(?:"((?:[^"\\]|\\[\s\S])+)"|([A-Za-z][\w()/.-]*))=(.*)')
_ESCAPED = re.compile(r'((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# Texts that VBoxManage prints as they are, and what must follow each of them.
_AS_IS = (
    (re.compile(r"SnapshotName((?:-[0-9]{1,9})*)"), r'"(.*?)"\n(?=SnapshotUUID{0}="{1}"\n)'),
    (
        re.compile(r"SnapshotDescription((?:-[0-9]{1,9})*)"),
        r'"(.*?)"\n(?=(?:SnapshotName(?:-[0-9]{{1,9}})+|CurrentSnapshotName)="|\s*\Z)',
    ),
    (re.compile(r"CurrentSnapshotName()"), r'"(.*?)"\n(?=CurrentSnapshotUUID="{1}"\n)'),
    (
        re.compile(
            r"(?:bridgeadapter|intnet|generic|nat-network|hostonlyadapter|hostonly-network"
            r"|cloud-network|natnet)([0-9]{1,3})"
        ),
        r'"(.*?)"\n(?=macaddress{0}="[0-9A-F]{{12}}"\n)',
    ),
    (
        re.compile(r"Forwarding\(()[0-9]{1,9}\)"),
        r'"(.*?,(?:tcp|udp),[^,\n]*,[0-9]+,[^,\n]*,[0-9]+)"\n',
    ),
    (re.compile(r"uartmode([0-9])"), r'"(.*?)"\n(?=uarttype{0}="[^"\n]*"\n)'),
    (re.compile(r"(VideoMode|lptmode).*"), r"(?!)"),
)
_NEVER_UNFINISHED = ("name", "description", "CfgFile")


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """Keys and values of a machine-readable output, in its order. Raises MalformedOutput."""
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            # Sub-headings (" rec_screen0") and empty lines; nothing that this reads.
            position = _line_end(text, position)
            continue
        quoted, key, value = match.groups()
        key = key or _ESCAPE.sub(r"\1", quoted)
        position = match.end() + 1
        if value.startswith('"'):
            value, position = _value(text, match.start(3), key)
        yield key, value


def _value(text: str, start: int, key: str) -> tuple[str, int]:
    """The value at a quote, and where the next line begins. Raises MalformedOutput."""
    for pattern, form in _AS_IS:
        if match := pattern.fullmatch(key):
            rule = re.compile(form.format(match.group(1), UUID), re.DOTALL)
            found = rule.match(text, start)
            return (found.group(1), found.end()) if found else _quoted(text, start)
    escaped = _escaped(text, start)
    if escaped is None and key in _NEVER_UNFINISHED:
        raise MalformedOutput(f"VBoxManage's output has an unfinished {key}")
    return escaped or _quoted(text, start)


def _escaped(text: str, start: int) -> tuple[str, int] | None:
    r"""A value in which VBoxManage writes \" and \\: it ends at the first bare quote."""
    match = _ESCAPED.match(text, start + 1)
    if match is None or text[match.end() : match.end() + 1] not in ("", "\n"):
        return None
    return _ESCAPE.sub(r"\1", match.group(1)), match.end() + 1


def _quoted(text: str, start: int) -> tuple[str, int]:
    """A value that is not escaped: it ends at a quote before a line that starts a new key."""
    end = start
    while True:
        line_end = _line_end(text, end)
        line = text[end:line_end].removesuffix("\n")
        closed = line.endswith('"') and (end > start or len(line) > 1)
        if closed and (line_end >= len(text) or _starts_key(text, line_end)):
            return text[start + 1 : line_end].removesuffix("\n").removesuffix('"'), line_end
        if line_end >= len(text):
            # Not closed at all (VideoMode="640,480,32"@0,0 1): one line.
            first_end = _line_end(text, start)
            return text[start:first_end].removesuffix("\n"), first_end
        inside = end == start and not closed and '"' in line[1:]
        if inside and _starts_key(text, line_end):
            # A quote inside and more after it, as in VideoMode; never over several lines.
            return line, line_end
        end = line_end


def _starts_key(text: str, position: int) -> bool:
    return text.startswith((" rec_screen", "\n"), position) or bool(_PAIR.match(text, position))


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end + 1
