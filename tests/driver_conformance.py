# SPDX-License-Identifier: GPL-3.0-or-later
"""What every provider driver has to do. Subclass with a fixture ``drivers``; see test_fake."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from clusterops.server_manager.driver import (
    Driver,
    FaultDriver,
    NotPossible,
    Role,
    ServerSpec,
    ServerState,
    UnknownServer,
)

MakeDriver = Callable[[], Driver]
SEED = {"/etc/conformance/seed": (0o600, b"seeded\n")}


def agent(
    number: int, base_port: int, seeded: list[Sequence[str]] | None = None, **changes: object
) -> ServerSpec:
    """A small agent whose ports lie at ``base_port`` and above."""

    def seed(addresses: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        if seeded is not None:
            seeded.append(addresses)
        return SEED

    values: dict[str, object] = {
        "name": f"agent-{number}",
        "role": Role.AGENT,
        "cpus": 0.25,
        "memory_mb": 384,
        "ports": {
            "ssh": base_port + number,
            "app": base_port + 20 + number,
            "metrics": base_port + 40 + number,
        },
        "seed": seed,
        **changes,
    }
    return ServerSpec(**values)  # type: ignore[arg-type]


class DriverConformance:
    """Tests of one driver. ``make_driver`` gives new drivers that see the same machines."""

    base_port = 23400
    """The machines' ports lie up to 60 above it. Two classes that run side by side need two."""

    @pytest.fixture
    def make_driver(self) -> MakeDriver:
        raise NotImplementedError

    @pytest.fixture
    def driver(self, make_driver: MakeDriver) -> Driver:
        driver = make_driver()
        driver.prepare()
        return driver

    def test_is_a_driver(self, driver: Driver) -> None:
        assert isinstance(driver, Driver)
        driver.check()

    def test_a_new_cluster_has_no_machines(self, driver: Driver) -> None:
        assert driver.list() == []
        assert driver.get("agent-1") is None

    def test_preparing_twice_is_harmless(self, driver: Driver) -> None:
        address = driver.host_address()
        driver.prepare()
        assert driver.host_address() == address

    def test_life_of_a_machine(self, driver: Driver, make_driver: MakeDriver) -> None:
        seeded: list[Sequence[str]] = []
        spec = agent(1, self.base_port, seeded)

        assert driver.create(spec) is True
        born = driver.get("agent-1")
        assert born is not None
        assert (born.name, born.role, born.provider) == ("agent-1", Role.AGENT, driver.provider)
        assert born.state == ServerState.STOPPED
        assert (born.cpus, born.memory_mb, dict(born.ports)) == (0.25, 384, dict(spec.ports))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", born.created_at)
        assert [list(addresses) for addresses in seeded] == [[born.address]]

        assert driver.create(spec) is False, "creating again changes nothing"
        assert len(seeded) == 1, "an existing machine keeps its keys"

        assert driver.start("agent-1") is True
        assert driver.start("agent-1") is False
        running = make_driver().get("agent-1")
        assert running is not None, "another process sees the same machine"
        assert running.state == ServerState.RUNNING
        assert running.address == born.address

        assert driver.stop("agent-1", grace_s=2) is True
        assert driver.stop("agent-1") is False
        stopped = driver.get("agent-1")
        assert stopped is not None
        assert (stopped.state, stopped.address) == (ServerState.STOPPED, born.address)

        assert driver.start("agent-1") is True
        assert driver.delete("agent-1") is True, "running machines can be deleted"
        assert driver.get("agent-1") is None
        assert driver.delete("agent-1") is False

    def test_machines_are_listed_in_order(self, driver: Driver) -> None:
        for number in (11, 2):
            driver.create(agent(number, self.base_port))
        control = agent(0, self.base_port, name="control-1", role=Role.CONTROL)
        driver.create(control)
        assert [server.name for server in driver.list()] == ["control-1", "agent-2", "agent-11"]
        assert len({server.address for server in driver.list()}) == 3

    def test_a_machine_follows_its_size(self, driver: Driver) -> None:
        driver.create(agent(1, self.base_port))
        assert driver.create(agent(1, self.base_port, cpus=0.5, memory_mb=512)) is True
        server = driver.get("agent-1")
        assert server is not None
        assert (server.cpus, server.memory_mb) == (0.5, 512)

    def test_machines_that_do_not_exist(self, driver: Driver) -> None:
        for name in ("agent-7", "agent-x", "../agent-1", "agent-1;", ""):
            with pytest.raises(UnknownServer):
                driver.start(name)
            with pytest.raises(UnknownServer):
                driver.stop(name)
            assert driver.get(name) is None
            assert driver.delete(name) is False

    def test_different_machines_side_by_side(self, driver: Driver) -> None:
        barrier = threading.Barrier(3)

        def make(number: int) -> bool:
            barrier.wait()
            driver.create(agent(number, self.base_port))
            return driver.start(f"agent-{number}")

        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(make, (1, 2, 3))) == [True, True, True]
        assert {server.state for server in driver.list()} == {ServerState.RUNNING}

    def test_teardown_leaves_nothing(self, driver: Driver) -> None:
        for number in (1, 2):
            driver.create(agent(number, self.base_port))
        driver.start("agent-1")
        removed = driver.teardown()
        assert len(removed) >= 2
        assert all(isinstance(line, str) for line in removed)
        assert driver.list() == []
        assert list(driver.teardown()) == []

    def test_a_failing_seed_leaves_no_machine(self, driver: Driver) -> None:
        def broken(addresses: Sequence[str]) -> dict[str, tuple[int, bytes]]:
            raise RuntimeError("no key today")

        with pytest.raises(RuntimeError):
            driver.create(agent(1, self.base_port, seed=broken))
        assert driver.get("agent-1") is None
        assert driver.create(agent(1, self.base_port)) is True


class FaultConformance:
    """Tests of a driver that can do faults, too; beside :class:`DriverConformance`."""

    base_port: int

    def test_faults(self, driver: Driver, make_driver: MakeDriver) -> None:
        assert isinstance(driver, FaultDriver)

        def state() -> ServerState:
            server = make_driver().get("agent-1")
            assert server is not None
            return server.state

        driver.create(agent(1, self.base_port))
        for act in (driver.freeze, driver.thaw):
            with pytest.raises(NotPossible, match="is stopped"):
                act("agent-1")
        assert driver.kill("agent-1") is False
        driver.start("agent-1")
        assert driver.thaw("agent-1") is False
        assert driver.freeze("agent-1") is True
        assert driver.freeze("agent-1") is False
        assert state() == ServerState.PAUSED
        assert driver.thaw("agent-1") is True
        assert state() == ServerState.RUNNING
        driver.freeze("agent-1")
        assert driver.start("agent-1") is True, "powering on a frozen machine thaws it"
        assert state() == ServerState.RUNNING
        for frozen in (False, True):
            driver.start("agent-1")
            if frozen:
                driver.freeze("agent-1")
            assert driver.kill("agent-1") is True
            assert driver.kill("agent-1") is False
            assert state() == ServerState.STOPPED
        driver.start("agent-1")
        driver.freeze("agent-1")
        assert driver.delete("agent-1") is True, "frozen machines can be deleted"
        for act in (driver.freeze, driver.thaw, driver.kill):
            with pytest.raises(UnknownServer):
                act("agent-1")
