# SPDX-License-Identifier: GPL-3.0-or-later
"""New tokens for a cluster that runs; see :mod:`clusterops.tokens` for the order of the steps."""

from __future__ import annotations

from clusterops import tokens
from clusterops.clients import ServerManagerClient
from clusterops.config import CONTROL_NODE, ClusterConfig
from clusterops.errors import ClusterOpsError
from clusterops.lifecycle import provisioning
from clusterops.lifecycle.stages import Stages
from clusterops.state import State

PLAYBOOK = "playbooks/tokens.yml"


def rotate(config: ClusterConfig, state: State, stages: Stages) -> bool:
    """Replace every token, or finish a change that was cut off; True for the latter.

    Raises:
        ClusterOpsError: the control node cannot take them; the old ones stay right until it has.
    """
    servers = {server["name"]: server for server in ServerManagerClient.of(state).servers()}
    control = servers.get(CONTROL_NODE)
    if control and control.get("state") != "running":
        raise ClusterOpsError(
            f"{CONTROL_NODE} is {control.get('state')}: its scaler cannot take new tokens",
            remedy="./playground up, then again",
        )
    continued = tokens.is_pending(state)
    with stages.stage("Tokens") as stage:
        tokens.begin(state)
        if control:
            provisioning.run_playbook(PLAYBOOK, state, config, lambda step: stage.step(step.task))
        tokens.promote(state)
        tokens.finish(state)
        stage.result = "replaced"
    return continued
