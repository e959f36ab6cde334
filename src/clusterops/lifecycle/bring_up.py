# SPDX-License-Identifier: GPL-3.0-or-later
"""`./playground up`: every stage finds out what is missing, so a second run continues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clusterops.application.validation import check_configured
from clusterops.config import ClusterConfig
from clusterops.errors import UsageError
from clusterops.lifecycle import manager_process, own_engine, provisioning
from clusterops.lifecycle.stages import Stage, Stages
from clusterops.server_manager.driver import Cluster
from clusterops.server_manager.providers import open_driver
from clusterops.ssh_identity import ensure_identity
from clusterops.state import State, project_root


def prepare(config: ClusterConfig, state: State, stages: Stages) -> bool:
    """Engine, images, Server Manager; True when any of them had to be made or started.

    Args:
        config: with the cluster's provider settled.
    """
    _refuse_renaming(config, state)
    check_configured(config, state.cluster_file)
    changed = False
    if config.cluster_provider == "docker":
        changed |= _container_engine(state, stages)
        changed |= _images(config, stages)
    with stages.stage("Server Manager") as stage:
        driver = open_driver(config.cluster_provider, Cluster.of(config))
        ensure_identity(state)
        state.record_provider(driver.provider)
        started = manager_process.ensure_running(state)
        state_now = "started" if started else "running"
        stage.result = f"{state_now} at {manager_process.endpoint_url(state)}"
    if driver.provider == "docker":
        changed |= _agent_image(config, state, driver.network(), stages)
    if driver.provider == "virtualbox":
        changed |= _template(config, state, driver.network(), stages)
    return changed | started


def provision(
    config: ClusterConfig,
    state: State,
    stages: Stages,
    playbook: str = "site.yml",
    extra: dict[str, Any] | None = None,
) -> int:
    """Run the playbook; returns the number of changes that it made."""
    with stages.stage(f"ansible-playbook {playbook}") as stage:
        outcome = provisioning.run_playbook(
            playbook, state, config, lambda step: _show(stage, step), extra
        )
        stage.result = f"{outcome.changed} changes" if outcome.changed else "nothing changed"
    return outcome.changed


def _show(stage: Stage, step: provisioning.Step) -> None:
    if step.task.startswith("Validating arguments against arg spec"):
        return  # Ansible's own, once for each role
    role = step.role.rpartition(".")[2]
    text = " · ".join(part for part in (step.play, role, step.task, step.node) if part)
    if step.first:
        stage.step(text)
    else:
        stage.also(text)


def _container_engine(state: State, stages: Stages) -> bool:
    from clusterops.engine import connect, ensure_engine

    with stages.stage("Container engine") as stage:
        started = own_engine.ensure(state, lambda: ensure_engine(stage.step))
        stage.result = str(connect().version().get("Version", ""))
    return started


def _images(config: ClusterConfig, stages: Stages) -> bool:
    from clusterops.engine import connect
    from clusterops.images.build import ensure_node_images

    with stages.stage("Machine images") as stage:
        built = ensure_node_images(connect(timeout_s=900), config.cluster_name, stage.detail)
        stage.result = "built" if built else "up to date"
    return built


def _agent_image(config: ClusterConfig, state: State, network: str, stages: Stages) -> bool:
    from clusterops.engine import connect
    from clusterops.images.bake import ensure_agent_image

    with stages.stage("Agents' image") as stage:
        stage.step("Preparing the wheels for the machines")
        wheels = _wheels(config, state)

        def run_roles(container: str) -> None:
            provisioning.run_playbook(
                "playbooks/image.yml",
                state,
                config,
                lambda step: _show(stage, step),
                {"container": container, "cluster_network": network},
            )

        baked = ensure_agent_image(
            connect(timeout_s=300),
            Cluster.of(config),
            network,
            wheels.wheel_sha256,
            run_roles,
            stage.step,
        )
        stage.result = "made" if baked else "up to date"
    return baked


def _wheels(config: ClusterConfig, state: State) -> Any:
    from clusterops.wheelhouse import prepare

    python = config.node_python(config.cluster_provider)
    return prepare(project_root(), state.root / "wheels", python=python)


def _template(config: ClusterConfig, state: State, network: str, stages: Stages) -> bool:
    from clusterops.images.template import VagrantBox, ensure_template
    from clusterops.server_manager.drivers.virtualbox import connect

    with stages.stage("Machines' template") as stage:
        stage.step("Preparing the wheels for the machines")
        wheels = _wheels(config, state)

        def run_roles(where: Mapping[str, Any]) -> None:
            provisioning.run_playbook(
                "playbooks/template.yml",
                state,
                config,
                lambda step: _show(stage, step),
                {"template": dict(where), "cluster_network": network},
            )

        made = ensure_template(
            connect(),
            lambda: VagrantBox(state),
            config,
            wheels.wheel_sha256,
            run_roles,
            stage.step,
        )
        stage.result = "made" if made else "up to date"
    return made


def _refuse_renaming(config: ClusterConfig, state: State) -> None:
    """A cluster keeps its name for life: its machines carry it."""
    known = running_name(state)
    if known and known != config.cluster_name:
        raise UsageError(
            f"{state.cluster_file}: cluster_name: found '{config.cluster_name}', but the cluster "
            f"that runs is '{known}'",
            remedy="put the name back, or take that cluster down first",
        )


def running_name(state: State) -> str | None:
    """Name of the cluster whose Server Manager answers from this state folder."""
    from clusterops.clients import ServerManagerClient

    if not manager_process.answers(state):
        return None
    cluster: dict[str, Any] = ServerManagerClient.of(state).cluster()
    return str(cluster.get("name") or "") or None
