# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at the cluster: Server Manager, load balancer, and one sweep of all agents."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, cast

import aiohttp

from clusterops.errors import ClusterOpsError
from clusterops.scaler.model import Agent, Application, Observation, PoolState, agent_number
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.sweep import Getter, ShortageError

_LOG = logging.getLogger(__name__)
LIST_LIMIT = 4 * 1024 * 1024  # a listing of 10,000 agents
STALE_AFTER_S = 30.0
_CHUNK = 64 * 1024


class ProbeError(ClusterOpsError):
    """A part of the cluster did not answer as it should."""


class Observer:
    """Makes observations. One client session for its life; ``close`` ends it."""

    def __init__(self, settings: ScalerSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._deployment = DeploymentFile(settings.deployment_file)
        self._getter = Getter(settings.sweep_timeout_s)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def observe(self) -> Observation:
        """Look at everything once. Never raises for what a part of the cluster does."""
        servers, pool = await asyncio.gather(self._servers(), self._pool())
        problems = [str(result) for result in (servers, pool) if isinstance(result, ProbeError)]
        try:
            application = self._deployment.read()
        except ProbeError as error:
            application = None
            problems.append(str(error))
        known_servers = None if isinstance(servers, ProbeError) else servers
        known_pool = None if isinstance(pool, ProbeError) else pool
        agents = _merge(known_servers, known_pool, self._settings.agents_max)
        swept = await asyncio.gather(*(self._sweep(agent, application) for agent in agents))
        spared = sum(agent is None for agent in swept)
        if spared:
            _LOG.warning("%d agents were not asked: no connection to spare", spared)
        return Observation(
            at=self._clock(),
            agents=tuple(new or old for new, old in zip(swept, agents, strict=True)),
            servers_known=known_servers is not None,
            pool_known=known_pool is not None,
            application=application,
            problems=tuple(problems),
        )

    async def eject(self, agent: str) -> None:
        """Take an agent out of the pool.

        Raises:
            ProbeError: the load balancer did not confirm it.
        """
        await self._change("DELETE", agent, (200, 202, 204, 404))

    async def restore(self, agent: str, address: str) -> None:
        """Put a draining agent back into service, at the address that the pool has.

        Raises:
            ProbeError: the load balancer did not confirm it.
        """
        entry = {"address": address, "state": "in_service"}
        await self._change("PUT", agent, (200, 201, 204), entry)

    async def _change(
        self, method: str, agent: str, done: tuple[int, ...], entry: dict[str, str] | None = None
    ) -> None:
        url = f"{self._settings.load_balancer_admin_url}/agents/{agent}"
        timeout_s = self._settings.sweep_timeout_s
        status, _ = await self._request(method, url, timeout_s, content=entry)
        if status not in done:
            raise ProbeError(f"load balancer: {method} {url} answered {status}")

    # --- the parts -----------------------------------------------------------------------

    async def _servers(self) -> dict[str, dict[str, Any]] | ProbeError:
        url = f"{self._settings.server_manager_url.rstrip('/')}/api/v1/servers"
        try:
            token = read_token(self._settings.token_file)
            body = await self._json(
                url,
                self._settings.server_manager_timeout_s,
                {"Authorization": f"Bearer {token}"},
            )
            return parse_servers(body)
        except ProbeError as error:
            return ProbeError(f"Server Manager: {error}")

    async def _pool(self) -> dict[str, dict[str, Any]] | ProbeError:
        url = f"{self._settings.load_balancer_admin_url.rstrip('/')}/agents"
        try:
            return parse_pool(await self._json(url, self._settings.sweep_timeout_s))
        except ProbeError as error:
            return ProbeError(f"load balancer: {error}")

    async def _sweep(self, agent: Agent, application: Application | None) -> Agent | None:
        """The agent with what it told; None where it could not be asked."""
        address = agent.address
        if agent.in_pool and agent.pool_address:
            # The address that gets the traffic is the one whose health matters.
            address = agent.pool_address.rsplit(":", 1)[0]
        if not address or agent.state not in (None, "running"):
            return agent
        try:
            metrics, ready = await asyncio.gather(
                self._metrics(address), self._ready(address, application)
            )
        except ShortageError:
            return None
        cpu, memory = metrics or (None, None)
        return replace(agent, swept=True, cpu_percent=cpu, memory_percent=memory, ready=ready)

    async def _metrics(self, address: str) -> tuple[float, float] | None:
        answer = await self._getter.get(address, self._settings.metrics_port, "/metrics")
        if answer is None or answer.status != 200:
            return None
        return parse_metrics(answer.body, answer.headers.get("date"), self._clock())

    async def _ready(self, address: str, application: Application | None) -> bool | None:
        if application is None:
            return None
        answer = await self._getter.get(address, application.port, application.ready_path)
        return answer is not None and answer.status == 200

    async def _json(
        self,
        url: str,
        timeout_s: float,
        headers: dict[str, str] | None = None,
    ) -> Any:
        status, body = await self._request("GET", url, timeout_s, headers)
        if status != 200:
            raise ProbeError(f"{url} answered {status}")
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ProbeError(f"{url} did not answer JSON") from error

    async def _request(
        self,
        method: str,
        url: str,
        timeout_s: float,
        headers: dict[str, str] | None = None,
        content: dict[str, str] | None = None,
    ) -> tuple[int, bytearray]:
        """One request within ``timeout_s`` altogether, however slowly the answer drips."""
        if self._session is None:
            # One request of each kind per tick: a connection would be idle nearly always.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                headers={"User-Agent": "clusterops-scaler", "Accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=None),
            )
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(
                    method, url, headers=headers, json=content, allow_redirects=False
                ) as answer,
            ):
                body = bytearray()
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    body += chunk
                    if len(body) > LIST_LIMIT:
                        raise ProbeError(f"{url} answered more than {LIST_LIMIT} bytes")
                return answer.status, body
        except TimeoutError as error:
            raise ProbeError(f"{url} did not answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProbeError(f"{url}: {_reason(error)}") from error


class DeploymentFile:
    """The deployment document, read again whenever the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._application: Application | None = None

    def read(self) -> Application | None:
        """The application, or None where nothing was deployed yet.

        Raises:
            ProbeError: the file is there and cannot be used.
        """
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                document = json.loads(self._path.read_text(encoding="utf-8"))
                self._application = parse_deployment(document)
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp = self._application = None
        except OSError as error:
            raise ProbeError(f"{self._path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProbeError(f"{self._path}: is no deployment document: {error!r}") from error
        return self._application


def read_token(path: Path) -> str:
    """The cluster's token.

    Raises:
        ProbeError: there is none.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ProbeError(f"{path}: the token cannot be read") from error
    if not token:
        raise ProbeError(f"{path}: the token is empty")
    return token


# --- parsing (pure) ------------------------------------------------------------------------


def parse_deployment(document: Any) -> Application:
    application = document["application"]
    port = application.get("port", 5000)
    path = application.get("ready_path", "/ready")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError(f"application.port is {port!r}")
    if not isinstance(path, str) or not path.startswith("/"):
        raise ValueError(f"application.ready_path is {path!r}")
    return Application(str(application["name"]), str(document["release"]), port, path)


def parse_servers(body: Any) -> dict[str, dict[str, Any]]:
    """Agents by name, out of a Server Manager's listing."""
    if isinstance(body, dict):
        body = body.get("servers")
    if not isinstance(body, list):
        raise ProbeError("the list of servers is no list")
    return {
        server["name"]: server
        for server in body
        if isinstance(server, dict)
        and isinstance(server.get("name"), str)
        and agent_number(server["name"]) is not None
    }


def parse_pool(body: Any) -> dict[str, dict[str, Any]]:
    """Pool entries by name, out of the load balancer's answer."""
    agents = body.get("agents") if isinstance(body, dict) else None
    if isinstance(agents, dict) and not agents:  # an empty Lua table becomes {}
        agents = []
    if not isinstance(agents, list):
        raise ProbeError("the list of agents is no list")
    return {
        entry["name"]: entry
        for entry in agents
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    }


def parse_metrics(body: bytes, date: str | None, now: float) -> tuple[float, float] | None:
    """CPU and memory in percent, or None for anything but fresh, sane numbers."""
    try:
        document = json.loads(body)
        values = [
            float(document[key])
            for key in ("cpu_utilization_percent", "memory_utilization_percent")
            if not isinstance(document[key], bool)
        ]
        age = _age(document.get("sampled_at"), date, now)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    if len(values) != 2 or not all(math.isfinite(v) and 0 <= v <= 10_000 for v in values):
        return None
    if age is not None and age > STALE_AFTER_S:
        return None
    return min(values[0], 100.0), min(values[1], 100.0)


def _age(sampled_at: Any, date: str | None, now: float) -> float | None:
    """Seconds between the sample and the answer, on the agent's own clock where it tells it."""
    if isinstance(sampled_at, str):
        sampled_at = datetime.fromisoformat(sampled_at).timestamp()
    if isinstance(sampled_at, bool) or not isinstance(sampled_at, int | float):
        return None
    if date:
        now = parsedate_to_datetime(date).timestamp()
    return now - float(sampled_at)


def _merge(
    servers: dict[str, dict[str, Any]] | None,
    pool: dict[str, dict[str, Any]] | None,
    agents_max: int,
) -> list[Agent]:
    names = {f"agent-{n}" for n in range(1, agents_max + 1)} | set(servers or ()) | set(pool or ())
    agents = []
    for name in names:
        number = agent_number(name)
        if number is None:
            continue  # an entry that someone else put into the pool: not ours to touch
        server = (servers or {}).get(name, {})
        entry = (pool or {}).get(name, {})
        state = None if servers is None else str(server.get("state", "absent"))
        pool_state = entry.get("state")
        in_flight = entry.get("in_flight", 0)
        agents.append(
            Agent(
                name=name,
                number=number,
                state=state,
                address=_text(server.get("address")),
                pool=cast(PoolState, pool_state)
                if pool_state in ("in_service", "draining", "out")
                else None,
                pool_address=_text(entry.get("address")),
                in_flight=in_flight if isinstance(in_flight, int) else 0,
            )
        )
    return sorted(agents, key=lambda agent: agent.number)


def _reason(error: Exception) -> str:
    """Few words: aiohttp's own carry addresses and its idea of TLS."""
    if isinstance(error, aiohttp.ClientConnectorError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
