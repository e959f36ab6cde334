# SPDX-License-Identifier: GPL-3.0-or-later
"""`deploy`: build the application and release it on the agents of the running cluster."""

from __future__ import annotations

from clusterops.clients import server_manager
from clusterops.config import load_config
from clusterops.state import State, cluster_file, project_root


def deploy() -> None:
    """Build the application of cluster.yml and release it, one agent after the other."""
    from clusterops.application.validation import check_application
    from clusterops.lifecycle.bring_up import provision
    from clusterops.lifecycle.stages import Stages

    state = State.beside(cluster_file())
    config = load_config(state.cluster_file)
    server_manager().cluster()
    check_application(project_root() / config.application_path, config.application_env)
    stages = Stages()
    changes = provision(config, state, stages, playbook="playbooks/deploy.yml")
    stages.say(
        f"\n{config.application_path} is deployed." if changes else "\nThis release is deployed."
    )
