# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground app new``, ``app validate`` and ``app check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clusterops.application.source import is_repository
from clusterops.application.template import write_application
from clusterops.application.validation import Severity, validate
from clusterops.application.values import given_values
from clusterops.config_file import load_config
from clusterops.errors import ExitCode, UsageError
from clusterops.state import cluster_file, project_root

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make an application, or check one before it is deployed.",
)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Its name: small letters, digits and dashes.")],
    folder: Annotated[
        Path | None, typer.Option("--in", help="Where to; default: apps.", show_default=False)
    ] = None,
) -> None:
    """Write the smallest application that can be deployed, with a commented app.yml."""
    made = write_application(folder or project_root() / "apps", name)
    inside = made.is_relative_to(project_root())
    shown = made.relative_to(project_root()) if inside else made
    print(f"Made {made}. Release it: ./playground deploy {shown}")


@app.command("validate")
def validate_command(
    path: Annotated[
        Path | None,
        typer.Argument(help="Folder with an app.yml; default: cluster.yml's.", show_default=False),
    ] = None,
) -> None:
    """Say everything that is wrong with an application."""
    values = None
    if path is None:
        config = load_config(cluster_file())
        path = _folder(config.application_path)
        values = given_values(
            config.application_env, config.application_env_file, cluster_file().parent
        )
    found = validate(path, values)
    for finding in found:
        print(f"{finding.severity:8} {finding}")
    errors = sum(finding.severity is Severity.ERROR for finding in found)
    if errors:
        raise typer.Exit(int(ExitCode.FAILED))
    print(f"{path}: can be deployed.")


@app.command("check")
def check(
    url: Annotated[
        str | None,
        typer.Argument(help="Its address; default: the load balancer's.", show_default=False),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option("--app", help="Folder with an app.yml; default: cluster.yml's."),
    ] = None,
) -> None:
    """Test what a running application promises over HTTP (checks in its app.yml)."""
    from clusterops import clients
    from clusterops.application.checking import run_checks
    from clusterops.application.manifest import load_manifest

    folder = path or _folder(load_config(cluster_file()).application_path)
    manifest = load_manifest(folder)
    if manifest.checks is None:
        raise UsageError(
            f"{folder / 'app.yml'}: checks: is not given, so there is nothing to check",
            remedy="name a folder of pytest tests; apps/conformance says how they are written",
        )
    if url is None:
        config = clients.server_manager().cluster().get("config") or {}
        url = clients.host_url(config, "port_load_balancer", 8080)
    if not run_checks((folder / manifest.checks).resolve(), url):
        raise typer.Exit(int(ExitCode.FAILED))


def _folder(location: str) -> Path:
    """Folder of an application that is on this computer."""
    if is_repository(location):
        raise UsageError(
            f"application_path: {location} is a git repository; deploy checks what it clones",
            remedy="clone it, and give the folder",
        )
    return project_root() / location
