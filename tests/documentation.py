# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the documentation: found, checked without running them, and where they are run.

A command stands in a block of the language ``console``. What it names (commands, options, files,
routes) has to exist. EXECUTED_ELSEWHERE says of each command that the end-to-end tests do not run
from here which test does the same, or why none can.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer
import yaml

# Importing these starts a process; unit tests may not, so it happens before they begin.
from ansible.cli.doc import DocCLI
from ansible.cli.galaxy import GalaxyCLI
from ansible.cli.inventory import InventoryCLI
from ansible.cli.playbook import PlaybookCLI

from clusterops.cli import COMMANDS, app
from clusterops.config import ClusterConfig
from clusterops.state import project_root

ROOT = project_root()
CONSOLE = re.compile(r"^( *)```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INNER = re.compile(r"\$\(([^()]*)\)")
FENCE = re.compile(r"^ *```.*?^ *```[^\n]*$", re.MULTILINE | re.DOTALL)

#: Programs of everybody's machine; their arguments are not looked at.
WELL_KNOWN = frozenset(
    {"cp", "env", "export", "git", "jq", "mkdir", "pre-commit", "source", "systemctl", "unset"}
)
#: What a page makes before it uses it.
MADE = re.compile(
    r"^(apps/shop|ticks\.jsonl|mine\.yml|plot\.html|report\.html|.*\.virtualbox\.yml)$"
)
DOCKER = frozenset(
    {"kill", "pause", "unpause", "ps", "info", "system", "builder", "network", "start", "stop"}
)
VAGRANT = {"up": {"--provider"}, "status": set(), "halt": set(), "destroy": {"-f"}, "ssh": set()}
ELSEWHERE_ON_LOOPBACK = {
    "prometheus": re.compile(r"/$|/metrics$|/-/|/alerts$|/api/v1/(query|alerts|targets|rules)"),
    "load_balancer_inside": re.compile(r"/lb/status$"),
}


@dataclass(frozen=True)
class Command:
    """A line of a page, with its continuation lines."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def pages() -> list[Path]:
    """What people read: the site's pages and the READMEs."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    for folder in ("roles/*", "apps/*", "benchmarks", "examples/*"):
        found += ROOT.glob(f"{folder}/README.md")
    return sorted(found)


def commands_of(text: str, page: str) -> list[Command]:
    """The commands of a page's console blocks, without comments."""
    found = []
    for _, block in CONSOLE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"(^|\s)#\s.*$", "", line).strip().removeprefix("$ ")
            if command:
                found.append(Command(page, " ".join(command.split())))
    return found


@cache
def all_commands() -> tuple[Command, ...]:
    """Every command of every page."""
    return tuple(
        command
        for path in pages()
        for command in commands_of(path.read_text("utf-8"), str(path.relative_to(ROOT)))
    )


def problems(text: str) -> list[str]:
    """What is wrong with a command line; it is not run."""
    found = []
    for inner in INNER.findall(text):
        found += problems(inner)
    try:
        parts = _split(INNER.sub("value", text))
    except ValueError as error:
        return [f"{text}: {error}"]
    for words in parts:
        found += [f"{text}: {problem}" for problem in _of_program(words)]
    return found


def _split(text: str) -> list[list[str]]:
    """The simple commands of a pipeline or list, without assignments and redirections."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|;&>")
    lexer.commenters = ""
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    skip = False
    for word in lexer:
        if set(word) <= set("|;&"):
            parts.append([])
        elif set(word) <= set(">"):
            skip = True
        elif skip:
            skip = False
        elif parts[-1] or not re.match(r"[A-Z_]+=", word):
            parts[-1].append(word)
    return [part for part in parts if part]


def _of_program(words: list[str]) -> Iterator[str]:
    program, arguments = words[0], words[1:]
    program = program.removeprefix(".venv/bin/")
    if program == "./playground":
        yield from playground_problems(arguments)
    elif program in ("ansible-playbook", "ansible-inventory", "ansible-doc", "ansible-galaxy"):
        yield from _ansible(program, arguments)
    elif program == "vagrant":
        yield from _vagrant(arguments)
    elif program == "curl":
        yield from _curl(arguments)
    elif program == "docker":
        if not arguments or arguments[0] not in DOCKER:
            yield f"docker has no command {arguments[:1]}"
    elif program == "python":
        yield from _python(arguments)
    elif program in ("mkdocs", "antsibull-changelog", "ansible-vault"):
        if not (ROOT / ".venv/bin" / program).exists():
            yield f"{program} is not in the environment"
    elif program not in WELL_KNOWN:
        yield f"{program} is not a program that the documentation may use"


def playground_problems(arguments: list[str]) -> Iterator[str]:
    """What the command line's own parsers say of arguments."""
    root: Any = typer.main.get_command(app)
    if not arguments or arguments == ["--version"] or arguments[-1] in ("--help", "-h"):
        arguments = arguments[:-1]
        if not arguments:
            return
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        yield f"there is no command {name}"
        return
    parser = root.get_command(None, name)
    inner = getattr(parser, "commands", None)
    if inner is not None:
        if not rest or rest[0] not in inner:
            yield f"{name} has no command {rest[:1]}; it has {', '.join(inner)}"
            return
        parser, rest = inner[rest[0]], rest[1:]
    try:
        parser.make_context(name, list(rest))
    except Exception as error:
        told = getattr(error, "format_message", None)
        yield str(told() if told else error)
    yield from _files(word for word in rest if not word.startswith("-"))


