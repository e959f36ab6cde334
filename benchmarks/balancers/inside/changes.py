# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes a pool: each cycle starts and adds an agent, then drains, removes and stops the oldest.

Usage: changes.py clusterops|nginx|haproxy CHANGES CONTROL_PORT WHERE AGENT_PORT...  WHERE is the
administration's port, the folder of nginx's configuration, or HAProxy's socket. ``CHANGES`` may be
0: only the two agents that every run begins with are put in. Prints JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

sys.path.insert(0, "/opt/bench")

CYCLE_S = 0.05
LIMIT_S = 10.0
#: nginx tells nobody when a reload is done; this is generous.
RELOAD_S = 0.15


class Pool(Protocol):
    """A load balancer whose agents change."""

    def add(self, name: str, address: str) -> None: ...
    def drain(self, name: str, address: str) -> None: ...
    def remove(self, name: str, address: str) -> None: ...


class Clusterops:
    """The administration interface, through the client that the collection's module uses."""

    def __init__(self, where: str) -> None:
        import _load_balancer as module  # type: ignore[import-not-found]

        self.module = module
        self.client = module.Client(int(where))

    def apply(self, name: str, state: str, address: str | None = None) -> None:
        idle = state == "draining"
        wanted = self.module.Wanted(name=name, state=state, address=address, wait_idle=idle)
        outcome = self.module.apply(
            self.client, wanted, check_mode=False, clock=time.monotonic, sleep=time.sleep
        )
        if not outcome.changed or not outcome.idle:
            raise SystemExit(f"{name} is not {state}: {outcome}")

    def add(self, name: str, address: str) -> None:
        self.apply(name, "in_service", address)

    def drain(self, name: str, address: str) -> None:
        self.apply(name, "draining")

    def remove(self, name: str, address: str) -> None:
        self.apply(name, "absent")


class Nginx:
    """A file with the servers, and a reload for every change."""

    def __init__(self, where: str) -> None:
        self.file = Path(where) / "servers.conf"
        self.master = int((Path(where) / "nginx.pid").read_text())
        self.servers: dict[str, str] = {}

    def write(self) -> None:
        new = self.file.with_suffix(".new")
        new.write_text("".join(f"server {line};\n" for line in self.servers.values()))
        new.replace(self.file)
        os.kill(self.master, signal.SIGHUP)
        time.sleep(RELOAD_S)

    def add(self, name: str, address: str) -> None:
        self.servers[name] = address
        self.write()

    def drain(self, name: str, address: str) -> None:
        self.servers[name] = f"{address} down"
        self.write()
        # Nobody but the agent itself knows what it has in flight.
        port = address.partition(":")[2]
        until(lambda: control(f"/in_flight/{port}") == 0, f"{name} is idle")

    def remove(self, name: str, address: str) -> None:
        del self.servers[name]
        self.write()


class HAProxy:
    """The runtime API."""

    def __init__(self, where: str) -> None:
        self.socket = where

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LIMIT_S)
            connection.connect(self.socket)
            connection.sendall(command.encode() + b"\n")
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts).decode().strip()

    def order(self, command: str, expected: str = "") -> None:
        reply = self.ask(command)
        if expected not in reply or (not expected and reply):
            raise SystemExit(f"haproxy answers {command!r} with {reply!r}")

    def busy(self, name: str) -> bool:
        lines = self.ask("show stat agents 4 -1").splitlines()
        columns = lines[0].lstrip("# ").split(",")
        rows = (dict(zip(columns, line.split(","), strict=False)) for line in lines[1:])
        return any(row["svname"] == name and row["scur"] != "0" for row in rows)

    def add(self, name: str, address: str) -> None:
        self.order(f"add server agents/{name} {address}", "New server registered")
        self.order(f"enable server agents/{name}")

    def drain(self, name: str, address: str) -> None:
        self.order(f"set server agents/{name} state drain")
        until(lambda: not self.busy(name), f"{name} is idle")

    def remove(self, name: str, address: str) -> None:
        self.order(f"set server agents/{name} state maint")
        self.ask(f"wait 5s srv-removable agents/{name}")
        self.order(f"del server agents/{name}", "Server deleted")


KINDS: dict[str, Callable[[str], Pool]] = {
    "clusterops": Clusterops,
    "nginx": Nginx,
    "haproxy": HAProxy,
}


def until(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > limit:
            raise SystemExit(f"not in {LIMIT_S:g} s: {what}")
        time.sleep(0.005)


def control(path: str) -> object:
    """Ask the application's control port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[3]}{path}") as response:
        return json.load(response)


def main() -> None:
    kind, changes, _, where, *ports = sys.argv[1:]
    pool = KINDS[kind](where)
    agents = [(f"agent-{i}", f"127.0.0.1:{port}") for i, port in enumerate(ports, 1)]
    if int(changes) == 0:
        for (name, address), port in zip(agents[:2], ports[:2], strict=True):
            control(f"/start/{port}")
            pool.add(name, address)
        print("{}")
        return
    if isinstance(pool, Nginx):
        pool.servers = dict(agents[:2])
    began = time.monotonic()
    done = 0
    for cycle in range(-(-int(changes) // 3)):
        new, old = (cycle + 2) % len(agents), cycle % len(agents)
        control(f"/start/{ports[new]}")
        pool.add(*agents[new])
        time.sleep(CYCLE_S)
        pool.drain(*agents[old])
        pool.remove(*agents[old])
        control(f"/stop/{ports[old]}")
        time.sleep(CYCLE_S)
        done += 3
    print(json.dumps({"changes": done, "seconds": time.monotonic() - began}))


main()
