# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Server Manager does, without HTTP: who may do what to which machine, and when."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from clusterops import program
from clusterops.config import CONTROL_NODE, ClusterConfig
from clusterops.errors import ClusterOpsError
from clusterops.http_api.jobs import Fault
from clusterops.server_manager.driver import (
    Driver,
    DriverTimeout,
    FaultDriver,
    NotSupported,
    Role,
    SeedFiles,
    Server,
    ServerSpec,
    ServerState,
    UnknownServer,
    is_node_name,
    node_number,
    printable,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
Action = Literal["on", "off"]
MakeSeed = Callable[[str, list[str]], SeedFiles]
"""(name of the machine, its addresses) -> its seed files."""
Observe = Callable[[str, str, float], None]
"""(operation, outcome, seconds) of each driver call."""

PROGRAM = program.digest()
"""Of what this process has loaded, not of what lies on the disk by now."""
WILDCARD = "0.0.0.0"  # noqa: S104 - compared with, not bound


class NotAnAgent(ClusterOpsError):
    """Faults are for agents alone."""


class NameNotAllowed(ClusterOpsError):
    """A machine of that name cannot be created."""


@dataclass(frozen=True)
class Limits:
    """Longest a driver call may take, seconds. A stop asks for ``grace_s``, then pulls the plug."""

    read_s: float = 20
    create_s: float = 180
    start_s: float = 60
    grace_s: float = 30
    stop_s: float = 75
    delete_s: float = 75


class Service:
    """The machines of one cluster.

    Changing calls on one machine run one after the other, those on different machines side by
    side. A call that exceeds its limit keeps its machine reserved until the driver returns, so a
    slow provider never sees two changes of one machine at once. Reading never waits for a change.
    """

    def __init__(
        self,
        *,
        config: Callable[[], ClusterConfig],
        driver: Driver,
        make_seed: MakeSeed,
        url_for: Callable[[str], str],
        limits: Limits | None = None,
        observe: Observe = lambda operation, outcome, seconds: None,
    ) -> None:
        """
        Args:
            url_for: this API's address at a host name or address.
        """
        self._config = config
        self._driver = driver
        self._make_seed = make_seed
        self._url_for = url_for
        self._limits = limits or Limits()
        self._observe = observe
        self._locks: dict[str, asyncio.Lock] = {}
        self._under_way: dict[str, str] = {}
        self._boosted: dict[str, asyncio.Task[None]] = {}
        self._executor = ThreadPoolExecutor(max_workers=64, thread_name_prefix="driver")

    async def cluster(self) -> dict[str, Any]:
        """The cluster as its nodes, its inventory and its CLI need to know it."""
        config = self._config()
        host = await self._read("host_address", self._driver.host_address)
        return {
            "name": config.cluster_name,
            "provider": self._driver.provider,
            "host_address": host,
            "network": await self._read("network", self._driver.network),
            "server_manager_url": self._url_for(host),
            "ssh_user": self._driver.ssh_user,
            "node_python": config.node_python(self._driver.provider),
            "program": PROGRAM,
            "config": config.model_dump(mode="json"),
        }

    async def list(self) -> list[Server]:
        """Every machine that exists, the control node first."""
        return [self._as_seen(server) for server in await self._read("list", self._driver.list)]

    async def get(self, name: str) -> Server:
        """One machine. Raises UnknownServer when it is not of this cluster or does not exist."""
        if not is_node_name(name):
            raise UnknownServer(name)
        server = await self._read("get", lambda: self._driver.get(name))
        if server is None:
            raise UnknownServer(name)
        return self._as_seen(server)

    async def create(self, name: str) -> tuple[Server, bool]:
        """Have a machine, powered off when new; with whether it had to be made."""
        config = self._config()
        if name not in config.server_names:
            raise NameNotAllowed(
                f"A server '{printable(name)}' is not part of this cluster; allowed: "
                f"{_names(config)}."
            )
        spec = server_spec(config, name, self._make_seed)

        def work() -> tuple[Server, bool]:
            existed = self._driver.get(name) is not None
            self._driver.create(spec)
            server = self._driver.get(name)
            if server is None:
                raise UnknownServer(name)
            return server, not existed

        server, created = await self._change(name, "create", self._limits.create_s, work)
        return self._as_seen(server), created

    async def power(self, action: Action, name: str) -> bool:
        """Turn a machine on or off; False when it was so already."""
        if action == "on":
            return await self._start(name)
        if not is_node_name(name):
            raise UnknownServer(name)
        return await self._change(
            name,
            "stop",
            self._limits.stop_s,
            lambda: self._driver.stop(name, self._limits.grace_s),
        )

    async def fault(self, fault: Fault, name: str) -> bool:
        """Do to an agent what happens to machines; False where it was so already.

        Raises:
            NotAnAgent: the control node is spared.
            NotSupported: the provider's driver has no faults.
            NotPossible: the agent's state does not allow it.
        """
        if name == CONTROL_NODE:
            raise NotAnAgent(f"'{name}' is spared: faults are for agents.")
        if not is_node_name(name):
            raise UnknownServer(name)
        driver = self._driver
        if not isinstance(driver, FaultDriver):
            raise NotSupported(f"The provider '{driver.provider}' cannot {fault} machines.")
        act = {"kill": driver.kill, "freeze": driver.freeze, "thaw": driver.thaw}[fault]
        return await self._change(name, fault, self._limits.start_s, lambda: act(name))

    async def _start(self, name: str) -> bool:
        config = self._config()
        if name not in config.server_names:
            raise UnknownServer(name)
        spec = server_spec(config, name, self._make_seed)
        boost = config.startup_cpus > spec.cpus and config.startup_boost_s > 0

        def work() -> bool:
            server = self._driver.get(name)
            if server is None:
                raise UnknownServer(name)
            if boost and server.state is ServerState.STOPPED:
                self._driver.create(replace(spec, cpus=config.startup_cpus))
            return self._driver.start(name)

        started = await self._change(name, "start", self._limits.start_s, work)
        if started and boost:
            if earlier := self._boosted.get(name):
                earlier.cancel()
            self._boosted[name] = asyncio.create_task(self._end_boost(name, config.startup_boost_s))
        return started

    async def _end_boost(self, name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._boosted.pop(name, None)
        try:
            await self._settle(name)
        except ClusterOpsError as error:
            log.warning("the CPUs of '%s' could not be set: %s", name, error)

    async def settle(self) -> None:
        """Give every machine the size that cluster.yml says: a boost may have been cut off."""
        for server in await self.list():
            if server.name in self._config().server_names:
                await self._settle(server.name)

    async def _settle(self, name: str) -> None:
        spec = server_spec(self._config(), name, self._make_seed)

        def work() -> bool:
            return self._driver.get(name) is not None and self._driver.create(spec)

        await self._change(name, "resize", self._limits.start_s, work)

    async def delete(self, name: str) -> None:
        """Remove a machine with its disks."""
        if not is_node_name(name):
            raise UnknownServer(name)
        limit = self._limits.delete_s
        if not await self._change(name, "delete", limit, lambda: self._driver.delete(name)):
            raise UnknownServer(name)

    def close(self) -> None:
        """Start no more driver calls; those under way end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _as_seen(self, server: Server) -> Server:
        """A machine's state, with what is being done to it right now."""
        if server.name in self._boosted:  # what it has in the long run
            config = self._config()
            nominal = config.control_cpus if server.role is Role.CONTROL else config.agent_cpus
            server = replace(server, cpus=nominal)
        operation = self._under_way.get(server.name)
        if operation == "start" and server.state != ServerState.RUNNING:
            return replace(server, state=ServerState.STARTING)
        if operation in ("stop", "delete") and server.state == ServerState.RUNNING:
            return replace(server, state=ServerState.STOPPING)
        return server

    async def _read(self, operation: str, work: Callable[[], T]) -> T:
        return await self._bounded(self._submit(operation, work), operation, self._limits.read_s)

    async def _change(self, name: str, operation: str, limit_s: float, work: Callable[[], T]) -> T:
        lock = self._locks.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(limit_s):
                await lock.acquire()
        except TimeoutError:
            raise DriverTimeout(
                f"'{name}' is still busy: {self._under_way.get(name, 'an earlier call')} "
                f"has not finished within {limit_s:g} s"
            ) from None
        self._under_way[name] = operation

        def finished(_: asyncio.Future[T]) -> None:
            self._under_way.pop(name, None)
            lock.release()

        try:
            future = self._submit(operation, work)
        except BaseException:
            self._under_way.pop(name, None)
            lock.release()
            raise
        future.add_done_callback(finished)
        log.info("driver call operation=%s server=%s", operation, name)
        return await self._bounded(future, f"{operation} of '{name}'", limit_s)

    async def _bounded(self, future: asyncio.Future[T], what: str, limit_s: float) -> T:
        # asyncio.wait leaves the thread alone when the limit passes or the client goes away.
        await asyncio.wait({future}, timeout=limit_s)
        if not future.done():
            raise DriverTimeout(
                f"the provider '{self._driver.provider}' did not finish the {what} "
                f"within {limit_s:g} s"
            )
        return future.result()

    def _submit(self, operation: str, work: Callable[[], T]) -> asyncio.Future[T]:
        def timed() -> T:
            begin = time.monotonic()
            outcome = "error"
            try:
                result = work()
                outcome = "success"
                return result
            finally:
                self._observe(operation, outcome, time.monotonic() - begin)

        future = asyncio.get_running_loop().run_in_executor(self._executor, timed)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future


def server_spec(config: ClusterConfig, name: str, make_seed: MakeSeed) -> ServerSpec:
    """The machine that cluster.yml describes under a name."""
    bind = config.cluster_bind_address
    extra = [] if bind == WILDCARD else [bind]

    def seed(addresses: Any) -> SeedFiles:
        return make_seed(name, [*addresses, *(a for a in extra if a not in addresses)])

    if name == CONTROL_NODE:
        tls = config.load_balancer_tls != "none"
        return ServerSpec(
            name=name,
            role=Role.CONTROL,
            cpus=config.control_cpus,
            memory_mb=config.control_memory_mb,
            ports={
                "ssh": config.port_ssh,
                "load_balancer": config.port_load_balancer,
                **({"load_balancer_tls": config.port_load_balancer_tls} if tls else {}),
                "dashboard": config.port_dashboard,
                "prometheus": config.port_prometheus,
            },
            seed=seed,
        )
    number = node_number(name) - 100
    return ServerSpec(
        name=name,
        role=Role.AGENT,
        cpus=config.agent_cpus,
        memory_mb=config.agent_memory_mb,
        ports={
            "ssh": config.port_ssh + number,
            "app": config.port_app + number,
            "metrics": config.port_metrics + number,
        },
        seed=seed,
    )


def _names(config: ClusterConfig) -> str:
    last = config.agents_max
    return f"{CONTROL_NODE}, agent-1" + (f" to agent-{last}" if last > 1 else "")
