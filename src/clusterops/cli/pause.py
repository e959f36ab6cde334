# SPDX-License-Identifier: GPL-3.0-or-later
"""``./playground pause`` and ``resume``."""

from __future__ import annotations

from clusterops import clients


def pause() -> None:
    """Stop scaling until ./playground resume; agents that die are still replaced."""
    scaler = clients.scaler(clients.server_manager().cluster())
    print("Paused." if scaler.pause(True) else "It was paused already.")


def resume() -> None:
    """Scale again."""
    scaler = clients.scaler(clients.server_manager().cluster())
    print("Resumed." if scaler.pause(False) else "It was not paused.")
