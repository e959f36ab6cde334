# SPDX-License-Identifier: GPL-3.0-or-later
"""What the repository as a whole promises."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from clusterops import __version__
from clusterops.config import json_schema
from clusterops.config_file import load_config
from clusterops.state import project_root

ROOT = project_root()
COLLECTION = ROOT / "collections/ansible_collections/clusterops/playground"
LINKS = ("galaxy.yml", "meta", "playbooks", "plugins", "roles")
REQUIREMENTS = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))

# Put together here, so that this file does not contain them either.
FORBIDDEN = [
    ".".join(parts)
    for parts in (
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("ftp", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry-1", "docker", "io"),
        ("index", "docker", "io"),
        ("auth", "docker", "io"),
        ("registry", "npmjs", "org"),
        ("ghcr", "io"),
        ("quay", "io"),
    )
]


def tracked_files(root: Path) -> list[Path]:
    """The files that git knows. This is the only process that these tests start."""
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-files", "-z"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return [root / name for name in listed.stdout.split("\0") if name]


def forbidden_in(path: Path) -> list[str]:
    """Host names that a file contains; a link contains nothing, a deleted file neither."""
    if path.is_symlink() or not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    return [name for name in FORBIDDEN if re.search(rf"(?<![\w.-]){re.escape(name)}\b", text)]


@pytest.mark.parametrize("name", LINKS)
def test_the_collection_is_a_link_to_the_root(name: str) -> None:
    """Some tools replace the links by copies; lint would then pass on stale files."""
    link = COLLECTION / name
    assert link.is_symlink()
    assert link.resolve() == ROOT / name


def test_the_collection_holds_nothing_but_its_links() -> None:
    assert sorted(path.name for path in COLLECTION.iterdir()) == sorted(LINKS)


def test_ansible_reads_the_users_file_itself() -> None:
    link = ROOT / "inventory/group_vars/all.yml"
    assert link.is_symlink()
    assert link.readlink() == Path("../../cluster.yml")


def test_the_schema_is_the_models() -> None:
    found = (ROOT / "cluster.schema.json").read_text(encoding="utf-8")
    assert found == json_schema(), "write it again: clusterops.config.json_schema()"


def test_the_shipped_configuration_is_valid_and_says_the_defaults() -> None:
    config = load_config(ROOT / "cluster.yml")
    assert config == type(config)()


def test_there_are_requirements() -> None:
    assert {"bootstrap.txt", "host.txt", "node.txt"} <= set(REQUIREMENTS)


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_are_pinned_by_hash_and_name_no_address(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    assert not re.search(r"https?:|--(extra-)?index-url|--find-links|--trusted-host", text)
    lines = text.replace("\\\n", " ").splitlines()
    entries = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._\[\]-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.allow_subprocess
def test_no_file_names_a_package_mirror_or_registry() -> None:
    found = {
        str(path.relative_to(ROOT)): names
        for path in tracked_files(ROOT)
        if (names := forbidden_in(path))
    }
    assert found == {}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_the_search_finds_what_it_looks_for(tmp_path: Path, name: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"see https://{name}/simple\n")
    assert forbidden_in(page) == [name]
    page.write_text(f"apt install docker.io; see my-{name} and {name}x\n")
    assert forbidden_in(page) == []


def test_the_licence_is_there() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "Version 3" in text


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert project["version"] == galaxy["version"] == __version__


def test_hooks_before_a_commit_are_local_and_call_what_is_locked() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [entry["repo"] for entry in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert {hook["id"] for hook in hooks} >= {"ruff", "mypy", "yamllint", "ansible-lint"}
    for hook in hooks:
        assert hook["language"] == "system", hook["id"]
        re.compile(hook.get("files", ""))
        programs = re.findall(r"\.venv/bin/([\w-]+)", hook["entry"]) or [hook["id"]]
        assert [name for name in programs if not (ROOT / ".venv/bin" / name).exists()] == []
