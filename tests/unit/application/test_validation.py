# SPDX-License-Identifier: GPL-3.0-or-later
"""`app validate`: everything that is wrong, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterops.application.validation import (
    Severity,
    check_application,
    check_configured,
    validate,
)
from clusterops.config import ClusterConfig
from clusterops.errors import UsageError
from clusterops.state import project_root

HEALTH = "health_path: /health\n"


def errors(app: Path, values: dict[str, object] | None = None) -> list[str]:
    found = validate(app, values)
    return [str(one).replace(f"{app}/", "") for one in found if one.severity is Severity.ERROR]


def warnings(app: Path) -> list[str]:
    found = validate(app)
    return [str(one).replace(f"{app}/", "") for one in found if one.severity is Severity.WARNING]


def compose(app: Path, service: str, more: str = "") -> None:
    (app / "compose.yml").write_text(f"services:\n  web: {service}\n{more}")


def test_the_applications_of_the_repository_have_nothing_wrong() -> None:
    folders = [path.parent for path in (project_root() / "apps").glob("*/app.yml")]
    assert {folder.name for folder in folders} >= {"fibonacci", "whoami"}
    assert {folder.name: validate(folder) for folder in folders if validate(folder)} == {}


def test_all_problems_are_told_at_once(app: Path) -> None:
    (app / "app.yml").write_text("name: shop\nmigration_service: migrate\n")
    (app / "Dockerfile").unlink()
    compose(app, "{image: '${APP_IMAGE}', ports: ['8080:80'], environment: {A: '${TOKEN}'}}")
    assert errors(app) == [
        "app.yml: build.dockerfile: there is no file Dockerfile in the source",
        "compose.yml: services: there is no migrate, which app.yml names as migration_service",
        "compose.yml: services: none publishes port 5000 of the node, which app.yml names; "
        'for example ports: ["${APP_PORT:-5000}:5000"]',
        "compose.yml: ${TOKEN} is not declared; name it in app.yml under environment",
    ]
    (app / "app.yml").write_text("name: My Shop\nport: 99999\nhealth: /x\n")
    assert [line.split(":")[1].strip() for line in errors(app)] == ["name", "port", "health"]
    with pytest.raises(UsageError) as caught:
        check_application(app, {})
    assert len(caught.value.message.split("\n")) == 3


@pytest.mark.parametrize(
    "ports",
    [
        "['5000:5000']",
        "['127.0.0.1:5000:80/tcp']",
        "['${APP_PORT:-5000}:5000']",
        "['${APP_PORT:?set it}:80']",
        "[{target: 80, published: 5000}]",
        "[{target: 80, published: '${APP_PORT}'}]",
    ],
)
def test_a_port_may_be_published_in_any_form_that_compose_knows(app: Path, ports: str) -> None:
    compose(app, f"{{ports: {ports}}}")
    assert errors(app) == []


@pytest.mark.parametrize("ports", ["['5000']", "['80:5000']", "[]", "null", "5000"])
def test_a_port_that_is_not_published_on_the_node(app: Path, ports: str) -> None:
    compose(app, f"{{ports: {ports}}}")
    assert ["none publishes port 5000" in line for line in errors(app)] == [True]


@pytest.mark.parametrize(
    ("text", "undeclared"),
    [
        ("${POSTGRES_URL} ${LOG_LEVEL}", False),
        ("${OTHER:-x} ${OTHER-} ${OTHER:+y} $$OTHER $${OTHER}", False),
        ("# ${OTHER}", False),
        ("${OTHER}", True),
        ("${OTHER:?}", True),
        ("$OTHER", True),
    ],
)
def test_variables_of_the_compose_file_have_to_be_declared(
    app: Path, text: str, undeclared: bool
) -> None:
    line = text if text.startswith("#") else f"x-text: '{text}'"
    (app / "compose.yml").write_text(f"{(app / 'compose.yml').read_text()}{line}\n")
    assert any("${OTHER} is not declared" in one for one in errors(app)) == undeclared


@pytest.mark.parametrize("text", ["", "- a", "services: 5", "services: [", "\t"])
def test_a_compose_file_that_is_none_is_one_line(app: Path, text: str) -> None:
    (app / "compose.yml").write_text(text)
    [line] = errors(app)
    assert line.startswith("compose.yml: ") and "\n" not in line


@pytest.mark.parametrize(
    ("dockerfile", "service", "warned"),
    [
        ("FROM a\nUSER app\n", "{}", False),
        ("FROM a\nuser 10001:10001\n", "{}", False),
        ("FROM a\n", "{user: '1000'}", False),
        ("FROM a\n", "{}", True),
        ("FROM a\nUSER app\nUSER root\n", "{}", True),
        ("FROM a\nUSER 0:0\n", "{}", True),
        ("FROM a AS b\nUSER app\nFROM c\nCOPY --from=b x x\n", "{}", True),
    ],
)
def test_an_image_that_runs_as_root_is_a_warning(
    app: Path, dockerfile: str, service: str, warned: bool
) -> None:
    (app / "Dockerfile").write_text(dockerfile)
    fields = service.strip("{}")
    compose(app, f"{{ports: ['5000:5000'], {fields}}}")
    assert any("runs as root" in line for line in warnings(app)) == warned
    assert errors(app) == []


def test_no_health_path_is_a_warning(app: Path) -> None:
    assert warnings(app) == ["app.yml: health_path is not given; /health is asked"]
    (app / "app.yml").write_text("name: shop\n" + HEALTH)
    assert warnings(app) == []


def test_values_are_asked_for_where_cluster_yml_is_known(app: Path) -> None:
    assert errors(app) == []
    assert errors(app, {"API_KEY": "k"}) == []
    [line] = errors(app, {})
    assert "needs API_KEY" in line and "application_env in cluster.yml" in line
    with pytest.raises(UsageError, match="shop needs API_KEY"):
        check_application(app, {})
    assert check_application(app, {"API_KEY": "k"}).name == "shop"


def test_a_folder_without_an_app_yml(tmp_path: Path) -> None:
    assert errors(tmp_path) == ["app.yml: not found"]


def test_a_repository_over_ssh_needs_known_hosts_and_its_key(tmp_path: Path) -> None:
    known, key = tmp_path / "known_hosts", tmp_path / "key"
    config = ClusterConfig(
        application_path="git@example.org:team/shop.git#main",
        application_git_known_hosts_file=str(known),
        application_git_key_file=str(key),
    )
    with pytest.raises(UsageError, match="application_git_known_hosts_file: there is no file"):
        check_configured(config, tmp_path / "cluster.yml")
    known.touch()
    with pytest.raises(UsageError, match="application_git_key_file: there is no file"):
        check_configured(config, tmp_path / "cluster.yml")
    key.touch()
    check_configured(config, tmp_path / "cluster.yml")
    other = config.model_copy(update={"application_path": "https://example.org/shop.git"})
    key.unlink()
    check_configured(other, tmp_path / "cluster.yml")


def test_a_folder_of_checks_that_is_not_there(app: Path) -> None:
    (app / "app.yml").write_text((app / "app.yml").read_text() + "checks: tests/acceptance\n")
    assert any("there is no folder tests/acceptance" in line for line in warnings(app))
    (app / "tests/acceptance").mkdir(parents=True)
    assert not any("there is no folder" in line for line in warnings(app))


def test_a_compose_file_that_is_not_there_is_one_error(app: Path) -> None:
    (app / "compose.yml").unlink()
    assert errors(app) == ["app.yml: compose_file: there is no file compose.yml in the source"]
