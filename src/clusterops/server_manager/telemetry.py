# SPDX-License-Identifier: GPL-3.0-or-later
"""The Server Manager's own metrics, for Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from clusterops.server_manager.driver import Role, Server, ServerState

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# One more series for each counter, that nobody asks for. (The library left this untyped.)
disable_created_metrics()  # type: ignore[no-untyped-call]
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Telemetry:
    """Counts requests and driver calls of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "clusterops_server_manager_requests",
            "HTTP requests.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._latency = Histogram(
            "clusterops_server_manager_request_duration_seconds",
            "Time to answer an HTTP request.",
            ["route"],
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 30),
            registry=self._registry,
        )
        self._calls = Histogram(
            "clusterops_server_manager_driver_call_duration_seconds",
            "Time of a call to the provider.",
            ["operation", "outcome"],
            buckets=(0.01, 0.1, 1, 10, 60),
            registry=self._registry,
        )
        self._up = Gauge(
            "clusterops_server_manager_provider_up",
            "1 when the provider listed the machines, else 0.",
            registry=self._registry,
        )
        self._servers = Gauge(
            "clusterops_servers", "Machines of the cluster.", ["role", "state"],
            registry=self._registry,
        )  # fmt: skip

        self._expiry = Gauge(
            "clusterops_certificate_expiry_timestamp_seconds",
            "Unix time at which a certificate of the cluster's authority, or its own, ends.",
            ["certificate"],
            registry=self._registry,
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one HTTP request."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def driver_call(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one call to the provider."""
        self._calls.labels(operation, outcome).observe(seconds)

    def render(
        self, servers: Iterable[Server] | None, expiries: Mapping[str, float] | None = None
    ) -> bytes:
        """Everything in Prometheus' text format; ``servers`` is None when they are unknown.

        Args:
            expiries: when each certificate ends, Unix time.
        """
        self._expiry.clear()
        for name, ends in (expiries or {}).items():
            self._expiry.labels(name).set(ends)
        self._up.set(servers is not None)
        self._servers.clear()
        if servers is not None:
            tally = Tally((server.role, server.state) for server in servers)
            for role in Role:
                for state in ServerState:
                    if state != ServerState.ABSENT:
                        self._servers.labels(role, state).set(tally[role, state])
        return generate_latest(self._registry)
