# SPDX-License-Identifier: GPL-3.0-or-later
"""What every role in roles/ promises to those who use it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterops.images.bake import BAKED_ROLES

ROLES_DIR = Path(__file__).parents[2] / "roles"
ROLES = sorted(path.name for path in ROLES_DIR.iterdir() if path.is_dir())


def _load(role: str, *parts: str) -> dict[str, Any]:
    content = yaml.safe_load(ROLES_DIR.joinpath(role, *parts).read_text(encoding="utf-8"))
    assert isinstance(content, dict), f"roles/{role}/{'/'.join(parts)} is not a mapping"
    return content


def _defaults(role: str) -> dict[str, Any]:
    return _load(role, "defaults", "main.yml")


def _options(role: str) -> dict[str, Any]:
    """The options of all entry points."""
    options: dict[str, Any] = {}
    for entry_point in _load(role, "meta", "argument_specs.yml")["argument_specs"].values():
        options |= entry_point.get("options", {})
    return options


def test_there_are_roles() -> None:
    assert {"base", "container_engine", "datastore", "monitoring", "registry"} <= set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_files_that_every_role_has(role: str) -> None:
    files = ("README.md", "defaults/main.yml", "meta/main.yml", "tasks/main.yml")
    assert [name for name in files if not (ROLES_DIR / role / name).is_file()] == []


@pytest.mark.parametrize("role", ROLES)
def test_the_specification_covers_exactly_the_defaults(role: str) -> None:
    # A required option has no default to be listed in.
    optional = {name for name, option in _options(role).items() if not option.get("required")}
    assert set(_defaults(role)) == optional


@pytest.mark.parametrize("role", ROLES)
def test_every_option_is_described(role: str) -> None:
    options = _options(role)
    assert [name for name, option in options.items() if not option.get("description")] == []
    assert [name for name, option in options.items() if not option.get("type")] == []


@pytest.mark.parametrize("role", ROLES)
def test_the_specification_names_the_same_default_values(role: str) -> None:
    defaults = _defaults(role)
    stated = {
        name: option["default"] for name, option in _options(role).items() if "default" in option
    }
    # A default that is a template differs from its description in words.
    plain = {name: value for name, value in stated.items() if "{{" not in str(defaults[name])}
    assert plain == {name: defaults[name] for name in plain}


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_the_name_of_their_role(role: str) -> None:
    assert [name for name in _options(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_package_lists_are_plain(role: str) -> None:
    """The node image is built from these lists without Ansible: names, no templates."""
    for name, packages in _defaults(role).items():
        if name.endswith("_packages"):
            assert isinstance(packages, list), name
            assert all(isinstance(p, str) and p and "{" not in p for p in packages), name
            assert len(packages) == len(set(packages)), name


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_shows_how_to_use_the_role(role: str) -> None:
    assert f"clusterops.playground.{role}" in (ROLES_DIR / role / "README.md").read_text("utf-8")


def test_the_agents_image_and_the_stamp_on_a_machine_know_the_same_roles() -> None:
    prepared = yaml.safe_load((ROLES_DIR.parent / "playbooks/vars/prepared.yml").read_text())
    named = {part.rpartition("/")[2] for part in prepared["prepared_content"] if "/roles/" in part}
    assert named == set(BAKED_ROLES)


def test_the_stamp_on_a_machine_knows_every_plugin_of_those_roles() -> None:
    plugins = ROLES_DIR.parent / "plugins"
    prepared = yaml.safe_load((ROLES_DIR.parent / "playbooks/vars/prepared.yml").read_text())
    listed = {part.partition("/../")[2] for part in prepared["prepared_content"]}
    roles = "".join(
        path.read_text("utf-8")
        for role in BAKED_ROLES
        for path in (ROLES_DIR / role).rglob("*.yml")
    )
    names = set(re.findall(r"clusterops\.playground\.(\w+)", roles)) - set(ROLES)
    waiting = [path for name in names for path in plugins.glob(f"*/{name}.py")]
    used: set[Path] = set()
    while waiting:
        used.add(path := waiting.pop())
        imported = re.findall(
            r"clusterops\.playground\.plugins\.(\w+)\.(\w+) import", path.read_text("utf-8")
        )
        waiting += {plugins / folder / f"{name}.py" for folder, name in imported} - used
    assert {str(path.relative_to(ROLES_DIR.parent)) for path in used} == {
        name for name in listed if name.startswith("plugins/")
    }


@pytest.mark.parametrize("role", [role for role in ROLES if role != "application"])
def test_a_role_refuses_systems_that_are_not_supported(role: str) -> None:
    """Itself, or by the role that installs its program. An application only wants an engine."""
    files = [
        *(ROLES_DIR / role / "tasks").glob("*.yml"),
        *(ROLES_DIR / role / "vars").glob("*.yml"),
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    refusing = (
        "clusterops.playground.packages:",
        "clusterops.playground.supported_systems",
        "name: clusterops.playground.python_app\n",
    )
    assert any(words in text for words in refusing)


@pytest.mark.parametrize("role", ROLES)
def test_nothing_but_the_module_installs_packages(role: str) -> None:
    """Others need package lists in check mode, and start services that are not configured yet."""
    text = "".join(path.read_text("utf-8") for path in (ROLES_DIR / role).rglob("*.yml"))
    assert "ansible.builtin.apt:" not in text
