# SPDX-License-Identifier: GPL-3.0-or-later
"""`vagrant`: what the Vagrantfile needs of the cluster. Not for people, so the help leaves it out.

Vagrant makes virtual machines by itself, and they only need the files by which the cluster
knows its machines (`seed`). Containers are made by the Server Manager, which Vagrant then starts,
logs in to, stops and removes (`machine` prints what it has to know for that).
"""

from __future__ import annotations

from typing import Annotated

import typer

from clusterops.cli.doctor import refuse_problems
from clusterops.config import ClusterConfig
from clusterops.config_file import load_config
from clusterops.errors import ClusterOpsError, UsageError
from clusterops.state import State, cluster_file

PROVIDERS = ("virtualbox", "docker")
CREATE_TIMEOUT_S = 240.0
"""The Server Manager's own limit is shorter, and its error says more."""
HOLDER = "site.yml"
"""The same as in playbooks/control.yml, so that the playbook takes the hold over."""
HOLD_S = 120.0


def vagrant(
    action: Annotated[str, typer.Argument(help="prepare, machine, seed or hold.")],
    node: Annotated[str, typer.Argument(help="For machine and seed: the node's name.")] = "",
    provider: Annotated[
        str, typer.Option(help="For prepare: what Vagrant makes the machines with.")
    ] = PROVIDERS[0],
) -> None:
    """Do for `vagrant up` what Vagrant cannot do by itself; called by the Vagrantfile."""
    state = State.beside(cluster_file())
    config = load_config(state.cluster_file)
    if action == "prepare":
        _prepare(config, state, provider)
    elif action == "hold":
        _hold(config)
    elif action not in ("machine", "seed"):
        raise UsageError(f"found '{action}'; allowed: prepare, machine, seed, hold")
    elif node not in config.server_names:
        raise UsageError(f"found node '{node}'; allowed: {', '.join(config.server_names)}")
    elif action == "machine":
        print(_machine(config, state, node))
    else:
        print(_seed(config, state, node))


def _prepare(config: ClusterConfig, state: State, provider: str) -> None:
    """Everything that machines need before there is one; fails before one is made."""
    from clusterops.application.validation import check_configured
    from clusterops.lifecycle import bring_up
    from clusterops.lifecycle.provider import settled
    from clusterops.lifecycle.stages import Stages
    from clusterops.ssh_identity import ensure_identity

    if provider not in PROVIDERS:
        raise UsageError(f"--provider: found '{provider}'; allowed: {', '.join(PROVIDERS)}")
    config = settled(config, state, provider)
    refuse_problems(config, state)
    if config.cluster_provider == "docker":
        bring_up.prepare(config, state, Stages())
    else:
        check_configured(config, state.cluster_file)
        ensure_identity(state)
        state.record_provider(provider)


def _machine(config: ClusterConfig, state: State, node: str) -> str:
    """Have the container of a node; the engine's id of it."""
    from clusterops.clients import ServerManagerClient
    from clusterops.engine import connect

    url = ServerManagerClient.of(state).url
    client = ServerManagerClient(url, state.token(), timeout_s=CREATE_TIMEOUT_S)
    client.request("POST", "/api/v1/servers", {"name": node})
    container = connect().api.inspect_container(f"{config.cluster_name}-{node}")
    return str(container["Id"])


def _seed(config: ClusterConfig, state: State, node: str) -> str:
    """Write a private archive of the files that a virtual machine needs; its path."""
    import os
    import tempfile

    from clusterops.server_manager.driver import Cluster
    from clusterops.server_manager.drivers import _docker_container, _virtualbox_machine
    from clusterops.server_manager.service import server_spec
    from clusterops.ssh_identity import seed_files

    spec = server_spec(config, node, lambda name, known: seed_files(state, name, known))
    address = _virtualbox_machine.planned_address(Cluster.of(config), node)
    content = _docker_container.archive(spec.seed([address]))
    handle, path = tempfile.mkstemp(dir=state.root, prefix=f"seed-{node}-", suffix=".tar")
    with os.fdopen(handle, "wb") as stream:  # mkstemp: 0600
        stream.write(content)
    return path


def _hold(config: ClusterConfig) -> None:
    """Keep the scaler from acting on machines that Vagrant starts or takes away meanwhile."""
    from clusterops.clients import scaler

    cluster = {"config": config.model_dump(mode="json")}
    try:
        scaler(cluster).hold(HOLDER, HOLD_S)
    except ClusterOpsError:
        return  # a scaler that does not answer brings nothing back
