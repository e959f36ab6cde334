# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole cluster behind real HTTP on loopback addresses, which tiny playbooks drive.

One address serves the Server Manager, the load balancer's admin and the playbooks' hooks; every
agent has an address of its own. Promises that must hold at every moment are checked where the
state changes; what breaks one is kept in ``violations``.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "integration-token"
READ_TOKEN = "integration-token-to-read"


@dataclass
class FakeAgent:
    name: str
    address: str
    state: str = "stopped"
    app: bool = False
    cpu: float = 50.0
    memory: float = 50.0
    mood: str = "fine"  # fine, hang, dead, garbage, huge


@dataclass
class FakeCluster:
    """The state that everything shares. ``before`` and ``after`` see every hook that is called."""

    agents: dict[str, FakeAgent]
    port: int
    pool: dict[str, dict[str, Any]] = field(default_factory=dict)
    server_manager: bool = True
    before: Callable[[str], None] = lambda hook: None
    after: Callable[[str], None] = lambda hook: None
    hooks: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    slow: dict[str, float] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    job: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    metrics: str = ""  # what the load balancer tells Prometheus
    lock: threading.RLock = field(default_factory=threading.RLock)

    def serve(self, name: str) -> None:
        """Make an agent one that serves."""
        agent = self.agents[name]
        agent.state, agent.app = "running", True
        self.pool[name] = {
            "name": name,
            "address": f"{agent.address}:{self.port}",
            "state": "in_service",
            "in_flight": 0,
        }

    @property
    def in_service(self) -> set[str]:
        with self.lock:
            return {name for name, entry in self.pool.items() if entry["state"] == "in_service"}

    @property
    def powered(self) -> set[str]:
        return {name for name, agent in self.agents.items() if agent.state == "running"}

    def settled(self, count: int) -> bool:
        """``count`` agents serve, no other is powered, nothing drains."""
        with self.lock:
            return len(self.in_service) == count and self.powered == set(self.pool) == (
                self.in_service
            )

    # --- what the playbooks do ---------------------------------------------------------------

    def hook(self, what: str, name: str) -> int:
        self.before(what)
        if what in self.slow:
            time.sleep(self.slow[what])
        with self.lock:
            self.hooks.append(f"{what} {name}")
            if what in self.failing or f"{what} {name}" in self.failing:
                return 503
            code = getattr(self, f"_{what}")(self.agents[name])
        self.after(what)
        return int(code)

    def _power_on(self, agent: FakeAgent) -> int:
        agent.state = "running"
        return 200

    def _deploy(self, agent: FakeAgent) -> int:
        if agent.state != "running":
            return 409
        agent.app = True
        return 200

    def _pull(self, agent: FakeAgent) -> int:
        return 200 if agent.state == "running" else 409

    def _serve(self, agent: FakeAgent) -> int:
        if agent.state != "running" or not agent.app:
            self.violations.append(f"{agent.name} entered the pool without being healthy")
        self.serve(agent.name)
        return 200

    def _drain(self, agent: FakeAgent) -> int:
        if agent.name in self.pool:
            self.pool[agent.name]["state"] = "draining"
        return 200

    def _leave(self, agent: FakeAgent) -> int:
        self.pool.pop(agent.name, None)
        return 200

    def _undeploy(self, agent: FakeAgent) -> int:
        if agent.name in self.pool:
            self.violations.append(f"{agent.name} lost its application while in the pool")
        agent.app = False
        return 200

    def _power_off(self, agent: FakeAgent) -> int:
        if agent.name in self.pool:
            self.violations.append(f"{agent.name} was powered off while in the pool")
        agent.state, agent.app = "stopped", False
        return 200


