# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads nginx's configuration with Lua in it, and writes the same without what is dynamic.

So the static rival has the role's own settings, whatever they become.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\$\{|\\.|[^\s;{}"'])"""
    r"""(?:\$\{\w+\}|\\.|[^\s;{}])*)|(?P<mark>[;{}])""",
    re.DOTALL,
)
_LUA = re.compile(
    r"""--\[(=*)\[.*?\]\1\]|--[^\n]*|\[(=*)\[.*?\]\2\]|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"""
    r"""|(?P<brace>[{}])|.""",
    re.DOTALL,
)


@dataclass
class Directive:
    """One directive; ``block`` is None for a simple one."""

    words: list[str]
    block: list[Directive] | None = None

    @property
    def name(self) -> str:
        return self.words[0]

    def find(self, name: str) -> list[Directive]:
        """The directives of this name right within this one."""
        return [inner for inner in self.block or [] if inner.name == name]


@dataclass
class Static:
    """What takes the place of the pool and of the node's own things.

    Without ``servers`` they are in the file servers.conf of ``folder``.
    """

    servers: list[str]
    port: int
    folder: str
    method: str = "least_conn"
    keepalive: list[str] = field(default_factory=list)


def parse(text: str) -> list[Directive]:
    """The directives of a configuration; ValueError when it is not one."""
    directives, end = _parse(text, 0)
    if end != len(text):
        raise ValueError(f"'}}' too many at character {end}")
    return directives


def _parse(text: str, at: int) -> tuple[list[Directive], int]:
    directives: list[Directive] = []
    words: list[str] = []
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"not understood at character {at}: {text[at : at + 40]!r}")
        at = match.end()
        if match["text"]:
            words.append(match["text"])
        elif match["mark"] == ";":
            directives.append(Directive(words))
            words = []
        elif match["mark"] == "{":
            block: list[Directive] = []
            if words[0].endswith("_by_lua_block"):
                at = _end_of_lua(text, at)
            else:
                block, at = _parse(text, at)
                if text[at : at + 1] != "}":
                    raise ValueError(f"the block of {words[0]} does not end")
                at += 1
            directives.append(Directive(words, block))
            words = []
        elif match["mark"] == "}":
            return directives, match.start()
    return directives, at


def _end_of_lua(text: str, at: int) -> int:
    depth = 1
    for match in _LUA.finditer(text, at):
        if match["brace"]:
            depth += 1 if match["brace"] == "{" else -1
            if depth == 0:
                return match.end()
    raise ValueError(f"the Lua block at character {at} does not end")


def render(directives: Iterable[Directive], depth: int = 0) -> str:
    """The configuration as text."""
    lines = []
    for directive in directives:
        start = "    " * depth + " ".join(directive.words)
        if directive.block is None:
            lines.append(f"{start};\n")
        else:
            lines.append(f"{start} {{\n{render(directive.block, depth + 1)}{'    ' * depth}}}\n")
    return "".join(lines)


def static(text: str, instead: Static) -> str:
    """The same load balancer with a fixed upstream block and without Lua."""
    kept = []
    for directive in parse(text):
        if directive.name == "http":
            kept.append(Directive(["http"], _http(directive.block or [], instead)))
        elif directive.name == "pid":
            kept.append(Directive(["pid", f"{instead.folder}/nginx.pid"]))
        elif directive.name == "error_log":
            kept.append(Directive(["error_log", f"{instead.folder}/error.log", "warn"]))
        else:
            kept.append(directive)
    return render(kept)


def _http(block: list[Directive], instead: Static) -> list[Directive]:
    pools = {d.words[1] for d in block if d.name == "upstream" and _has_lua(d, "balancer_by_lua")}
    serving = next(
        server for server in block if server.name == "server" and _passes_to(server, pools)
    )
    kept = []
    for directive in block:
        if directive.name == "server":
            if directive is serving:
                kept.append(_server(directive, instead))
        elif directive.name == "upstream":
            if directive.words[1] in pools:
                kept.append(_upstream(directive.words[1], instead))
        elif "lua" not in directive.name:
            kept.append(directive)
    return kept


def _has_lua(directive: Directive, kind: str = "_by_lua") -> bool:
    return any(kind in inner.name or _has_lua(inner, kind) for inner in directive.block or [])


def _passes_to(directive: Directive, pools: set[str]) -> bool:
    return any(
        (inner.name == "proxy_pass" and any(inner.words[1].endswith(f"//{p}") for p in pools))
        or _passes_to(inner, pools)
        for inner in directive.block or []
    )


def _upstream(name: str, instead: Static) -> Directive:
    words = [[instead.method]] if instead.method else []
    words += [["server", server] for server in instead.servers]
    if not instead.servers:
        words.append(["include", f"{instead.folder}/servers.conf"])
    words += [setting.split() for setting in instead.keepalive]
    return Directive(["upstream", name], [Directive(line) for line in words])


def _server(server: Directive, instead: Static) -> Directive:
    answers = {
        location.words[-1]
        for location in server.find("location")
        if any("content_by_lua" in inner.name for inner in location.block or [])
    }
    options = [word for word in server.find("listen")[0].words[2:] if word != "default_server"]
    kept = [Directive(["listen", f"127.0.0.1:{instead.port}", *options])]
    for directive in _plain(server.block or [], answers, instead):
        gone = directive.name == "listen" or (
            directive.name == "location" and directive.words[-1] in answers
        )
        if not gone:
            kept.append(directive)
    return Directive(["server"], kept)


def _plain(block: list[Directive], answers: set[str], instead: Static) -> list[Directive]:
    """Without Lua, and without pages that Lua would write."""
    kept = []
    for directive in block:
        lua = "_by_lua" in directive.name or directive.name.startswith("lua_")
        if lua or (directive.name == "error_page" and directive.words[-1] in answers):
            continue
        if directive.name == "access_log" and directive.words[1] != "off":
            words = ["access_log", f"{instead.folder}/access.log", *directive.words[2:]]
            kept.append(Directive(words))
        elif directive.block is not None:
            kept.append(Directive(directive.words, _plain(directive.block, answers, instead)))
        elif directive.name == "add_header" and "$lb_agent" in directive.words:
            # As many bytes of who answered.
            words = [w.replace("$lb_agent", "$upstream_addr") for w in directive.words]
            kept.append(Directive(words))
        else:
            kept.append(directive)
    return kept
