# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of requests and responses, for the OpenAPI description."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from clusterops.server_manager.driver import Role, Server, ServerState


class Banner(BaseModel):
    """Who answers."""

    service: str = "server-manager-api"
    status: str = "running"


class Health(BaseModel):
    """Whether the service works; ``config`` is stale while cluster.yml is invalid."""

    service: str = "server-manager-api"
    status: str = "healthy"
    config: Literal["current", "stale"]


class ServerBody(BaseModel):
    """A machine. ``ports`` are host ports by purpose: agents have ssh, app and metrics; the
    control node ssh, load_balancer, dashboard and prometheus. Memory in MiB."""

    name: str
    role: Role
    state: ServerState
    provider: str
    address: str | None
    ports: dict[str, int]
    cpus: float
    memory_mb: int
    created_at: str

    @classmethod
    def of(cls, server: Server) -> ServerBody:
        return cls(
            name=server.name,
            role=server.role,
            state=server.state,
            provider=server.provider,
            address=server.address,
            ports=dict(server.ports),
            cpus=server.cpus,
            memory_mb=server.memory_mb,
            created_at=server.created_at,
        )


class ServerList(BaseModel):
    """All machines of the cluster, the control node first."""

    servers: list[ServerBody]


class ClusterBody(BaseModel):
    """The cluster; ``config`` is the resolved cluster.yml."""

    name: str
    provider: str
    host_address: str = Field(description="How machines reach the host.")
    network: str = Field(description="The machines' network, in CIDR notation.")
    server_manager_url: str = Field(description="This API, as machines reach it.")
    ssh_user: str
    node_python: str
    program: str = Field(description="Digest of the program that answers; see clusterops.program.")
    config: dict[str, Any]


class PowerRequest(BaseModel):
    """What to do with which machine."""

    action: Literal["on", "off"]
    server: str = Field(min_length=1)


class CreateRequest(BaseModel):
    """The machine to make: control-1, or agent-N with N up to agents_max."""

    name: str = Field(pattern="^(control-1|agent-([1-9]|[1-4][0-9]|50))$")


class StatusBody(BaseModel):
    """What was done."""

    status: str
