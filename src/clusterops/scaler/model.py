# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scaler knows, wants and does, as frozen values. Times are Unix seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

PoolState = Literal["in_service", "draining", "out"]
ActionKind = Literal["scale_up", "scale_down", "prepare"]

_AGENT_NAME = re.compile(r"^agent-([1-9][0-9]{0,4})$", re.ASCII)

#: Server states in which a machine certainly serves nothing.
DEAD_STATES = frozenset({"stopped", "absent", "paused", "error"})
#: Server states in which a machine costs nothing (or is about to).
OFF_STATES = frozenset({"stopped", "absent", "stopping"})


def agent_number(name: str) -> int | None:
    """The n of ``agent-n``, or None for any other name."""
    match = _AGENT_NAME.match(name)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent as seen from outside; None always means "not known"."""

    name: str
    number: int
    state: str | None = None  # the Server Manager's word, None when that is unreachable
    address: str | None = None
    pool: PoolState | None = None
    pool_address: str | None = None
    in_flight: int = 0
    swept: bool = False  # its metrics and readiness were asked for
    cpu_percent: float | None = None
    memory_percent: float | None = None
    ready: bool | None = None

    @property
    def in_pool(self) -> bool:
        return self.pool in ("in_service", "draining")

    @property
    def has_metrics(self) -> bool:
        return self.cpu_percent is not None and self.memory_percent is not None

    @property
    def moved(self) -> bool:
        """The pool would send requests to an address which the machine no longer has."""
        if not (self.in_pool and self.pool_address and self.address and self.state == "running"):
            return False
        return self.pool_address.rsplit(":", 1)[0] != self.address


@dataclass(frozen=True, slots=True)
class Application:
    """What the deployment document says, as far as the scaler needs it."""

    name: str
    release: str
    port: int
    ready_path: str
    metrics_path: str | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at everything, at one moment."""

    at: float
    agents: tuple[Agent, ...] = ()
    servers_known: bool = True
    pool_known: bool = True
    application: Application | None = None
    problems: tuple[str, ...] = ()

    @property
    def in_service(self) -> tuple[Agent, ...]:
        return tuple(a for a in self.agents if a.pool == "in_service")


@dataclass(frozen=True, slots=True)
class Rate:
    """By how much the number of agents may change within a period: the larger of the two."""

    agents: int
    percent: float = 0.0
    period_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The fences around every decision. Times in seconds."""

    agents_min: int
    agents_max: int
    cooldown_up_s: float
    cooldown_down_s: float
    stabilization_up_s: float = 0.0
    stabilization_down_s: float = 0.0
    up_rate: Rate = Rate(4, 100.0)
    down_rate: Rate = Rate(1)
    warmup_s: float = 0.0
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """How actions are chosen, and when the scaler gives up on an agent. Times in seconds.

    Attributes:
        warm_agents: stopped agents that are kept prepared for the next scale-up.
        silent_looks: looks in a row that an agent may fail altogether.
        unready_s: for which an application may not be ready while another one is.
        none_ready_s: after which it is an alarm that none is.
    """

    agents_max: int
    warm_agents: int = 0
    silent_looks: int = 2
    unready_s: float = 7.0
    none_ready_s: float = 30.0
    backoff_s: float = 5.0
    backoff_limit_s: float = 120.0
    actions_at_once: int = 3
    quarantine_failures: int = 3
    quarantine_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Lease:
    """Someone (``up``, a deploy) asked that no new action starts until then."""

    holder: str
    until: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """Failed actions of one agent: when it may be tried again, and until when it is set aside.

    Attributes:
        suspect: it stopped answering while it served; others are used first until it serves again.
        undo: the last start failed, and what it left has not been taken down yet.
    """

    failures: int = 0
    not_before: float = 0.0
    quarantined_until: float = 0.0
    suspect: bool = False
    undo: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What the scaler remembers across restarts: what was requested, never what was observed.

    Attributes:
        prepared: agents whose machine has a release's image, and which release that is.
    """

    desired: int
    floor: int = 0
    floor_until: float = 0.0
    last_scaling_at: float = 0.0
    lease: Lease | None = None
    paused: bool = False
    troubles: dict[str, Trouble] = field(default_factory=dict)
    prepared: dict[str, str] = field(default_factory=dict)

    def effective_floor(self, now: float) -> int:
        return self.floor if now < self.floor_until else 0

    def held(self, now: float) -> bool:
        return self.lease is not None and now < self.lease.until


@dataclass(frozen=True, slots=True)
class Action:
    """One run of one playbook for one agent."""

    kind: ActionKind
    agent: str
    reason: str


@dataclass(frozen=True, slots=True)
class Eject:
    """Take an agent out of the pool at once."""

    agent: str
    reason: str
    suspect: bool = False  # its machine runs, as far as anyone knows


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do next; ``blocked_by`` says why nothing is started.

    Attributes:
        restores: agents that drain, are fit to serve, and are wanted again.
        cancels: agents that are being taken down, and are wanted again.
    """

    ejects: tuple[Eject, ...] = ()
    actions: tuple[Action, ...] = ()
    blocked_by: str | None = None
    alarms: dict[str, str] = field(default_factory=dict)
    restores: tuple[str, ...] = ()
    cancels: tuple[str, ...] = ()

    @property
    def action(self) -> Action | None:
        """The first of the actions."""
        return self.actions[0] if self.actions else None


@dataclass(frozen=True, slots=True)
class ActionResult:
    """How a playbook run ended. ``stages`` are (task, outcome, seconds)."""

    ok: bool
    seconds: float
    stages: tuple[tuple[str, str, float], ...] = ()
    failed_task: str | None = None
    failed_host: str | None = None
    message: str | None = None
    cancelled: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "failed_task": self.failed_task,
            "failed_host": self.failed_host,
            "failure": self.message,
            "stages": [[task, outcome, round(s, 3)] for task, outcome, s in self.stages],
        }
