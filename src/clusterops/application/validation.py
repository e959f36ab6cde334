# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is wrong with an application's folder, found in one go and before a build."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import yaml

from clusterops.application.manifest import (
    DatastoreValue,
    Manifest,
    read_manifest,
    resolve_environment,
)
from clusterops.application.source import is_repository, repository_of
from clusterops.application.values import given_values
from clusterops.config import ClusterConfig
from clusterops.errors import UsageError
from clusterops.state import project_root

#: Variables that the cluster itself gives to Compose.
GIVEN = frozenset({"APP_IMAGE", "APP_PORT"})

#: ${NAME}, ${NAME:-default}, ${NAME:?message} or $NAME; $$ is a dollar sign.
_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)(:?[-+?][^}]*)?\}|([A-Za-z_]\w*))")
_DEFAULT = re.compile(r":?[-+]")
_STAGE = re.compile(r"^\s*FROM\s", re.IGNORECASE | re.MULTILINE)
_USER = re.compile(r"^\s*USER\s+(\S+)", re.IGNORECASE | re.MULTILINE)
_ROOT = frozenset({"root", "0"})


class Severity(StrEnum):
    """An ``error`` keeps the application from being deployed; a ``warning`` does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in one line: where, what was found, what is allowed."""

    severity: Severity
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def validate(folder: Path, values: Mapping[str, object] | None = None) -> list[Finding]:
    """Everything that is wrong with the application in ``folder``, errors first.

    Args:
        values: application_env of cluster.yml; without it, values that only cluster.yml can give
            are not asked for.
    """
    manifest, problems = read_manifest(folder)
    where = str(folder / "app.yml")
    found = [Finding(Severity.ERROR, where, problem) for problem in problems]
    if manifest:
        found += _files(folder, manifest)
        found += _environment(where, manifest, values)
        if "health_path" not in manifest.model_fields_set:
            text = f"health_path is not given; {manifest.health_path} is asked"
            found.append(Finding(Severity.WARNING, where, text))
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)


def check_application(folder: Path, values: Mapping[str, object]) -> Manifest:
    """Find out before anything is made whether an application can be built and has its values.

    Args:
        values: application_env of cluster.yml.

    Raises:
        UsageError: one line for each error.
    """
    manifest, _problems = read_manifest(folder)
    errors = [one for one in validate(folder, values) if one.severity is Severity.ERROR]
    if errors or manifest is None:
        raise UsageError("\n".join(map(str, errors)), remedy="see ./playground app validate")
    return manifest


def check_configured(config: ClusterConfig, cluster_file: Path) -> None:
    """Check the application of cluster.yml; see :func:`check_application`.

    Of a repository only its address, and the values, can be checked before it is cloned.
    """
    values = given_values(config.application_env, config.application_env_file, cluster_file.parent)
    if not is_repository(config.application_path):
        check_application(project_root() / config.application_path, values)
    repository = repository_of(config.application_path, config.application_repositories)
    if repository and repository.over_ssh:
        _check_ssh_files(config, repository.url)


def _check_ssh_files(config: ClusterConfig, url: str) -> None:
    needed = {"application_git_known_hosts_file": config.application_git_known_hosts_file}
    if config.application_git_key_file:
        needed["application_git_key_file"] = config.application_git_key_file
    for key, name in needed.items():
        if not Path(name).expanduser().is_file():
            raise UsageError(
                f"{key}: there is no file {name}, which {url} needs",
                remedy="ssh-keyscan makes a known hosts file; compare its keys with the server's",
            )


