# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground deploy`` and ``rollback``: change what the agents of the running cluster run."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clusterops import clients
from clusterops.config import ClusterConfig
from clusterops.config_file import load_config
from clusterops.errors import ClusterOpsError
from clusterops.state import State, cluster_file, project_root

if TYPE_CHECKING:
    from clusterops.lifecycle.stages import Stages

HOLDER = "site.yml"
"""Who holds the scaler during a playbook: playbooks/tasks/hold_scaler.yml."""


def deploy(
    location: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH|GIT_URL[#REF]]",
            help="Application: a folder with an app.yml, or a git repository that holds one.",
            show_default="that of cluster.yml",
        ),
    ] = None,
) -> None:
    """Build an application and release it, one agent after the other.

    A release that does not become ready is taken back everywhere. Once an application is released,
    cluster.yml names it.
    """
    from clusterops.application.validation import check_configured
    from clusterops.lifecycle.stages import Stages

    state = State.beside(cluster_file())
    config = load_config(state.cluster_file)
    chosen = config.application_path if location is None else named_in_cluster_yml(location)
    config = config.model_copy(update={"application_path": chosen})
    check_configured(config, state.cluster_file)
    stages = Stages()
    extra = {"application_path": chosen}
    changes = _roll_out(config, state, stages, "playbooks/deploy.yml", extra)
    _keep(state, chosen, stages)
    stages.say(f"\n{_in_words(state)} {'is' if changes else 'was'} deployed.")


def rollback(
    release: Annotated[
        str | None,
        typer.Argument(help="Release to go back to.", show_default="the one before"),
    ] = None,
) -> None:
    """Go back to a release that was in force before; the database stays as it is."""
    from clusterops.lifecycle.stages import Stages

    state = State.beside(cluster_file())
    config = load_config(state.cluster_file)
    stages = Stages()
    extra = {"release": release} if release else {}
    _roll_out(config, state, stages, "playbooks/rollback.yml", extra)
    if location := _deployed(state).get("location"):
        _keep(state, location, stages)
    stages.say(f"\n{_in_words(state)} is in force again; deploy releases what the source holds.")


def named_in_cluster_yml(location: str) -> str:
    """A location as cluster.yml holds it: a folder of the project from its root, others whole."""
    from clusterops.application.source import is_repository

    if is_repository(location):
        return location
    folder = Path(location).expanduser()
    inside = project_root() / folder
    if not folder.exists() and inside.exists():
        folder = inside
    absolute = folder.resolve()
    if absolute.is_relative_to(project_root()):
        return str(absolute.relative_to(project_root()))
    return str(absolute)


def _roll_out(
    config: ClusterConfig, state: State, stages: Stages, playbook: str, extra: dict[str, Any]
) -> int:
    """Run the playbook; whatever happens in it, the scaler goes on afterwards."""
    from clusterops.lifecycle.bring_up import provision

    cluster = clients.server_manager().cluster()
    try:
        return provision(config, state, stages, playbook, extra)
    except (ClusterOpsError, KeyboardInterrupt):
        with contextlib.suppress(ClusterOpsError):
            clients.scaler(cluster).release(HOLDER)
        raise


def _keep(state: State, location: str, stages: Stages) -> None:
    from clusterops.lifecycle.cluster_file import set_key

    if set_key(state.cluster_file, "application_path", location):
        stages.say(f"{state.cluster_file.name}: application_path is now {location}")


def _deployed(state: State) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(state.deployed_file.read_text(encoding="utf-8"))
    return document


def _in_words(state: State) -> str:
    deployed = _deployed(state)
    commit = f", commit {deployed['commit'][:10]}" if deployed.get("commit") else ""
    return f"{deployed['name']}, release {deployed['release']}{commit},"
