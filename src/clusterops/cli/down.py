# SPDX-License-Identifier: GPL-3.0-or-later
"""`down`: everything that the cluster made is gone afterwards."""

from __future__ import annotations

from typing import Annotated

import typer

from clusterops.cli import output
from clusterops.config_file import load_config
from clusterops.state import State, cluster_file


def down(
    keep_images: Annotated[
        bool, typer.Option("--keep-images", help="Keep the machine images for a faster next up.")
    ] = False,
) -> None:
    """Remove the cluster: machines, volumes, network, processes, images, keys and passwords."""
    from clusterops.lifecycle.take_down import take_down

    state = State.beside(cluster_file())
    config = load_config(state.cluster_file)
    console = output.console()
    removed = 0
    with console.status("Removing the cluster"):
        for line in take_down(config, state, keep_images=keep_images):
            removed += 1
            console.print(f"[green]✓[/] {line}", markup=True)
    console.print(
        f"The cluster '{config.cluster_name}' is gone."
        if removed
        else "There was nothing to remove."
    )
