# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster at one moment, put together from what the Server Manager and the scaler say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from clusterops.clients import START, host_url
from clusterops.errors import ClusterOpsError, NotRunningError

UNREACHABLE = "unreachable"

Json = dict[str, Any]


class _ServerManager(Protocol):
    def cluster(self) -> Json: ...

    def servers(self) -> list[Json]: ...


class _Scaler(Protocol):
    def status(self) -> Json: ...


@dataclass(frozen=True)
class Snapshot:
    """Raw answers. ``scaler`` is None when it does not answer; ``scaler_error`` says why.
    ``alerts`` are those of Prometheus that fire, one line each.
    """

    cluster: Json
    servers: list[Json]
    scaler: Json | None
    scaler_error: str | None = None
    alerts: tuple[str, ...] = ()


def take(server_manager: _ServerManager, scaler: _Scaler, cluster: Json) -> Snapshot:
    """Ask both services. A silent scaler is a finding, not an error.

    Raises:
        NotRunningError: there are no machines, or nothing answers for them.
    """
    servers = server_manager.servers()
    if not servers:
        raise NotRunningError("The cluster is not running: it has no machines.", remedy=START)
    try:
        return Snapshot(cluster, servers, scaler.status())
    except ClusterOpsError as error:
        return Snapshot(cluster, servers, None, error.message)


def compose(snapshot: Snapshot) -> Json:
    """The document of ``status --json``: its fields are a contract."""
    config = snapshot.cluster.get("config") or {}
    scaler = snapshot.scaler or {}
    agents = agents_by_name(scaler)
    known = snapshot.scaler is not None
    application = scaler.get("application") or {}
    balancer = scaler.get("load_balancer") or {}
    return {
        "name": snapshot.cluster.get("name"),
        "provider": snapshot.cluster.get("provider"),
        "nodes": [_node(server, agents, known) for server in snapshot.servers],
        "scaler": {
            "mode": scaler.get("mode") if known else UNREACHABLE,
            "desired": scaler.get("desired"),
            "min": scaler.get("min", config.get("agents_min")),
            "max": scaler.get("max", config.get("agents_max")),
            "last_decision": _decision(scaler.get("last_decision")),
        },
        "load_balancer": {
            "url": host_url(config, "port_load_balancer", 8080),
            "upstreams": list(balancer.get("agents") or []),
        },
        "application": {key: application.get(key) for key in ("name", "release", "healthy")},
    }


def agents_by_name(scaler: Json) -> dict[str, Json]:
    """The scaler's view of each agent."""
    return {str(agent.get("name")): agent for agent in scaler.get("agents") or []}


def _node(server: Json, agents: dict[str, Json], known: bool) -> Json:
    agent = agents.get(str(server.get("name")), {})
    in_service: bool | None = bool(agent.get("in_service"))
    if server.get("role") == "agent" and server.get("state") == "running" and not known:
        in_service = None  # only the scaler could tell
    return {
        "name": server.get("name"),
        "role": server.get("role"),
        "state": server.get("state"),
        "in_service": in_service,
        "cpu_percent": agent.get("cpu_percent"),
        "memory_percent": agent.get("memory_percent"),
        "address": server.get("address"),
        "ports": server.get("ports"),
    }


def _decision(decision: Any) -> Json | None:
    if not isinstance(decision, dict):
        return None
    return {key: decision.get(key) for key in ("at", "action", "reason")}
