# SPDX-License-Identifier: GPL-3.0-or-later
"""`up`: the whole cluster, from nothing or from wherever it stands."""

from __future__ import annotations

from typing import Annotated

import typer

from clusterops.cli.doctor import refuse_problems
from clusterops.config_file import load_config
from clusterops.state import State, cluster_file


def up(
    provider: Annotated[
        str | None,
        typer.Option(
            help="What makes the machines (auto, docker, virtualbox), instead of cluster.yml's "
            "cluster_provider. A cluster keeps it until down."
        ),
    ] = None,
) -> None:
    """Bring the cluster up, or apply what changed in cluster.yml. A second run continues."""
    from clusterops import tokens
    from clusterops.lifecycle import rotation
    from clusterops.lifecycle.bring_up import prepare, provision
    from clusterops.lifecycle.provider import settled
    from clusterops.lifecycle.stages import Stages

    state = State.beside(cluster_file())
    config = settled(load_config(state.cluster_file), state, provider)
    refuse_problems(config, state)
    stages = Stages()
    changed = prepare(config, state, stages)
    changes = provision(config, state, stages)
    if tokens.is_pending(state):
        changed = rotation.rotate(config, state, stages)
    if not changed and not changes:
        stages.say(f"\nEverything was up to date ({stages.elapsed_s:.0f} s).")
    else:
        stages.say(f"\nThe cluster is up ({stages.elapsed_s:.0f} s).")
    base = config.cluster_bind_address
    tls = ""
    if config.load_balancer_tls != "none":
        tls = f"\n                https://{base}:{config.port_load_balancer_tls}"
    stages.say(
        f"""
  application   http://{base}:{config.port_load_balancer}{tls}
  dashboard     http://{base}:{config.port_dashboard}
  Prometheus    http://{base}:{config.port_prometheus}

Try next:
  ./playground status --watch                   watch it, in a second terminal
  ./playground load --duration 120 --users 50   make it scale
  ./playground ssh agent-1                      look inside
  ./playground down                             remove everything"""
    )