def _files(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    if manifest.checks and not (folder / manifest.checks).is_dir():
        text = f"checks: there is no folder {manifest.checks}"
        yield Finding(Severity.WARNING, str(folder / "app.yml"), text)
    source = folder / manifest.source.path
    compose, dockerfile = manifest.compose_file, manifest.build.dockerfile
    for key, name in (("compose_file", compose), ("build.dockerfile", dockerfile)):
        if not (source / name).is_file():
            text = f"{key}: there is no file {name} in the source"
            yield Finding(Severity.ERROR, str(folder / "app.yml"), text)
    services: dict[str, Any] = {}
    if (source / compose).is_file():
        where = str(source / compose)
        try:
            text = (source / compose).read_text(encoding="utf-8")
            services = _services(text)
        except (OSError, ValueError, yaml.YAMLError) as error:
            yield Finding(Severity.ERROR, where, " ".join(str(error).split()))
            return
        for problem in _compose_problems(text, services, manifest):
            yield Finding(Severity.ERROR, where, problem)
    if (source / dockerfile).is_file() and not _has_user(source / dockerfile, services):
        text = "the image runs as root; a USER line after the last FROM makes it run as another"
        yield Finding(Severity.WARNING, str(source / dockerfile), text)


def _services(text: str) -> dict[str, Any]:
    document = yaml.safe_load(text)
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict):
        raise ValueError("services: expected the application's services")
    return {str(name): service or {} for name, service in services.items()}


def _compose_problems(text: str, services: dict[str, Any], manifest: Manifest) -> Iterator[str]:
    migration = manifest.migration_service
    if migration and migration not in services:
        yield f"services: there is no {migration}, which app.yml names as migration_service"
    if not any(_publishes(service, manifest.port) for service in services.values()):
        yield (
            f"services: none publishes port {manifest.port} of the node, which app.yml names; "
            f'for example ports: ["${{APP_PORT:-{manifest.port}}}:{manifest.port}"]'
        )
    undeclared = sorted(set(_references(text)) - GIVEN - set(manifest.environment))
    for name in undeclared:
        yield f"${{{name}}} is not declared; name it in app.yml under environment"


def _publishes(service: Any, port: int) -> bool:
    """Whether a service publishes a port of the node (Compose's short or long form)."""
    ports = service.get("ports") if isinstance(service, dict) else None
    for entry in ports if isinstance(ports, list) else []:
        published = entry.get("published") if isinstance(entry, dict) else _published(str(entry))
        if str(published) in (str(port), "${APP_PORT}", "$APP_PORT"):
            return True
        if re.fullmatch(r"\$\{APP_PORT:?[-?].*\}", str(published)):
            return True
    return False


def _published(entry: str) -> str | None:
    """HOST of [ADDRESS:]HOST:CONTAINER[/PROTOCOL]; a colon may be within ${…}."""
    parts = re.findall(r"(?:\$\{[^}]*\}|[^:])+", entry.partition("/")[0])
    return parts[-2] if len(parts) >= 2 else None


def _references(text: str) -> Iterator[str]:
    """Variables without a default that a Compose file reads; not those in comments."""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        for match in _REFERENCE.finditer(line):
            name = match[1] or match[3]
            if name and not (match[2] and _DEFAULT.match(match[2])):
                yield name


def _has_user(dockerfile: Path, services: dict[str, Any]) -> bool:
    """Whether the last stage, or every service, names a user other than root."""
    try:
        text = dockerfile.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    users = _USER.findall(_STAGE.split(text)[-1])
    if users and users[-1].partition(":")[0] not in _ROOT:
        return True
    named = [str(service.get("user", "root")) for service in services.values()
             if isinstance(service, dict)]  # fmt: skip
    return bool(named) and all(user.partition(":")[0] not in _ROOT for user in named)


def _environment(
    where: str, manifest: Manifest, values: Mapping[str, object] | None
) -> Iterator[Finding]:
    given = {name: str(value) for name, value in (values or {}).items()}
    if values is None:
        given = {name: "" for name, value in manifest.environment.items() if value is None}
    try:
        resolve_environment(manifest, given, dict.fromkeys(get_args(DatastoreValue), ""))
    except UsageError as error:
        remedy = f"; {error.remedy}" if error.remedy else ""
        yield Finding(Severity.ERROR, where, f"{error.message}{remedy}")
