# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at the cluster: Server Manager, load balancer, and one sweep of all agents."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import aiohttp

from clusterops.errors import ClusterOpsError
from clusterops.scaler.answers import ProbeError, parse_metrics, parse_pool, parse_servers
from clusterops.scaler.deployment import DeploymentFile
from clusterops.scaler.model import Agent, Application, Observation, PoolState, agent_number
from clusterops.scaler.settings import ScalerSettings
from clusterops.scaler.sweep import Getter, ShortageError

_LOG = logging.getLogger(__name__)
LIST_LIMIT = 4 * 1024 * 1024  # a listing of 10,000 agents
_CHUNK = 64 * 1024
_SOON_S = 0.5
"""Whoever is well is ready within this time."""


class Observer:
    """Makes observations. One client session for its life; ``close`` ends it.

    Raises:
        ClusterOpsError: the authority that the Server Manager is checked with cannot be read.
    """

    def __init__(self, settings: ScalerSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._deployment = DeploymentFile(settings.deployment_file)
        self._getter = Getter(settings.sweep_timeout_s)
        self._tls = tls_of(settings.server_manager_ca_file)

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

    async def glance(self, before: Observation) -> Observation:
        """Look again at the pool, and whether those in it are well.

        Only those that are not ready, or not soon, are asked for metrics, too.
        """
        pool = await self._pool()
        if isinstance(pool, ProbeError):
            return replace(before, pool_known=False)
        agents = [_with_entry(agent, pool.get(agent.name, {})) for agent in before.agents]
        answers = {
            agent.name: asyncio.create_task(self._is_ready(agent, before.application))
            for agent in agents
            if agent.in_pool
        }
        if answers:
            await asyncio.wait(answers.values(), timeout=_SOON_S)
        looks = (self._second_glance(agent, answers.get(agent.name)) for agent in agents)
        seen = await asyncio.gather(*looks)
        return replace(before, at=self._clock(), agents=tuple(seen))

    async def _is_ready(self, agent: Agent, application: Application | None) -> bool | None:
        """None where that is not known."""
        address = _address_asked(agent)
        if not address:
            return None
        with contextlib.suppress(ShortageError):
            return await self._ready(address, application)
        return None

    async def _second_glance(self, agent: Agent, answer: asyncio.Task[bool | None] | None) -> Agent:
        address = _address_asked(agent)
        if answer is None or not address or (answer.done() and answer.result() is None):
            return replace(agent, swept=False)
        if answer.done() and answer.result():
            return replace(agent, swept=True, ready=True)
        try:
            metrics, ready = await asyncio.gather(self._metrics(address), answer)
        except ShortageError:
            return replace(agent, swept=False)
        cpu, memory = metrics or (None, None)
        swept = ready is not None
        return replace(agent, swept=swept, ready=ready, cpu_percent=cpu, memory_percent=memory)

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
        address = _address_asked(agent)
        if not address:
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
                    method, url, headers=headers, json=content, allow_redirects=False, ssl=self._tls
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
            raise ProbeError(f"{url}: {reason_of(error)}") from error


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


def tls_of(ca_file: Path | None) -> ssl.SSLContext | bool:
    """How the Server Manager is checked. Raises ClusterOpsError."""
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ClusterOpsError(
            f"{ca_file}: not a readable certificate of an authority", remedy="./playground up"
        ) from error


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
        state = None if servers is None else str(server.get("state", "absent"))
        agent = Agent(name, number, state=state, address=_text(server.get("address")))
        agents.append(_with_entry(agent, (pool or {}).get(name, {})))
    return sorted(agents, key=lambda agent: agent.number)


def _with_entry(agent: Agent, entry: dict[str, Any]) -> Agent:
    """The agent, with what the load balancer's pool says of it."""
    state, in_flight = entry.get("state"), entry.get("in_flight", 0)
    known = state in ("in_service", "draining", "out")
    return replace(
        agent,
        pool=cast(PoolState, state) if known else None,
        pool_address=_text(entry.get("address")),
        in_flight=in_flight if isinstance(in_flight, int) else 0,
    )


def _address_asked(agent: Agent) -> str | None:
    """Where an agent is asked how it is: the address that gets the traffic is what matters."""
    if agent.state not in (None, "running"):
        return None
    if agent.in_pool and agent.pool_address:
        return agent.pool_address.rsplit(":", 1)[0]
    return agent.address


def reason_of(error: Exception) -> str:
    """Few words: aiohttp's own carry addresses and its idea of TLS."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not one of this cluster"
    if isinstance(error, aiohttp.ClientConnectorError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
