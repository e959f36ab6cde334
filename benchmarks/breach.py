#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the look that sees too much load to the first request of the new agent, stage by stage.

    .venv/bin/python benchmarks/breach.py [--rounds 3]

It makes a cluster of its own (one agent; about twelve minutes) and takes it down again. Real load
makes the scaler start an agent that does not exist, one that existed and was stopped, and one that
the warm pool prepared, each several times. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.cluster import Cluster, request, wait_for  # noqa: E402

SCALER = "http://127.0.0.1:19000/api/v1"
SERVERS = "http://127.0.0.1:13000/api/v1/servers"
AGENT = "agent-2"
USERS = 30
SETTINGS = {"agents_max": 2, "scaling_cooldown_s": 5, "scaling_hold_s": 1}
#: What a task's name contains -> the stage that it belongs to; the first that fits.
STAGES = (
    ("Start the machine", "the machine is powered on"),
    ("Wait until the machine answers", "it boots, until ssh answers"),
    ("Run the release", "image pull, start of the application, ready"),
    ("Serve requests", "the load balancer takes it"),
    ("", "everything else: is it prepared?"),
)
OVERHEAD = "Ansible itself"
ORDER = ("the tick decides", *(stage for _, stage in STAGES), OVERHEAD, "its first request")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default="new,stopped,warm", help="which, with commas")
    arguments = parser.parse_args()
    kinds = arguments.kinds.split(",")
    seen: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster("playground-bench", Path(folder))
        cluster.configure(**SETTINGS)
        try:
            cluster.run("up", timeout=1800)
            for kind in kinds:
                if kind == "warm":
                    cluster.configure(**SETTINGS, warm_agents=1)
                    cluster.run("up")
                for _ in range(arguments.rounds):
                    seen[kind].append(_breach(cluster, kind))
                    print(json.dumps({kind: seen[kind][-1]}), file=sys.stderr)
        finally:
            cluster.run("down", "--keep-images", check=False)
    for kind, rounds in seen.items():
        _print(kind, rounds)
    return 0


def _breach(cluster: Cluster, kind: str) -> dict[str, float]:
    """Seconds of each stage of one scale-up under load."""
    _prepare(cluster, kind)
    with _load(cluster) as began:
        wait_for("the agent serves", lambda: AGENT in _serving(), 120, every=0.5)
        time.sleep(2)
    stages = _stages(cluster, began)
    wait_for("one agent again", lambda: _state() == "stopped" and not _busy(), 180)
    return stages


def _prepare(cluster: Cluster, kind: str) -> None:
    """Let the next agent be of this kind."""
    token = (cluster.folder / ".playground/token").read_text().strip()
    request("POST", f"{SCALER}/desired", {"desired": 1}, token)
    wait_for("one agent", lambda: _state() in ("stopped", "absent") and not _busy(), 180)
    deleted = time.time()
    if kind in ("new", "warm"):
        request("DELETE", f"{SERVERS}/{AGENT}", None, token)
    if kind == "warm":
        wait_for("the warm pool", lambda: bool(_events(deleted, "finished", "prepare")), 120)
    time.sleep(10)


@contextmanager
def _load(cluster: Cluster) -> Iterator[float]:
    """Traffic for 60 seconds at most; Unix time of its beginning."""
    began = time.time()
    load = cluster.start("load", "--duration", "60", "--users", str(USERS), "--json")
    try:
        yield began
    finally:
        load.communicate(timeout=120)


def _stages(cluster: Cluster, began: float) -> dict[str, float]:
    """What the scaler's record and the load balancer's log say."""
    ticks = request("GET", f"{SCALER}/ticks?limit=100&after={_since(began)}")[1]["ticks"]

    def first(kind: str) -> dict[str, Any]:
        return _events(began, kind, "scale_up")[0]

    breach = next(tick for tick in reversed(ticks) if (tick["decision"]["wished"] or 0) > 1)
    served = _first_request(cluster, began)
    finished, started = first("finished"), _at(first("started"))
    stages = dict.fromkeys(ORDER, 0.0)
    stages["the tick decides"] = started - _at(breach)
    for task, _outcome, seconds in finished["stages"]:
        stages[next(stage for part, stage in STAGES if part in task)] += seconds
    # The playbook ends a moment after the agent is in service.
    into_service = served - started
    known = sum(seconds for stage, seconds in stages.items() if stage != "the tick decides")
    stages[OVERHEAD] = max(min(finished["seconds"], into_service) - known, 0.0)
    stages["its first request"] = max(served - _at(finished), 0.0)
    stages["all"] = served - _at(breach)
    return {stage: round(seconds, 2) for stage, seconds in stages.items()}


def _first_request(cluster: Cluster, began: float) -> float:
    """Unix time at which the load balancer passed the first request to the agent."""
    log = cluster.on(
        "control-1", f'grep -h \'"agent":"{AGENT}"\' /var/log/nginx/*.log | tail -n 100000'
    )
    for line in log.splitlines():
        entry = json.loads(line)
        ended = float(entry["epoch_s"])
        if ended >= began:
            return ended - float(entry["duration_s"])
    raise AssertionError("the agent has served no request")


def _events(since: float, kind: str, action: str) -> list[dict[str, Any]]:
    """What the scaler has done since then, the first first."""
    address = f"{SCALER}/events?kind={kind}&after={_since(since)}"
    events = request("GET", address)[1]["events"]
    return [event for event in reversed(events) if event["action"] == action]


def _since(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _status() -> dict[str, Any]:
    status: dict[str, Any] = request("GET", f"{SCALER}/status")[1]
    return status


def _serving() -> list[str]:
    return [agent["name"] for agent in _status()["agents"] if agent["in_service"]]


def _busy() -> bool:
    return _status()["action"] is not None


def _state() -> str:
    agents = {agent["name"]: agent["state"] for agent in _status()["agents"]}
    return str(agents.get(AGENT, "absent"))


def _at(entry: dict[str, Any]) -> float:
    return datetime.fromisoformat(entry["at"]).timestamp()


def _print(kind: str, rounds: list[dict[str, float]]) -> None:
    whole = statistics.median(one["all"] for one in rounds)
    print(f"\n| {kind} agent, {len(rounds)} rounds | median | share |\n| --- | --- | --- |")
    for stage in (*ORDER, "all"):
        seconds = statistics.median(one[stage] for one in rounds)
        print(f"| {stage} | {seconds:.1f} s | {100 * seconds / whole:.0f} % |")
    print(f"| all: least, most | {min(o['all'] for o in rounds):.1f}, "
          f"{max(o['all'] for o in rounds):.1f} s | |")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
