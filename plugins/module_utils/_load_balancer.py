# Copyright (c) Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load balancer's pool: what has to change for an agent, and the client that changes it."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    Entry = dict[str, Any]

POLL_INTERVAL_S = 0.2
_REQUEST_TIMEOUT_S = 10.0
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class LoadBalancerError(Exception):
    """The load balancer cannot do what was asked; the text is one line for the user."""


class Pool(Protocol):
    """What :func:`apply` needs of the load balancer."""

    def get(self, name: str) -> Entry | None:
        """The agent's entry, or None when it is unknown."""

    def put(self, name: str, address: str, state: str, health_path: str | None) -> Entry:
        """Add or change the agent; returns its entry. See :class:`Wanted` for ``health_path``."""

    def delete(self, name: str) -> Entry | None:
        """Remove the agent; returns its last entry, or None when it was unknown."""


@dataclass(frozen=True)
class Wanted:
    """The agent as the user wants it; ``state`` is in_service, draining or absent.

    ``health_path`` None leaves the health checks as they are, "" turns them off.
    """

    name: str
    state: str
    address: str | None = None
    health_path: str | None = None
    wait_idle: bool = False
    timeout_s: float = 30.0


@dataclass
class Outcome:
    """What was done. ``agent`` is None when there is no such agent any more."""

    changed: bool
    agent: Entry | None
    drained_s: float = 0.0
    idle: bool = True
    before: Entry = field(default_factory=dict)


def check(wanted: Wanted) -> None:
    """Raise LoadBalancerError for a wish that no load balancer can fulfil."""
    if not _NAME.fullmatch(wanted.name):
        raise LoadBalancerError(
            f"name: '{wanted.name}' is not an agent's name; use lower-case letters, digits and "
            "dashes, 63 at most, such as agent-1."
        )
    if wanted.health_path and not wanted.health_path.startswith("/"):
        raise LoadBalancerError(
            f"health_path: '{wanted.health_path}' is not a path; it begins with a slash, such as "
            "/ready."
        )
    if wanted.timeout_s < 0:
        raise LoadBalancerError(f"timeout_s: {wanted.timeout_s:g} found; it must be 0 or more.")


def apply(
    pool: Pool,
    wanted: Wanted,
    *,
    check_mode: bool,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Outcome:
    """Bring the pool to what is wanted and, if asked, wait until the agent is idle.

    Raises LoadBalancerError when the load balancer refuses or cannot be reached. An agent that is
    not idle in time is no error: ``Outcome.idle`` tells.
    """
    check(wanted)
    before = pool.get(wanted.name)
    outcome = (
        _remove(pool, wanted, before, check_mode)
        if wanted.state == "absent"
        else _place(pool, wanted, before, check_mode)
    )
    if wanted.wait_idle and wanted.state != "in_service" and not check_mode:
        _wait_idle(pool, wanted, outcome, clock, sleep)
    outcome.idle = not outcome.agent or outcome.agent["in_flight"] == 0
    return outcome


def _place(pool: Pool, wanted: Wanted, before: Entry | None, check_mode: bool) -> Outcome:
    known = before if before and before["state"] != "out" else None
    address = wanted.address or (known["address"] if known else None)
    if address is None:
        raise LoadBalancerError(
            f"address: it is missing and agent '{wanted.name}' is not in the pool; "
            "give an IPv4 address and a port such as 10.0.0.101:5000."
        )
    if known and _is_as_wanted(known, wanted, address):
        return Outcome(changed=False, agent=known, before=known)
    if check_mode:
        in_flight = before["in_flight"] if before else 0
        health_path = wanted.health_path
        if health_path is None and known:
            health_path = known.get("health_path")
        agent: Entry = {
            "name": wanted.name,
            "address": address,
            "state": wanted.state,
            "in_flight": in_flight,
        }
        if health_path:
            agent["health_path"] = health_path
    else:
        agent = pool.put(wanted.name, address, wanted.state, wanted.health_path)
    return Outcome(changed=True, agent=agent, before=known or {})


def _is_as_wanted(known: Entry, wanted: Wanted, address: str) -> bool:
    if wanted.health_path is not None and known.get("health_path", "") != wanted.health_path:
        return False
    return bool(known["address"] == address and known["state"] == wanted.state)


def _remove(pool: Pool, wanted: Wanted, before: Entry | None, check_mode: bool) -> Outcome:
    if before is None or before["state"] == "out":
        return Outcome(changed=False, agent=before)
    if check_mode:
        return Outcome(changed=True, agent=None, before=before)
    gone = pool.delete(wanted.name)
    still_busy = gone if gone and gone["in_flight"] > 0 else None
    return Outcome(changed=True, agent=still_busy, before=before)


def _wait_idle(
    pool: Pool,
    wanted: Wanted,
    outcome: Outcome,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    start = clock()
    while outcome.agent and outcome.agent["in_flight"] > 0:
        left = wanted.timeout_s - (clock() - start)
        if left < 0.001:
            break
        sleep(min(POLL_INTERVAL_S, left))
        outcome.agent = pool.get(wanted.name)
    outcome.drained_s = round(clock() - start, 3)


def look(arguments: dict[str, Any]) -> dict[str, Any]:
    """What the module load_balancer_agent finds where it has nothing to change or to wait for."""
    params = {"state": "in_service", "admin_port": 8081, **arguments}
    if params.get("wait_idle"):
        return {}
    try:
        client = Client(int(params["admin_port"]))
        wanted = Wanted(
            **{key: params.get(key) for key in ("name", "state", "address", "health_path")}
        )
        outcome = apply(client, wanted, check_mode=True, clock=float, sleep=float)
    except (LoadBalancerError, TypeError, ValueError):
        return {}
    return {} if outcome.changed else {"agent": outcome.agent, "idle": outcome.idle}


class Client:
    """The load balancer's administration interface on this node.

    Every request has its own connection and a limit of 10 s.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._host = host
        self._port = port

    def get(self, name: str) -> Entry | None:
        status, value = self._request("GET", f"/agents/{name}")
        return None if status == 404 else self._expect(status, value)

    def put(self, name: str, address: str, state: str, health_path: str | None) -> Entry:
        body: dict[str, str | None] = {"address": address, "state": state}
        if health_path is not None:
            body["health_path"] = health_path or None
        return self._expect(*self._request("PUT", f"/agents/{name}", body))

    def delete(self, name: str) -> Entry | None:
        status, value = self._request("DELETE", f"/agents/{name}")
        return None if status == 404 else self._expect(status, value)

    def _expect(self, status: int, value: Any) -> Entry:
        if status != 200 or not isinstance(value, dict) or "in_flight" not in value:
            reason = value.get("error") if isinstance(value, dict) else None
            raise LoadBalancerError(
                f"The load balancer at {self._host}:{self._port} answered {status}: "
                f"{reason or 'not the answer of a load balancer'}"
            )
        return value

    def _request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_REQUEST_TIMEOUT_S)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            payload = json.dumps(body) if body is not None else None
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as exc:
            raise LoadBalancerError(
                f"The load balancer does not answer at {self._host}:{self._port} ({exc}); on this "
                "node see 'systemctl status nginx' and 'journalctl -u nginx', start it with "
                "'systemctl start nginx' or apply the role load_balancer."
            ) from exc
        finally:
            connection.close()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, None
