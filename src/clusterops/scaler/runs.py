# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions under way: several at a time, never two for one agent."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from clusterops.scaler.model import Action, ActionKind, ActionResult
from clusterops.scaler.ports import Hands

_LOG = logging.getLogger(__name__)


@dataclass
class Run:
    """One action under way. ``step`` is the playbook's task."""

    action: Action
    started_at: float
    step: str = "starting"
    cancel: threading.Event = field(default_factory=threading.Event)
    task: asyncio.Task[None] | None = None


class Runs:
    """Starts actions, and tells when they have ended."""

    def __init__(self, hands: Hands, ended: Callable[[Run, ActionResult | None], None]) -> None:
        """
        Args:
            ended: called with a run and its result; None for a defect of this program.
        """
        self._hands = hands
        self._ended = ended
        self._runs: dict[str, Run] = {}

    @property
    def busy(self) -> dict[str, ActionKind]:
        """The agents that an action is under way for."""
        return {name: run.action.kind for name, run in self._runs.items()}

    @property
    def all(self) -> tuple[Run, ...]:
        """Every action under way, the oldest first."""
        return tuple(self._runs.values())

    def start(self, action: Action, now: float) -> None:
        """Begin an action for an agent that has none."""
        assert action.agent not in self._runs  # noqa: S101 - the plan sees to it
        run = Run(action, now)
        self._runs[action.agent] = run
        run.task = asyncio.create_task(self._act(run))

    def cancel(self, agents: Iterable[str] | None = None) -> list[Run]:
        """Make the actions for these agents, or all of them, end soon; those that it concerns."""
        names = list(self._runs) if agents is None else list(agents)
        runs = [self._runs[name] for name in names if name in self._runs]
        called_off = [run for run in runs if not run.cancel.is_set()]
        for run in called_off:
            run.cancel.set()
        return called_off

    async def wait(self, timeout_s: float | None = None) -> None:
        """Until all have ended."""
        tasks = [run.task for run in self._runs.values() if run.task]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def _act(self, run: Run) -> None:
        def on_step(step: str) -> None:
            run.step = step

        result = None
        try:
            result = await self._hands.run(run.action, on_step, run.cancel)
        except Exception:
            _LOG.exception("%s %s could not be finished", run.action.kind, run.action.agent)
        finally:
            del self._runs[run.action.agent]
            self._ended(run, result)
