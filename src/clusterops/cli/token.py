# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground token show`` and ``token rotate``."""

from __future__ import annotations

from typing import Annotated

import typer

from clusterops import clients, tokens
from clusterops.config_file import load_config
from clusterops.errors import NotRunningError, UsageError
from clusterops.http_api.access import ADMIN, READ, SCALER
from clusterops.state import State, cluster_file

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Say where the cluster's tokens are, or replace them.",
)

_FOR = {
    ADMIN: "opens everything",
    READ: "reads, and changes nothing",
    SCALER: "the scaler's own, for the Server Manager",
}


@app.command("show")
def show(
    reveal: Annotated[
        str | None,
        typer.Option(help="Print this token and nothing else: admin, read or scaler."),
    ] = None,
) -> None:
    """Say in which files the tokens are, and what each one opens."""
    state = State.beside(cluster_file())
    if reveal is not None and reveal not in tokens.FILES:
        allowed = ", ".join(tokens.FILES)
        raise UsageError(f"--reveal: found '{reveal}', allowed: {allowed}")
    if not state.token_file.exists():
        raise NotRunningError("The cluster has no tokens yet.", remedy=clients.START)
    if reveal is not None:
        print(tokens.path(state, reveal).read_text(encoding="ascii").strip())
        return
    for role in tokens.FILES:
        print(f"{role:<7} {tokens.path(state, role)}  ({_FOR[role]})")


@app.command("rotate")
def rotate() -> None:
    """Replace every token while everything goes on; the old ones are refused afterwards.

    Cut off, it goes on where it was with the next run, or with the next up.
    """
    from clusterops.lifecycle import rotation
    from clusterops.lifecycle.provider import settled
    from clusterops.lifecycle.stages import Stages

    state = State.beside(cluster_file())
    clients.server_manager().cluster()  # says it where the cluster does not run
    config = settled(load_config(state.cluster_file), state, None)
    continued = rotation.rotate(config, state, Stages())
    if continued:
        print("The change of tokens that was cut off is finished.")
    print(
        "The old tokens are refused from now on. ./playground token show: where the new ones are."
    )
