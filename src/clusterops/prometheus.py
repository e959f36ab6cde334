# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus on the control node knows: figures of now and of a time span, and alerts."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlencode

from clusterops.clients import JsonClient, host_url
from clusterops.errors import ClusterOpsError

Json = dict[str, Any]
Points = list[tuple[float, float]]

_PREFIX = "clusterops_load_balancer_"
#: The window of rates: three scrapes.
WINDOW = "30s"
RATE = f"sum(rate({_PREFIX}requests_total[{WINDOW}]))"
RATE_OF_AGENTS = f"sum by (agent) (rate({_PREFIX}requests_total[{WINDOW}]))"
ERROR_RATE = f'sum(rate({_PREFIX}requests_total{{status="5xx"}}[{WINDOW}])) or vector(0)'


def quantile(share: float) -> str:
    """The query of a latency percentile, in seconds."""
    return (
        f"histogram_quantile({share:g}, "
        f"sum by (le) (rate({_PREFIX}request_duration_seconds_bucket[{WINDOW}])))"
    )


class Prometheus:
    """A small client. Nothing here is worth an error: who does not answer knows nothing."""

    def __init__(self, config: Json, *, timeout_s: float = 3.0) -> None:
        url = host_url(config, "port_prometheus", 9090)
        self._client = JsonClient(url, "Prometheus", timeout_s=timeout_s)

    def instant(self, query: str, label: str = "") -> dict[str, float]:
        """Value by the label's value (an empty text without a label)."""
        result = self._ask("query", query=query)
        found = {}
        for row in result if isinstance(result, list) else []:
            value = _number(row.get("value"))
            if value is not None:
                found[str(row.get("metric", {}).get(label, ""))] = value
        return found

    def span(self, query: str, start: float, end: float, step_s: float) -> Points:
        """Points of a query that has one result, oldest first."""
        result = self._ask(
            "query_range", query=query, start=f"{start:.3f}", end=f"{end:.3f}", step=f"{step_s:g}"
        )
        rows = result if isinstance(result, list) else []
        values = rows[0].get("values") or [] if rows else []
        return [(float(pair[0]), value) for pair in values if (value := _number(pair)) is not None]

    def alerts(self) -> list[Json] | None:
        """Alerts that fire or are about to; None when nobody can tell."""
        try:
            body = self._client.request("GET", "/api/v1/alerts")
            alerts = body["data"]["alerts"]
        except (ClusterOpsError, KeyError, TypeError):
            return None
        return [alert_of(alert) for alert in alerts if isinstance(alert, dict)]

    def traffic(self) -> Json | None:
        """Figures of now, in the form in which the scaler tells them."""
        agents = self.instant(RATE_OF_AGENTS, "agent")
        if not agents:
            return None
        percentiles = {
            f"p{percent}_ms": _ms(self.instant(quantile(percent / 100)).get(""))
            for percent in (50, 95, 99)
        }
        return {
            "requests_per_s": round(sum(agents.values()), 1),
            "errors_per_s": round(self.instant(ERROR_RATE).get("", 0.0), 2),
            **percentiles,
            "agents": {
                name: {"requests_per_s": round(rate, 1)}
                for name, rate in agents.items()
                if name != "none"
            },
        }

    def _ask(self, what: str, **query: str) -> Any:
        try:
            body = self._client.request("GET", f"/api/v1/{what}?{urlencode(query)}")
            return body["data"]["result"]
        except (ClusterOpsError, KeyError, TypeError):
            return None


def alert_of(alert: Json) -> Json:
    """Name, state (firing, pending), severity and words of an alert."""
    labels, notes = alert.get("labels") or {}, alert.get("annotations") or {}
    words = notes.get("summary") or notes.get("description") or ""
    return {
        "name": str(labels.get("alertname", "?")),
        "state": str(alert.get("state", "?")),
        "severity": str(labels.get("severity", "")),
        "words": str(words),
    }


def _number(pair: Any) -> float | None:
    try:
        value = float(pair[1])
    except (TypeError, ValueError, IndexError, KeyError):
        return None
    return value if math.isfinite(value) else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
