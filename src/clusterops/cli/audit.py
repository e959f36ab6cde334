# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground audit``: who asked the Server Manager and the scaler for what."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Annotated, Any

import typer

from clusterops import clients
from clusterops.cli import output
from clusterops.cli.history import local_time
from clusterops.clients import ScalerClient
from clusterops.errors import ClusterOpsError, NotRunningError
from clusterops.http_api.audit import newest_first

Json = dict[str, Any]


def audit(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the latest.")] = 30,
    refused: Annotated[
        bool, typer.Option("--refused", help="Only requests that were not let through.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, newest first.")] = False,
) -> None:
    """List who changed what, and whom the cluster refused, newest first."""
    state = clients.current_state()
    if not state.root.exists():
        raise NotRunningError("The cluster is not running.", remedy=clients.START)
    most = 5000 if refused else limit
    found = list(islice(newest_first(state.audit_file), most))
    try:
        found += _scaler().audit(limit=min(most, 1000))
    except ClusterOpsError as error:
        print(f"Without the scaler's entries: {error.message}", file=sys.stderr)
    if refused:
        found = [entry for entry in found if entry.get("status") in (401, 403, 421)]
    found.sort(key=lambda entry: str(entry.get("at")), reverse=True)
    found = found[:limit]
    if as_json:
        output.print_json({"audit": found})
        return
    for entry in found:
        print(line(entry))
    if not found:
        print("Nothing yet.")


def line(entry: Json) -> str:
    """An entry for people."""
    action, server = entry.get("action"), entry.get("server")
    what = " ".join(str(part) for part in (action, server) if part)
    request = f"{entry.get('method')} {entry.get('path')}"
    who = f"{entry.get('who')}@{entry.get('peer') or '?'}"
    text = f"{local_time(entry.get('at'))}  {entry.get('service')}  {who}  {entry.get('status')}  "
    text += f"{what} ({request})" if what else request
    left_out = entry.get("left_out")
    return f"{text}  [{left_out} more before it]" if left_out else text


def _scaler() -> ScalerClient:
    return clients.scaler(clients.server_manager().cluster(), timeout_s=5)
