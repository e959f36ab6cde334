# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command with its arguments and options, from the parsers themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from clusterops.cli import COMMANDS, PROGRAM, app
from clusterops.docs.markdown import code, table, value

HEAD = f"""\
# Command line

`{PROGRAM} COMMAND`. Exit codes: 0 done, 1 failed, 2 wrong use or a wrong cluster.yml, 3 the cluster
does not run. Errors are one line on stderr, and what to do about it. `-h` of each command says the
same as this page.

"""


def parsers() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and sub-command by its words, with its parser."""
    root: Any = typer.main.get_command(app)
    for name in COMMANDS:
        parser = root.get_command(None, name)
        yield (name,), parser
        for inner in getattr(parser, "commands", {}):
            yield (name, inner), parser.commands[inner]


def page() -> str:
    """The page, grouped as ``--help`` groups the commands."""
    parts = [HEAD]
    panel = ""
    for words, parser in parsers():
        entry = COMMANDS[words[0]]
        if entry.panel != panel:
            panel = entry.panel
            parts.append(f"## {panel}\n")
        parts.append(_command(words, parser))
    return "\n".join(parts)


def _command(words: tuple[str, ...], parser: Any) -> str:
    name = " ".join(words)
    arguments = [one for one in parser.params if one.param_type_name == "argument"]
    options = [one for one in parser.params if one.param_type_name == "option"]
    usage = " ".join(
        [PROGRAM, name, *(["[OPTIONS]"] if options else []), *map(_placeholder, arguments)]
    )
    if hasattr(parser, "commands"):
        usage += " COMMAND"
    lines = [f"{'#' * (2 + len(words))} {name}\n", f"```text\n{usage}\n```\n", f"{parser.help}\n"]
    if arguments:
        rows = [[code(_placeholder(one)), one.help or "", _default(one)] for one in arguments]
        lines.append(table(["argument", "", "default"], rows))
    if options:
        rows = [[_names(one), one.help or "", _default(one)] for one in options]
        lines.append(table(["option", "", "default"], rows))
    return "\n".join(lines)


def _placeholder(argument: Any) -> str:
    shown = str(argument.metavar or argument.name.upper())
    shown += "…" if argument.nargs == -1 and "…" not in shown else ""
    return shown if argument.required or shown.startswith("[") else f"[{shown}]"


def _names(option: Any) -> str:
    names = ", ".join(code(one) for one in [*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    return f"{names} {code(option.metavar or option.name.upper())}"


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default.strip("()")
    if parameter.default is None or parameter.default is False or parameter.required:
        return "required" if parameter.required else ""
    if re.search(r"default", parameter.help or "", re.I):
        return ""
    return value(parameter.default)
