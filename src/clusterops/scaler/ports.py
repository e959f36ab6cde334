# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control loop needs of the world; tests put their own in its place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from clusterops.scaler.model import Action, ActionResult, Observation


class Eyes(Protocol):
    """What the loop needs of an Observer."""

    async def observe(self) -> Observation:
        """Look at everything once; does not raise."""
        ...

    async def glance(self, before: Observation) -> Observation:
        """Look again at the pool, and whether those in it are well; does not raise.

        The rest is as it was ``before``.
        """
        ...

    async def eject(self, agent: str) -> None:
        """Take an agent out of the pool; raises ClusterOpsError where that fails."""
        ...

    async def restore(self, agent: str, address: str) -> None:
        """Put a draining agent back into service; raises ClusterOpsError where that fails."""
        ...


class Hands(Protocol):
    """What the loop needs of an Actuator."""

    async def run(
        self, action: Action, on_step: Callable[[str], None], cancel: threading.Event
    ) -> ActionResult:
        """Do an action to its end, telling its steps; does not raise.

        ``cancel`` makes it end soon; it then reports a failure. Several may run at once, each
        for another agent.
        """
        ...
