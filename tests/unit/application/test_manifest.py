# SPDX-License-Identifier: GPL-3.0-or-later
"""app.yml: what it may say, and what a user is told when it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterops.application.manifest import (
    load_manifest,
    manifest_schema,
    resolve_environment,
)
from clusterops.errors import UsageError
from clusterops.state import project_root

DATASTORE = {"datastore.postgres_url": "postgresql://db", "datastore.redis_url": "redis://q"}


def complaints(app: Path, text: str) -> list[str]:
    (app / "app.yml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_manifest(app)
    lines = caught.value.message.split("\n")
    assert all(line.startswith(f"{app / 'app.yml'}: ") for line in lines)
    return [line.removeprefix(f"{app / 'app.yml'}: ") for line in lines]


def test_a_name_is_enough(app: Path) -> None:
    (app / "app.yml").write_text("name: shop\n")
    manifest = load_manifest(app)
    assert (manifest.port, manifest.health_path, manifest.ready_path) == (5000, "/health", "/ready")
    assert (manifest.build.context, manifest.build.dockerfile) == (".", "Dockerfile")
    assert manifest.migration_service is None


def test_applications_of_the_repository_are_valid() -> None:
    folders = [path.parent for path in (project_root() / "apps").glob("*/app.yml")]
    assert folders
    for folder in folders:
        assert load_manifest(folder).name == folder.name


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "expected keys such as 'name: fibonacci', found a file without content"),
        ("- a", "expected keys such as 'name: fibonacci', found a list"),
        ("port: 80", "name: is missing"),
        ("name: shop\nports: 80", "ports: unknown key"),
        ("name: shop\nbuild: {target: x}", "build.target: unknown key"),
    ],
)
def test_a_mistake_is_one_line(app: Path, text: str, line: str) -> None:
    assert complaints(app, text) == [line]


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("name: My Shop", "name", "'My Shop'"),
        ("name: shop\nport: 70000", "port", "70000"),
        ("name: shop\nready_path: ready", "ready_path", "'ready'"),
        ("name: shop\nbuild: {context: /etc}", "build.context", "'/etc'"),
        ("name: shop\nbuild: {context: ../..}", "build.context", "'../..'"),
        ("name: shop\nbuild: {dockerfile: a/../../b}", "build.dockerfile", "'a/../../b'"),
        ("name: shop\ncompose_file: ../compose.yml", "compose_file", "'../compose.yml'"),
        ("name: shop\nsource: {path: ~root}", "source.path", "'~root'"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(app: Path, text: str, key: str, found: str) -> None:
    [line] = complaints(app, text)
    assert line.startswith(f"{key}: found {found}; ")


@pytest.mark.parametrize("value", ["datastore.mysql_url", "[1]", "{value: 1}", "5"])
def test_where_a_variable_may_come_from(app: Path, value: str) -> None:
    text = f"name: shop\nenvironment:\n  KEY: {value}\n"
    assert complaints(app, text) == [
        "environment.KEY: allowed: datastore.postgres_url, datastore.redis_url, "
        "datastore.ca_file, {default: VALUE}, or nothing"
    ]


def test_the_name_of_a_variable(app: Path) -> None:
    [line] = complaints(app, "name: shop\nenvironment: {A B: {default: x}}")
    assert line.startswith("environment.A B.[key]: found 'A B'")


def test_a_folder_without_a_manifest_and_text_that_is_no_yaml(app: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="application_path names a folder"):
        load_manifest(tmp_path)
    [line] = complaints(app, "name: [")
    assert line.startswith("cannot be read: ")


def test_values_come_from_the_user_then_the_datastore_then_defaults(app: Path) -> None:
    manifest = load_manifest(app)
    given = {"API_KEY": "k", "EXTRA": "1"}
    assert resolve_environment(manifest, given, DATASTORE) == {
        "API_KEY": "k",
        "EXTRA": "1",
        "POSTGRES_URL": "postgresql://db",
        "LOG_LEVEL": "info",
    }
    own = {"API_KEY": "k", "POSTGRES_URL": "mine", "LOG_LEVEL": "debug"}
    assert resolve_environment(manifest, own, DATASTORE) == own


def test_a_default_is_text_as_a_shell_would_write_it(app: Path) -> None:
    (app / "app.yml").write_text("name: shop\nenvironment: {A: {default: true}, B: {default: 2}}")
    assert resolve_environment(load_manifest(app), {}, {}) == {"A": "true", "B": "2"}


def test_every_variable_without_a_value_is_named(app: Path) -> None:
    with pytest.raises(UsageError, match="application shop needs POSTGRES_URL, API_KEY"):
        resolve_environment(load_manifest(app), {}, {})


@pytest.mark.parametrize("value", ["two\nlines", "it's", "C:\\", "nul\0"])
def test_values_that_no_environment_file_holds_are_refused_untold(app: Path, value: str) -> None:
    with pytest.raises(UsageError, match="the value of API_KEY has a line break") as caught:
        resolve_environment(load_manifest(app), {"API_KEY": value}, DATASTORE)
    assert value not in str(caught.value)


def test_the_schema_for_editors_is_that_of_the_program() -> None:
    assert (project_root() / "app.schema.json").read_text() == manifest_schema()
