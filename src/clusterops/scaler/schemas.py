# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of requests and answers, for the OpenAPI description. Times are UTC, ISO 8601."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

HOLDER = "[ -~]{1,64}"


class Health(BaseModel):
    """Whether the service works."""

    service: Literal["scaler"]
    status: Literal["healthy"]


class LastDecision(BaseModel):
    at: str
    action: Literal["scale_up", "scale_down", "none"]
    reason: str
    blocked_by: str | None


class Action(BaseModel):
    """What is being done to an agent."""

    kind: str
    agent: str
    step: str
    started_at: str


class AgentStatus(BaseModel):
    """An agent, as it was seen last."""

    name: str
    state: str
    in_service: bool
    healthy: bool
    cpu_percent: float | None
    memory_percent: float | None
    in_flight: int
    ready: bool | None
    pool: str | None
    address: str | None
    set_aside_until: str | None
    failures: int


class PoolEntry(BaseModel):
    """An agent, as the load balancer has it."""

    name: str
    address: str | None
    state: str
    in_flight: int


class LoadBalancer(BaseModel):
    agents: list[PoolEntry]


class ApplicationStatus(BaseModel):
    name: str | None
    release: str | None
    healthy: bool


class Floor(BaseModel):
    """The number of agents that somebody asked for."""

    agents: int
    ends_at: str


class Hold(BaseModel):
    """Who keeps the scaler from acting."""

    holder: str
    expires_at: str


class Range(BaseModel):
    """The least and the most agents."""

    min: int
    max: int


class Parts(BaseModel):
    """Whether a part answered at the last look; null before the first."""

    server_manager: bool | None
    load_balancer: bool | None


class Status(BaseModel):
    """What the scaler sees, wants and does."""

    cluster: str
    mode: Literal["auto", "held", "paused"]
    desired: int | None
    min: int
    max: int
    configured: Range
    parts: Parts
    policy: str
    observed_at: str | None
    last_decision: LastDecision | None
    action: Action | None
    actions: list[Action]
    blocked_by: str | None
    cooldown_ends_at: str | None
    floor: Floor | None
    hold: Hold | None
    agents: list[AgentStatus]
    load_balancer: LoadBalancer
    application: ApplicationStatus
    alarms: list[str]


class Event(BaseModel):
    """Something that the scaler did; some kinds have more fields."""

    model_config = ConfigDict(extra="allow")

    id: int
    at: str
    kind: str
    agent: str | None
    message: str


class Events(BaseModel):
    """Events, newest first."""

    events: list[Event]


class Ticks(BaseModel):
    """Records of ticks, newest first."""

    ticks: list[dict[str, Any]]


class AuditEntry(BaseModel):
    """A request that changed something or was refused. ``who`` is the role of its token."""

    at: str
    service: str
    who: str
    peer: str | None = None
    method: str
    path: str
    action: str | None = None
    server: str | None = None
    status: int
    seconds: float
    left_out: int = 0


class AuditEntries(BaseModel):
    """Entries of the audit log, newest first."""

    audit: list[AuditEntry]


class Target(BaseModel):
    """A target for Prometheus."""

    targets: list[str]
    labels: dict[str, str]


class Desired(BaseModel):
    """What is wanted now, and what is allowed."""

    desired: int
    min: int
    max: int


class BoundsSet(Range):
    """What holds now, what cluster.yml says, and whether this request changed anything."""

    changed: bool
    configured: Range


class Access(BaseModel):
    """Whose token came with the request, and whether it may change something."""

    role: str
    may_change: bool


class Paused(BaseModel):
    """Whether the scaler is paused, and whether this request changed that."""

    changed: bool
    paused: bool


class HoldRequest(BaseModel):
    """Who wants the scaler to start nothing, and for how long (seconds)."""

    holder: Annotated[str, Field(pattern=f"^{HOLDER}$")]
    ttl_s: Annotated[float, Field(gt=0, le=3600)] = 120
    reset_bounds: bool = False


class Held(BaseModel):
    """The hold; ``idle`` once no action is in progress."""

    held: Literal[True]
    holder: str
    expires_at: str
    idle: bool


class Released(BaseModel):
    """``released`` is whether there was a hold."""

    held: Literal[False]
    released: bool
    idle: bool
