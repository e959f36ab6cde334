# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, modules and plugins, from their own argument_specs and documentation."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from clusterops.docs.markdown import block, code, of_ansible, table, value

COLLECTION = "clusterops.playground"
KINDS = {"modules": "module", "inventory": "inventory plugin", "lookup": "lookup plugin"}
"""Folders of plugins/ with what people use; the others are shared code."""
Json = Mapping[str, Any]


def roles(root: Path) -> list[str]:
    """Names of the roles."""
    return sorted(path.parent.parent.name for path in root.glob("roles/*/meta/argument_specs.yml"))


def role_page(root: Path, name: str) -> str:
    """What a role does, and its variables."""
    folder = root / "roles" / name
    specs = yaml.safe_load((folder / "meta/argument_specs.yml").read_text("utf-8"))
    readme = (folder / "README.md").read_text("utf-8").strip()
    parts = [readme if readme.startswith("# ") else f"# {name}\n\n{readme}"]
    for point, spec in specs["argument_specs"].items():
        parts.append("\n## Variables" + ("" if point == "main" else f" of `{point}`") + "\n")
        parts.append(of_ansible(spec.get("description")) + "\n")
        rows = list(_options(spec.get("options", {}), ""))
        parts.append(table(["variable", "", "type", "default"], rows) if rows else "None.\n")
    return "\n".join(parts)


def roles_page(root: Path) -> str:
    """The list of roles."""
    rows = []
    for name in roles(root):
        specs = yaml.safe_load((root / "roles" / name / "meta/argument_specs.yml").read_text())
        about = specs["argument_specs"].get("main", {}).get("short_description", "")
        rows.append([f"[{name}]({name}.md)", of_ansible(about)])
    return (
        "# Roles\n\nEach stands alone: its defaults work, wrong values are refused with the name "
        "of the variable, a second run changes nothing, and check mode works.\n\n"
        + table([f"{COLLECTION}.…", ""], rows)
    )


def plugins(root: Path) -> Iterator[tuple[str, Path]]:
    """Kind and file of every module and plugin that people use."""
    for folder, kind in KINDS.items():
        for path in sorted((root / "plugins" / folder).glob("*.py")):
            if not path.name.startswith("_"):
                yield kind, path


def plugins_page(root: Path) -> str:
    """The list of modules and plugins."""
    rows = []
    for kind, path in plugins(root):
        about = documentation(root, path)["DOCUMENTATION"]
        link = f"[{path.stem}]({link_name(kind, path)}.md)"
        rows.append([link, kind, of_ansible(about["short_description"])])
    return (
        "# Modules and plugins\n\nThe same is told by "
        f"`ansible-doc -t module {COLLECTION}.server`.\n\n"
        + table([f"{COLLECTION}.…", "", ""], rows)
    )


def link_name(kind: str, path: Path) -> str:
    """Name of the page of a plugin: a module and an inventory plugin may share a name."""
    return f"{path.stem}_{kind.split()[0]}"


def plugin_page(root: Path, kind: str, path: Path) -> str:
    """Options, return values and examples of one."""
    found = documentation(root, path)
    about = found["DOCUMENTATION"]
    parts = [
        f"# {COLLECTION}.{path.stem} ({kind})\n",
        f"{of_ansible(about['short_description'])}.\n",
        of_ansible(about.get("description")) + "\n",
    ]
    rows = list(_options(about.get("options", {}), ""))
    if rows:
        parts.append("## Options\n\n" + table(["option", "", "type", "default"], rows))
    attributes = about.get("attributes", {})
    if attributes:
        told = [
            [code(name), str(one.get("support", "")), of_ansible(one.get("description"))]
            for name, one in attributes.items()
        ]
        parts.append("## Attributes\n\n" + table(["", "support", ""], told))
    if found.get("EXAMPLES"):
        parts.append("## Examples\n\n" + block(found["EXAMPLES"]))
    returned = list(_options(found.get("RETURN") or {}, "", "contains"))
    if returned:
        parts.append(
            "## Return values\n\n"
            + table(["key", "", "type"], [[name, text, kind] for name, text, kind, _ in returned])
        )
    if about.get("notes"):
        parts.append("## Notes\n\n" + "\n".join(f"- {of_ansible(one)}" for one in about["notes"]))
    return "\n".join(parts) + "\n"


def documentation(root: Path, path: Path) -> dict[str, Any]:
    """DOCUMENTATION, RETURN (as data) and EXAMPLES (as text) of a plugin, fragments included.

    The file is read, not imported: a plugin imports what only Ansible provides.
    """
    texts = _texts(ast.parse(path.read_text("utf-8")).body)
    about = yaml.safe_load(texts["DOCUMENTATION"])
    fragments = about.pop("extends_documentation_fragment", [])
    for fragment in [fragments] if isinstance(fragments, str) else fragments:
        own, _, rest = fragment.removeprefix(f"{COLLECTION}.").partition(".")
        file = root / "plugins/doc_fragments" / f"{own}.py"
        if fragment.startswith(COLLECTION) and file.is_file():
            shared = yaml.safe_load(_fragment(file, (rest or "documentation").upper()))
            for key, more in shared.items():
                mine = about.get(key)
                about[key] = {**more, **(mine or {})} if isinstance(more, dict) else [
                    *(mine or []), *more
                ]  # fmt: skip
    returned = yaml.safe_load(texts.get("RETURN", "")) or {}
    return {"DOCUMENTATION": about, "RETURN": returned, "EXAMPLES": texts.get("EXAMPLES", "")}


def _fragment(file: Path, name: str) -> str:
    [kind] = [
        one for one in ast.parse(file.read_text("utf-8")).body if isinstance(one, ast.ClassDef)
    ]
    return _texts(kind.body)[name]


def _texts(body: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            for target in statement.targets:
                if isinstance(target, ast.Name) and isinstance(statement.value.value, str):
                    found[target.id] = statement.value.value
    return found


def _options(options: Json, before: str, inner: str = "") -> Iterator[list[str]]:
    """A row for each option, those within others below them."""
    for name, about in options.items():
        kind = str(about.get("type", ""))
        if about.get("elements"):
            kind += f" of {about['elements']}"
        text = of_ansible(about.get("description"))
        if about.get("choices"):
            choices = about["choices"]
            text += "<br>One of " + ", ".join(value(one) for one in choices) + "."
        default = "required" if about.get("required") else ""
        if not default and about.get("default") is not None:
            default = value(about["default"])
        yield [code(before + name), text, kind, default]
        within = about.get(inner or "options") or about.get("suboptions") or {}
        yield from _options(within, f"{before}{name}.", inner)
