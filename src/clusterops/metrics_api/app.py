# SPDX-License-Identifier: GPL-3.0-or-later
"""What the metrics API answers: its routes, apart from sockets and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from clusterops.metrics_api import http, render
from clusterops.metrics_api.sampler import Snapshot

_METHODS = ("GET", "HEAD")
_PATHS = ("/health", "/metrics", "/openapi.json")
_DOCUMENT = Path(__file__).with_name("openapi.json")


class App:
    """Answers requests from the newest snapshot; None means that there is none to be trusted."""

    def __init__(
        self, current: Callable[[], Snapshot | None], names: Iterable[str] = ("localhost",)
    ) -> None:
        """`names` are what the node is called, apart from its addresses."""
        self._current = current
        self._names = frozenset(name.lower() for name in names)

    def __call__(self, request: http.Request) -> http.Response:
        """Answer one request."""
        host = request.host
        if host is not None and not http.is_address(host) and host not in self._names:
            return http.json_response(421, {"error": "This node has another name or address."})
        if request.foreign:
            return http.json_response(403, {"error": "Web pages are not served."})
        if request.path not in _PATHS:
            known = ", ".join(_PATHS)
            return http.json_response(404, {"error": f"Not found: this API has {known}."})
        if request.method not in _METHODS:
            allowed = ", ".join(_METHODS)
            return http.json_response(
                405, {"error": f"Method not allowed: use {allowed}."}, (("Allow", allowed),)
            )
        if request.path == "/openapi.json":
            return http.Response(200, _DOCUMENT.read_bytes())
        snapshot = self._current()
        if request.path == "/health":
            healthy = snapshot is not None
            return http.json_response(
                200 if healthy else 503,
                {"service": "metrics-api", "status": "healthy" if healthy else "unhealthy"},
            )
        if snapshot is None:
            return http.json_response(
                503, {"error": "No recent sample: see the log of the metrics API."}
            )
        chosen = render.choose_format(request.accept)
        body = (
            render.to_json(snapshot)
            if chosen == "json"
            else render.to_prometheus(snapshot, openmetrics=chosen == "openmetrics")
        )
        return http.Response(200, body, render.CONTENT_TYPES[chosen], (("Vary", "Accept"),))