def _files(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        named = re.fullmatch(r"(?:apps|docs|examples|roles|playbooks)/[\w./-]+", word)
        if named and not MADE.match(word) and not (ROOT / word).exists():
            yield f"there is no {word}"


def _ansible(program: str, arguments: list[str]) -> Iterator[str]:
    kinds = {
        "ansible-playbook": PlaybookCLI,
        "ansible-inventory": InventoryCLI,
        "ansible-doc": DocCLI,
        "ansible-galaxy": GalaxyCLI,
    }
    cli = kinds[program]([program, *arguments])
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            cli.init_parser()
            parsed = cli.parser.parse_args(arguments)
    except SystemExit:
        yield said.getvalue().strip().splitlines()[-1]
        return
    if program == "ansible-playbook":
        yield from (
            f"there is no playbook {book}" for book in parsed.args if not (ROOT / book).is_file()
        )
        for given in parsed.extra_vars or []:
            names = re.findall(r"(\w+)=", given)
            yield from (f"there is no variable {name}" for name in names if name not in variables())


@cache
def variables() -> frozenset[str]:
    """What -e may set: keys of cluster.yml and variables of roles and playbooks."""
    names = set(ClusterConfig.model_fields) | {"agent", "machines"}
    for path in ROOT.glob("roles/*/defaults/main.yml"):
        names |= set(yaml.safe_load(path.read_text("utf-8")))
    return frozenset(names)


def _vagrant(arguments: list[str]) -> Iterator[str]:
    if not arguments or arguments[0] not in VAGRANT:
        yield f"vagrant {arguments[:1]}: allowed are {', '.join(VAGRANT)}"
        return
    options = {word.partition("=")[0] for word in arguments[1:] if word.startswith("-")}
    yield from (f"vagrant has no {word}" for word in options - VAGRANT[arguments[0]])


def _python(arguments: list[str]) -> Iterator[str]:
    """``-m MODULE`` of the project, or one of its scripts."""
    if arguments[:1] == ["-m"] and arguments[1].startswith("clusterops"):
        path = ROOT / "src" / Path(*arguments[1].split("."))
        if not (path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()):
            yield f"there is no module {arguments[1]}"
    yield from _files(iter(arguments))
    for word in arguments:
        if word.endswith(".py") and not (ROOT / word).is_file():
            yield f"there is no {word}"


def _curl(arguments: list[str]) -> Iterator[str]:
    method, urls, skip = "GET", [], False
    for place, word in enumerate(arguments):
        if skip:
            skip = False
        elif word in ("-X", "--request"):
            method, skip = arguments[place + 1], True
        elif word in ("-H", "-d", "-o", "-D", "-w", "--data", "--cacert", "--max-time"):
            skip = True
        elif not word.startswith("-"):
            urls.append(word)
    if not urls:
        yield "no address is asked"
    for url in urls:
        if not route_exists(method, url):
            yield f"no API has {method} {url}"


def route_exists(method: str, url: str) -> bool:
    """Whether one of the cluster's own APIs, by its port, has this route."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.hostname not in ("127.0.0.1", "localhost"):
        return False
    # Tutorials and end-to-end tests have clusters whose ports begin ten thousand higher.
    port = (parts.port or 80) % 10_000
    path = parts.path or "/"
    if port == 80:
        return bool(ELSEWHERE_ON_LOOPBACK["load_balancer_inside"].match(path))
    if port == 9090:
        return bool(ELSEWHERE_ON_LOOPBACK["prometheus"].match(path))
    if port in (8080, 8443):
        return _has(_application(), method, path)
    name = {3000: "server_manager", 9000: "scaler", 8081: "load_balancer"}.get(port)
    if 5100 < port < 5200:
        name = "metrics_api"
    return name is not None and _has(routes()[name], method, path)


def _has(known: Mapping[str, set[str]], method: str, path: str) -> bool:
    for template, methods in known.items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method in methods:
            return True
    return path in ("/docs", "/openapi.json", "/") and method == "GET"


@cache
def routes() -> dict[str, dict[str, set[str]]]:
    """API -> path -> methods, of the OpenAPI documents."""
    from clusterops.docs.apis import METHODS, documents

    return {
        name: {
            path: {method.upper() for method in item if method in METHODS}
            for path, item in document["paths"].items()
        }
        for name, document in documents().items()
    }


def _application() -> dict[str, set[str]]:
    """Of the example application; its contract is tests of its own (apps/conformance)."""
    return {
        "/health": {"GET"},
        "/ready": {"GET"},
        "/metrics": {"GET"},
        "/api/v1/fibonacci/calculate/{i}": {"POST"},
        "/api/v1/fibonacci/calculated/{i}": {"GET"},
        "/api/v1/fibonacci/most-requested": {"GET"},
    }


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


#: Command (a pattern) -> the test that does the same; or, after "not: ", why none does.
EXECUTED_ELSEWHERE: dict[str, str] = {
    r"\./playground up": "tests/e2e/test_cluster.py",
    r"\./playground up --provider virtualbox": "tests/e2e/test_virtualbox_cluster.py",
    r"\./playground down": "tests/e2e/test_vagrant.py",
    r"\./playground (deploy|rollback)\b.*": "tests/e2e/test_deploy.py",
    r"\./playground (pause|resume)": "tests/e2e/test_deploy.py",
    r"\./playground scale \d+": "tests/e2e/test_cluster.py",
    r"\./playground app check": "tests/e2e/test_cluster.py",
    r"\./playground (status --watch|top)\b(?!.*--once).*": "tests/e2e/test_seeing.py",
    r"\./playground logs .*--follow.*": "tests/e2e/test_seeing.py",
    r"\./playground report --from .*": "tests/unit/cli/test_report.py",
    r"\./playground ssh [\w-]+": "tests/e2e/test_cluster.py",
    r"\./playground ssh .* -- docker (stop|pause|unpause) .*": "tests/faults/test_faults.py",
    r"\./playground ssh .* -- (rm|systemd-run|uname) .*": "not: it breaks or slows a node",
    r"\./playground test\b.*": "not: it is what runs this",
    r"(PLAYGROUND_DEBUG=1 )?\./playground --version": "tests/unit/cli/test_main.py",
    r"ansible-playbook .*": "tests/e2e/test_shared_with_vagrant.py",
    r"\.venv/bin/ansible-galaxy collection build .*": "tests/integration/release/test_artifacts.py",
    r"\.venv/bin/python -m hatchling build .*": "tests/integration/release/test_artifacts.py",
    r"\.venv/bin/python -m pip install .*": "tests/integration/release/test_third_party.py",
    r"\./playground simulate --policy examples/.*": "tests/integration/release/test_third_party.py",
    r"\.venv/bin/antsibull-changelog lint": "src/clusterops/cli/testing.py",
    r"\.venv/bin/antsibull-changelog release .*": "not: it makes a release",
    r"vagrant .*": "tests/e2e/test_shared_with_vagrant.py",
    r"docker (kill|network disconnect) .*": "tests/faults/test_faults.py",
    r"curl .*-X POST .*/faults": "tests/integration/http_apis/test_jobs.py",
    r"curl .*-X DELETE .*/servers/[\w-]+": "tests/unit/server_manager/test_app.py",
    r"(cp|export|mkdir|source|unset)\b.*": "not: the shell's own",
}


def executed_elsewhere(text: str) -> str | None:
    """Where a command is executed, if not by tests/e2e/test_documentation.py."""
    for pattern, where in EXECUTED_ELSEWHERE.items():
        if re.fullmatch(pattern, text):
            return where
    return None


#: What stands in for a part of a command on the suite's cluster, so that it is quick and leaves
#: nothing in the checkout.
STAND_INS = {
    r"--duration \d+": "--duration 2",
    r"--users \d+": "--users 5",
    r"--rate \d+": "--rate 20",
    r"--path /$": "--path /health",  # the application of the suite has nothing at /
    r"--at 14:05": "--at 1m",
    r"\b(ticks\.jsonl|plot\.html|mine\.yml|report\.html)": r"{folder}/\1",
    r"report --last 30m$": "report --last 30m --output {folder}/again.html",
    r"app new shop": "app new shop --in {folder}",
    r"apps/shop": "{folder}/shop",
    # The suite's ports begin ten thousand higher.
    r"127\.0\.0\.1:(\d{4})\b": r"127.0.0.1:1\1",
}


def to_execute(folder: Path) -> list[str]:
    """The commands that the end-to-end tests run, each once, in the order of the pages.

    Args:
        folder: where files go that a command names.
    """
    found = []
    for command in all_commands():
        if executed_elsewhere(command.text) is None:
            text = command.text
            for pattern, instead in STAND_INS.items():
                text = re.sub(pattern, instead.replace("{folder}", str(folder)), text)
            found.append(text)
    return list(dict.fromkeys(found))