class _Handler(BaseHTTPRequestHandler):
    cluster: FakeCluster
    agent: FakeAgent | None = None

    def log_message(self, *_: Any) -> None:
        return

    def reply(self, status: int, body: Any = None) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        cluster = self.cluster
        if self.agent:
            self.agent_answer(self.agent)
        elif self.path == "/api/v1/servers":
            if not cluster.server_manager:
                self.reply(503, {"error": "out"})
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.reply(401, {"error": "token"})
            else:
                with cluster.lock:
                    servers = [
                        {"name": a.name, "role": "agent", "state": a.state, "address": a.address}
                        for a in cluster.agents.values()
                    ]
                self.reply(200, {"servers": servers})
        elif self.path == "/api/v1/jobs":
            self.host("GET")
        elif self.path == "/metrics" and cluster.metrics:
            self.reply(200, cluster.metrics.encode())
        elif self.path == "/agents":
            with cluster.lock:
                self.reply(200, {"agents": list(cluster.pool.values())})
        else:
            self.reply(404, {})

    def host(self, method: str) -> None:
        """Jobs and faults, of which the Server Manager has one at a time and no rules."""
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.reply(401, {"error": "token"})
            return
        cluster = self.cluster
        if not cluster.server_manager:
            self.reply(503, {"error": "out"})
            return
        with cluster.lock:
            cluster.asked.append((method, self.path, body))
            if self.path.endswith("/faults"):
                known = self.path.split("/")[4] in cluster.agents
                self.reply(200 if known else 404, {"status" if known else "error": "told"})
            elif method == "POST" and not cluster.job:
                arguments = {key: value for key, value in body.items() if key != "kind"}
                cluster.job = {
                    "kind": body["kind"], "state": "running", "ended_at": None, "message": "",
                    "started_at": "2026-01-31T14:05:30.000Z", "arguments": arguments,
                    "progress": {},
                }  # fmt: skip
                self.reply(202, cluster.job)
            elif method == "POST":
                self.reply(409, {"error": "one is running"})
            elif method == "DELETE" and self.path.endswith(f"/{cluster.job.get('kind')}"):
                stopped, cluster.job = {**cluster.job, "state": "stopped"}, {}
                self.reply(200, stopped)
            elif method == "DELETE":
                self.reply(404, {"error": "none is running"})
            else:
                jobs = [cluster.job] if cluster.job else []
                self.reply(200, {
                    "jobs": jobs, "applications": [], "rate_max": 1, "duration_max_s": 1,
                })  # fmt: skip

    def do_POST(self) -> None:
        if self.path.startswith("/api/v1/"):
            self.host("POST")
            return
        _, what, name = self.path.split("/")
        status = self.cluster.hook(what, name)
        self.reply(status, {"error": f"{what} is broken"} if status != 200 else {})

    def do_PUT(self) -> None:
        entry = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.rsplit("/", 1)[1]
        with self.cluster.lock:
            agent = self.cluster.agents[name]
            if agent.state != "running" or not agent.app:
                self.cluster.violations.append(f"{name} returned without being healthy")
            self.cluster.hooks.append(f"restore {name}")
            self.cluster.pool[name] = {"name": name, "in_flight": 0, **entry}
        self.reply(200, {})

    def do_DELETE(self) -> None:
        if self.path.startswith("/api/v1/"):
            self.host("DELETE")
            return
        with self.cluster.lock:
            self.cluster.pool.pop(self.path.rsplit("/", 1)[1], None)
        self.reply(200, {})

    def agent_answer(self, agent: FakeAgent) -> None:
        if agent.state != "running" or agent.mood == "dead":
            self.close_connection = True
        elif agent.mood == "hang":
            time.sleep(20)
        elif self.path == "/ready":
            self.reply(200 if agent.app else 503, {"ready": agent.app})
        elif agent.mood == "garbage":
            self.reply(200, b"\x00\xff not json")
        elif agent.mood == "huge":
            self.reply(200, b" " * 200_000 + b"{}")
        else:
            self.reply(
                200,
                {"cpu_utilization_percent": agent.cpu, "memory_utilization_percent": agent.memory},
            )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        return  # clients of a cluster under test vanish all the time


def start(count: int = 4) -> tuple[FakeCluster, Callable[[], None]]:
    """A cluster and the function that ends it."""
    host = "127.0.0.1"
    with socket.create_server((host, 0)) as probe:
        port = int(probe.getsockname()[1])
    names = {f"agent-{n}": f"127.77.0.{n}" for n in range(1, count + 1)}
    agents = {name: FakeAgent(name, address) for name, address in names.items()}
    cluster = FakeCluster(agents, port)
    servers = []
    for where, agent in [((host, 0), None), *(((a.address, port), a) for a in agents.values())]:
        handler = type("Handler", (_Handler,), {"cluster": cluster, "agent": agent})
        server = _Server(where, handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
    cluster.url = f"http://{host}:{servers[0].server_address[1]}"

    def stop() -> None:
        for server in servers:
            server.shutdown()
            server.server_close()

    return cluster, stop
