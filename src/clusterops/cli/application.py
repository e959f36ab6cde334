# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground app new`` and ``app validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clusterops.application.template import write_application
from clusterops.application.validation import Severity, validate
from clusterops.config import load_config
from clusterops.errors import ExitCode
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
    print(f"Made {made}. Put this into cluster.yml, and then: ./playground deploy")
    inside = made.is_relative_to(project_root())
    shown = made.relative_to(project_root()) if inside else made
    print(f"  application_path: {shown}")


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
        path, values = project_root() / config.application_path, config.application_env
    found = validate(path, values)
    for finding in found:
        print(f"{finding.severity:8} {finding}")
    errors = sum(finding.severity is Severity.ERROR for finding in found)
    if errors:
        raise typer.Exit(int(ExitCode.FAILED))
    print(f"{path}: can be deployed.")
