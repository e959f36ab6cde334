# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation says exists: commands, options, routes, files, headings, errors."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from clusterops.cli import COMMANDS
from clusterops.config import ClusterConfig
from clusterops.docs import apis, cli, collection, site
from clusterops.docs.pages import reference
from clusterops.state import project_root
from tests.documentation import (
    EXECUTED_ELSEWHERE,
    all_commands,
    commands_of,
    executed_elsewhere,
    pages,
    problems,
    prose,
    route_exists,
    routes,
    to_execute,
)

ROOT = project_root()
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- commands ---------------------------------------------------------------------------


def test_every_command_exists_with_its_options_and_files() -> None:
    assert len(all_commands()) > 100
    found = [
        f"{each.page}: {problem}" for each in all_commands() for problem in problems(each.text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "./playground fly",
        "./playground load --speed 3",
        "./playground load --duration",
        "./playground token",
        "./playground token burn",
        "./playground deploy apps/missing",
        "./playground status --json | frobnicate",
        "PLAYGROUND_DEBUG=1 ./playground status --jsonn",
        "ansible-playbook missing.yml",
        "ansible-playbook site.yml --chekc",
        "ansible-playbook site.yml -e agents_maxx=3",
        "ansible-inventory --graf",
        "vagrant fly",
        "vagrant up --colour",
        "curl -s http://127.0.0.1:8080/api/v2",
        "curl -s -X DELETE http://127.0.0.1:9000/api/v1/status",
        "curl -s http://127.0.0.1:3000/api/v1/machines",
        "curl -s http://127.0.0.1:1/health",
        "curl -s",
        "docker frobnicate",
        'curl -s -H "Authorization: Bearer $(./playground tokens)" http://127.0.0.1:3000/metrics',
        ".venv/bin/python -m clusterops.missing",
        "./playground status 'unclosed",
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str) -> None:
    assert problems(text) != []


def test_comments_continuations_and_prompts_are_understood() -> None:
    lines = ["$ ./playground status   # look", "# words", "./playground load \\", "  --users 3"]
    text = "\n".join(["```console", *lines, "```", ""])
    found = [command.text for command in commands_of(text, "page")]
    assert found == ["./playground status", "./playground load --users 3"]
    assert commands_of("```yaml\n./playground status\n```\n", "page") == []


@pytest.mark.parametrize("path", pages(), ids=_name)
def test_no_command_hides_in_another_kind_of_block(path: Path) -> None:
    """Where it would not be looked at."""
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```", path.read_text("utf-8"), re.M | re.S)
    assert [
        line
        for language, block in blocks
        if language != "console"
        for line in block.splitlines()
        if re.match(r"\s*(\$ )?(\./playground|ansible-playbook|vagrant|curl) ", line)
    ] == []


@pytest.mark.parametrize("path", pages(), ids=_name)
def test_commands_and_routes_within_sentences_exist(path: Path) -> None:
    wrong = []
    for text in INLINE.findall(prose(path.read_text("utf-8"))):
        if match := re.match(r"\./playground ([a-z]+)\b", text):
            wrong += [text] if match[1] not in COMMANDS else []
        elif match := re.match(r"(GET|POST|PUT|DELETE) (/api/v1/[\w/{}-]+)$", text):
            path_of = re.sub(r"/[A-Z]+(?=/|$)", "/x", match[2])
            urls = (f"http://127.0.0.1:{port}{path_of}" for port in (3000, 9000, 8080, 8081, 9090))
            wrong += [] if any(route_exists(match[1], url) for url in urls) else [text]
    assert wrong == []


# --- that they are executed -------------------------------------------------------------


def test_who_executes_a_command_exists() -> None:
    named = {where for where in EXECUTED_ELSEWHERE.values() if not where.startswith("not: ")}
    assert [where for where in named if not (ROOT / where).is_file()] == []


def test_no_reason_is_left_over() -> None:
    used = {executed_elsewhere(command.text) for command in all_commands()}
    unused = [
        pattern
        for pattern in EXECUTED_ELSEWHERE
        if not any(re.fullmatch(pattern, command.text) for command in all_commands())
    ]
    assert unused == []
    assert None in used, "the end-to-end tests would have nothing to run"


def test_what_is_run_goes_to_the_suites_cluster_and_is_short(tmp_path: Path) -> None:
    run = to_execute(tmp_path)
    assert [text for text in run if re.search(r"127\.0\.0\.1:\d{4}\b", text)] == []
    assert [text for text in run if re.search(r"--duration (?!2\b)", text)] == []
    changing = r"\b(up|down|deploy|rollback|scale \d|pause|resume|kill|rm|DELETE)\b"
    assert [text for text in run if re.search(changing, text)] == []
    writing = [text for text in run if re.search(r"report|record|app new|--plot", text)]
    assert writing and [text for text in writing if str(tmp_path) not in text] == []
    assert len(run) == len(set(run))


# --- links ------------------------------------------------------------------------------


def _slug(heading: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


@cache
def _anchors(path: Path) -> frozenset[str]:
    return frozenset(_slug(heading) for heading in HEADING.findall(path.read_text("utf-8")))


def broken(path: Path, text: str) -> list[str]:
    """Links of a page that lead nowhere."""
    addresses = {f"docs/{address}" for address in made()}
    wrong = []
    for target in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if there.is_relative_to(ROOT) and _name(there) in addresses:
            continue
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            wrong.append(target)
    return wrong


@cache
def made() -> dict[str, str]:
    """The pages of the reference."""
    return reference(ROOT)


@pytest.mark.parametrize("path", pages(), ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken(path, path.read_text("utf-8")) == []


def test_a_broken_link_is_found() -> None:
    path = ROOT / "docs/index.md"
    text = "[a](missing.md) [b](scaling.md#guards) [c](scaling.md#gone) [d](https://x.test) [e](#x)"
    assert broken(path, text) == ["missing.md", "scaling.md#gone", "#x"]


# --- the reference that is made ---------------------------------------------------------


def test_every_command_and_option_has_a_place_in_the_reference() -> None:
    page = cli.page()
    for words, parser in cli.parsers():
        section = page.partition(f" {' '.join(words)}\n\n```text")[2].partition("\n#")[0]
        assert section, words
        for parameter in parser.params:
            if parameter.param_type_name == "option":
                assert all(f"`{name}`" in section for name in parameter.opts), parameter.opts


def test_every_key_of_cluster_yml_is_in_the_reference() -> None:
    page = made()["reference/cluster_yml.md"]
    assert [key for key in ClusterConfig.model_fields if f"| `{key}` | " not in page] == []


def test_every_variable_of_a_role_is_on_its_page() -> None:
    pages_made = made()
    for name in collection.roles(ROOT):
        page = pages_made[f"reference/roles/{name}.md"]
        defaults = yaml.safe_load((ROOT / f"roles/{name}/defaults/main.yml").read_text("utf-8"))
        assert [key for key in defaults if f"| `{key}` | " not in page] == [], name


def test_every_option_of_a_plugin_is_on_its_page() -> None:
    pages_made = made()
    found = list(collection.plugins(ROOT))
    assert len(found) > 10
    for kind, path in found:
        page = pages_made[f"reference/plugins/{collection.link_name(kind, path)}.md"]
        about = collection.documentation(ROOT, path)["DOCUMENTATION"]
        assert [key for key in about.get("options", {}) if f"| `{key}` | " not in page] == []
        assert not re.search(r"\b[CVOB]\([\w-]", page), "marks of Ansible's are left"


def test_options_of_a_shared_fragment_are_among_those_of_its_modules() -> None:
    page = made()["reference/plugins/virtualbox_vm_module.md"]
    assert "| `timeout_s` | " in page and "| `executable` | " in page


def test_every_route_of_an_api_is_in_the_reference() -> None:
    pages_made = made()
    for name, known in routes().items():
        page = pages_made[f"reference/apis/{name}.md"]
        for path, methods in known.items():
            assert [m for m in methods if f"## {m} {path}\n" not in page] == [], path
    assert set(routes()) == set(apis.WHERE)


def test_every_route_and_every_key_says_what_it_is_for() -> None:
    # With an operationId, a summary is made of a function's name.
    silent = [
        f"{name}: {method} {path}"
        for name, document in apis.documents().items()
        for path, item in document["paths"].items()
        for method in set(apis.METHODS) & set(item)
        if not item[method].get(
            "description", "operationId" not in item[method] and item[method].get("summary")
        )
    ]
    assert silent == []
    for page in ("cluster_yml", "app_yml"):
        assert re.findall(r"^\| `[\w.]+` \|  \|.*$", made()[f"reference/{page}.md"], re.M) == []


def test_links_out_of_the_pages_become_paths_and_roles_lead_to_their_pages() -> None:
    change = site.rewritten
    assert change("[code](../src/clusterops/config.py)", "scaling.md") == (
        "code (`src/clusterops/config.py`)"
    )
    assert change("[firewall](../roles/firewall)", "scaling.md") == (
        "[firewall](reference/roles/firewall.md)"
    )
    assert change("[d](defaults/main.yml)", "reference/roles/base.md") == (
        "d (`roles/base/defaults/main.yml`)"
    )
    assert change("[s](../../docs/scaling.md#guards)", "reference/roles/base.md") == (
        "[s](../../scaling.md#guards)"
    )
    same = "[a](scaling.md) [b](https://x.test/) ![c](images/x.png)"
    assert change(same, "index.md") == same
    fenced = "```text\n[x](../src)\n```\n"
    assert change(fenced, "index.md") == fenced


def test_the_site_loads_nothing_from_elsewhere() -> None:
    config = (ROOT / "mkdocs.yml").read_text("utf-8")
    settings = yaml.safe_load(config)
    assert settings["theme"]["font"] is False
    assert settings["plugins"] == ["search"]
    assert not re.search(r"https?:", config)
    for path in (ROOT / "docs/images").glob("*.svg"):
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|<script|<image", text), path.name


# --- errors -----------------------------------------------------------------------------


@cache
def texts_of_the_code() -> str:
    """Every text in the programs; what is put in at run time is an ellipsis."""
    found = []
    for folder in ("src/clusterops", "plugins"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (
                        part.value if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    )
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)


def errors_quoted() -> list[str]:
    """What the first columns of docs/troubleshooting.md quote."""
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    return [m[1] for m in re.finditer(r"^\| `([^`]+)`", page, re.MULTILINE)]


#: Errors of other programs, which their own authors word.
OF_OTHERS = frozenset({"CERTIFICATE_VERIFY_FAILED", "Cannot attach to '…' in driverless mode"})


def test_troubleshooting_quotes_errors_that_exist() -> None:
    quoted = errors_quoted()
    assert len(quoted) > 30
    code = texts_of_the_code()
    unknown = [
        text
        for text in quoted
        if text not in OF_OTHERS
        and not all(part.strip() in code for part in text.split("…") if len(part.strip()) > 3)
    ]
    assert unknown == []


def test_every_finding_of_doctor_is_in_troubleshooting() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    checks = set()
    for name in ("checks.py", "hypervisor_checks.py"):
        source = (ROOT / "src/clusterops/cli" / name).read_text("utf-8")
        checks |= set(re.findall(r'Result\(\s*"([A-Z][\w ]+)"', source))
    assert len(checks) > 10
    assert [check for check in sorted(checks) if f"**{check}**" not in page] == []
