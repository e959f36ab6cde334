# SPDX-License-Identifier: GPL-3.0-or-later
"""`./playground down`: finds and removes everything that the cluster made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from clusterops.config import ClusterConfig
from clusterops.engine_names import CLUSTER_LABEL, cluster_images
from clusterops.errors import ClusterOpsError
from clusterops.lifecycle import manager_process, own_engine
from clusterops.server_manager import job_processes
from clusterops.server_manager.driver import Cluster, ProviderUnavailable
from clusterops.server_manager.providers import open_driver
from clusterops.state import State


def take_down(config: ClusterConfig, state: State, *, keep_images: bool) -> Iterator[str]:
    """Remove the cluster; yields one line for each thing that is gone.

    The Server Manager goes first: nothing may make machines while they are removed.
    """
    if manager_process.stop(state):
        yield "Server Manager stopped"
    for kind in job_processes.end_leftovers(state):
        yield f"{kind} ended"
    try:
        driver = open_driver(state.provider() or config.cluster_provider, Cluster.of(config))
    except ProviderUnavailable:
        if state.root.exists():
            raise
        return
    yield from driver.teardown()
    if not keep_images:
        yield from _remove_images(config.cluster_name)
    if own_engine.stop_if_ours(state):
        yield "container engine stopped (it was started by up)"
    if state.root.exists():
        shutil.rmtree(state.root)
        yield f"{state.root} removed (token, keys, passwords, logs)"


def _remove_images(cluster_name: str) -> Iterator[str]:
    from docker.errors import APIError, ImageNotFound

    from clusterops.engine import connect
    from clusterops.images.bake import remove_builder

    try:
        client = connect()
    except ClusterOpsError:
        return  # a host of virtual machines needs none
    if remove_builder(client, cluster_name):
        yield "container of an interrupted image build"
    for tag in cluster_images(cluster_name):
        try:
            client.images.remove(tag)
        except ImageNotFound:
            continue
        except APIError as error:
            raise ClusterOpsError(
                f"image {tag} cannot be removed: {error.explanation}",
                remedy="is a container of your own made from it? remove that one first",
            ) from error
        yield f"image {tag} removed"
    # Earlier versions of the images above lost their names when they were made anew.
    ours = {"dangling": True, "label": f"{CLUSTER_LABEL}={cluster_name}"}
    for image in client.images.prune(filters=ours).get("ImagesDeleted") or []:
        if "Deleted" in image:
            yield f"image {image['Deleted'][7:19]} removed"
