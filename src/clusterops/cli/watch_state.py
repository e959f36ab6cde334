# SPDX-License-Identifier: GPL-3.0-or-later
"""What `status --watch` knows: how things are, and the last minutes of it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clusterops.cli import output
from clusterops.cli.snapshot import Snapshot
from clusterops.scaler.points import point_of

Json = dict[str, Any]
Series = deque[tuple[float, float]]

#: An hour of figures each second, at most.
POINTS_MAX = 3600
DECISIONS_MAX = 40
SERIES = ("rate", "errors", "p50", "p95", "p99", "cpu", "memory", "serving", "wanted")
_TRAFFIC = {"rate": "requests_per_s", "errors": "errors_per_s", "p50": "p50_ms", "p95": "p95_ms",
            "p99": "p99_ms"}  # fmt: skip


@dataclass
class Decision:
    """What the scaler decided, as often as it did so in a row. Times are Unix seconds."""

    words: str
    direction: str
    guard: str | None
    first_at: float
    last_at: float
    times: int = 1


class WatchState:
    """Takes what the feeds bring. No value in it is ever asked for."""

    def __init__(self, cluster: Json, servers: list[Json]) -> None:
        self.cluster, self.servers = cluster, servers
        self.status: Json | None = None
        self.traffic: Json | None = None
        self.alerts: list[Json] | None = None
        self.verdicts: list[Any] = []
        self.decisions: deque[Decision] = deque(maxlen=DECISIONS_MAX)
        self.events: deque[Json] = deque(maxlen=DECISIONS_MAX)
        self.series: dict[str, Series] = {name: deque(maxlen=POINTS_MAX) for name in SERIES}
        self.agent_cpu: dict[str, Series] = {}
        self.agent_rate: dict[str, Series] = {}
        self.stopped = ""  # why there is no cluster, if there is none
        self.scaler_lost = "it has not been reached yet"  # and why, while it does not answer
        self.live = False  # whether the scaler tells by itself
        self._tick_at = 0.0
        self._event_id = 0

    def snapshot(self) -> Snapshot:
        """As `status` without --watch has it."""
        lost = self.scaler_lost
        return Snapshot(self.cluster, self.servers, None if lost else self.status, lost or None)

    def apply(self, name: str, data: Any, now: float) -> None:
        """Take a message of a feed; what is not known is passed over."""
        take = getattr(self, f"_on_{name}", None)
        if take is not None:
            take(data, now)

    # --- machines --------------------------------------------------------------------------

    def _on_servers(self, servers: list[Json], _now: float) -> None:
        self.servers = servers
        self.stopped = "" if servers else "it has no machines"
        gone = self.agent_cpu.keys() - {str(server.get("name")) for server in servers}
        for name in gone:
            self.agent_cpu.pop(name, None)
            self.agent_rate.pop(name, None)

    def _on_cluster(self, cluster: Json, _now: float) -> None:
        self.cluster = cluster

    def _on_stopped(self, why: str, _now: float) -> None:
        self.stopped, self.traffic, self.alerts = why, None, None

    # --- scaler ----------------------------------------------------------------------------

    def _on_scaler_lost(self, why: str, _now: float) -> None:
        self.scaler_lost, self.live, self.traffic = why, False, None

    def _on_snapshot(self, data: Json, now: float) -> None:
        self.live = True
        self.decisions.clear()
        self._tick_at = 0.0
        for name in SERIES:
            self.series[name].clear()
        for point in data.get("points") or []:
            self._on_point(point, now)
        for point in data.get("traffic_points") or []:
            self._note_traffic(point, point["at"])
        self._on_events(data.get("events") or [], now)
        self._on_state(data, now)

    def _on_state(self, data: Json, now: float) -> None:
        self.scaler_lost = ""
        at = float(data.get("at") or now)
        self.status = data.get("status") or {}
        for agent in self.status.get("agents") or []:
            _note(self.agent_cpu, str(agent.get("name")), at, agent.get("cpu_percent"))
        self._on_traffic(data.get("traffic"), at)

    def _on_status(self, status: Json, now: float) -> None:
        self._on_state({"at": now, "status": status, "traffic": self.traffic}, now)

    def _on_traffic(self, traffic: Json | None, now: float) -> None:
        self.traffic = traffic
        if traffic is None:
            return
        self._note_traffic(traffic, now)
        for name, figures in (traffic.get("agents") or {}).items():
            _note(self.agent_rate, name, now, figures.get("requests_per_s"))

    def _note_traffic(self, figures: Json, at: float) -> None:
        for name, key in _TRAFFIC.items():
            if figures.get(key) is not None:
                self.series[name].append((at, float(figures[key])))

    def _on_point(self, point: Json, _now: float) -> None:
        """A tick, in the form of the scaler's stream."""
        at = float(point["at"])
        if at <= self._tick_at:
            return
        self._tick_at = at
        for name in ("cpu", "memory", "serving", "wanted"):
            if point.get(name) is not None:
                self.series[name].append((at, float(point[name])))
        self.verdicts = list(point.get("verdicts") or [])
        self._decided(point, at)

    def _on_ticks(self, ticks: Iterable[Json], now: float) -> None:
        """Ticks as the scaler records them, newest first."""
        for tick in reversed(list(ticks)):
            self._on_point(point_of(tick, output.timestamp(tick["at"]) or 0.0), now)

    def _decided(self, point: Json, at: float) -> None:
        words, direction = str(point.get("reason") or ""), str(point.get("direction") or "none")
        if direction != "none":
            words = f"from {point.get('was')} to {point.get('wanted')}: {words}"
        guard = point.get("blocked_by")
        last = self.decisions[0] if self.decisions else None
        # The numbers in the words change at each look: that is the same decision going on.
        if last and (last.direction, last.guard) == (direction, guard) == ("none", guard):
            last.words, last.last_at, last.times = words, at, last.times + 1
        else:
            self.decisions.appendleft(Decision(words, direction, guard, at, at))

    def _on_events(self, events: list[Json], _now: float) -> None:
        """Newest first."""
        for event in reversed(events):
            number = int(event.get("id") or 0)
            if number > self._event_id:
                self._event_id = number
                at = output.timestamp(event.get("at")) or 0.0
                self.events.appendleft({**event, "at": at})

    # --- Prometheus ------------------------------------------------------------------------

    def _on_alerts(self, alerts: list[Json] | None, _now: float) -> None:
        self.alerts = alerts


def _note(table: dict[str, Series], name: str, at: float, value: Any) -> None:
    if isinstance(value, int | float):
        table.setdefault(name, deque(maxlen=POINTS_MAX)).append((at, float(value)))
