# SPDX-License-Identifier: GPL-3.0-or-later
"""Order, limits and names: the rules that hold whatever the provider."""

from __future__ import annotations

import asyncio

import pytest

from clusterops.config import ClusterConfig
from clusterops.server_manager.driver import DriverTimeout, Role, is_node_name
from clusterops.server_manager.service import server_spec

from .conftest import Fixture


async def test_calls_on_one_machine_follow_each_other(manager: Fixture) -> None:
    await manager.service.create("agent-1")
    with manager.held("start"):
        on = asyncio.create_task(manager.service.power("on", "agent-1"))
        await manager.asked("start")
        off = asyncio.create_task(manager.service.power("off", "agent-1"))
        await asyncio.sleep(0.05)
        assert ("stop", "agent-1") not in manager.world.calls
    assert await on and await off
    assert (await manager.service.get("agent-1")).state == "stopped"


async def test_calls_on_different_machines_run_side_by_side(manager: Fixture) -> None:
    names = [f"agent-{n}" for n in (1, 2, 3, 4)]
    for name in names:
        await manager.service.create(name)
    with manager.held("start"):
        calls = [asyncio.create_task(manager.service.power("on", name)) for name in names]
        await manager.asked("start", times=4)
    assert all(await asyncio.gather(*calls))


async def test_only_one_of_many_creations_creates(manager: Fixture) -> None:
    with manager.held("create"):
        calls = [asyncio.create_task(manager.service.create("agent-1")) for _ in range(8)]
        await manager.asked("create")
    assert [created for _, created in await asyncio.gather(*calls)].count(True) == 1


async def test_a_slow_call_ends_in_time_and_keeps_its_machine(manager: Fixture) -> None:
    await manager.service.create("agent-1")
    await manager.service.create("agent-2")
    with manager.held("start"):
        with pytest.raises(DriverTimeout, match=r"start of 'agent-1' within 1 s"):
            await manager.service.power("on", "agent-1")
        # The provider is still at it: a second call must not reach the machine.
        with pytest.raises(DriverTimeout, match="still busy: start"):
            await manager.service.power("on", "agent-1")
        assert manager.world.calls.count(("start", "agent-1")) == 1
        assert (await manager.service.get("agent-1")).state == "starting"
        await manager.service.power("off", "agent-2")
        off = asyncio.create_task(manager.service.power("off", "agent-1"))
        await asyncio.sleep(0.05)
        assert ("stop", "agent-1") not in manager.world.calls
    await off
    assert (await manager.service.get("agent-1")).state == "stopped"


async def test_a_client_that_leaves_does_not_free_the_machine(manager: Fixture) -> None:
    await manager.service.create("agent-1")
    with manager.held("start"):
        call = asyncio.create_task(manager.service.power("on", "agent-1"))
        await manager.asked("start")
        call.cancel()
        off = asyncio.create_task(manager.service.power("off", "agent-1"))
        await asyncio.sleep(0.05)
        assert ("stop", "agent-1") not in manager.world.calls
    await off
    assert (await manager.service.get("agent-1")).state == "stopped"


async def test_reading_does_not_wait_for_a_change(manager: Fixture) -> None:
    await manager.service.create("agent-1")
    await manager.service.power("on", "agent-1")
    with manager.held("stop"):
        stop = asyncio.create_task(manager.service.power("off", "agent-1"))
        await manager.asked("stop")
        assert [server.state for server in await manager.service.list()] == ["stopping"]
    await stop


async def test_a_hanging_provider_does_not_hang_reading(manager: Fixture) -> None:
    with manager.held("list"), pytest.raises(DriverTimeout, match="list"):
        await manager.service.list()


async def test_seeds_name_every_address(manager: Fixture) -> None:
    manager.config = ClusterConfig(cluster_bind_address="192.168.1.5")
    await manager.service.create("agent-1")
    seed = manager.world.seeds["agent-1"]["/seed"][1].decode()
    assert seed == "agent-1 ['192.0.2.101', '192.168.1.5']"


def test_specifications_follow_cluster_yml() -> None:
    config = ClusterConfig(port_ssh=4000, agent_cpus=2, control_memory_mb=2048)
    agent = server_spec(config, "agent-3", lambda *_: {})
    assert (agent.role, agent.cpus, agent.ports["ssh"], agent.ports["app"]) == (
        Role.AGENT, 2, 4003, 5003,
    )  # fmt: skip
    control = server_spec(config, "control-1", lambda *_: {})
    assert (control.role, control.memory_mb, control.ports["ssh"]) == (Role.CONTROL, 2048, 4000)


def test_published_ports_are_those_of_the_configuration() -> None:
    config = ClusterConfig(agents_max=2)
    used = {
        port
        for name in config.server_names
        for port in server_spec(config, name, lambda *_: {}).ports.values()
    }
    assert used | {config.port_server_manager} == set(config.host_ports().values())


@pytest.mark.parametrize("name", ["agent-1\n", "agent-٣", "agent-155", "agent--1", "Agent-1", ""])
def test_strange_names(name: str) -> None:
    assert not is_node_name(name)


async def test_a_machine_has_more_cpu_while_it_starts_and_its_own_afterwards() -> None:
    manager = Fixture(agent_cpus=0.5, startup_cpus=2.0, startup_boost_s=0.5)
    await manager.service.create("agent-1")
    await manager.service.power("on", "agent-1")
    assert manager.world.machines["agent-1"].cpus == 2.0
    assert (await manager.service.get("agent-1")).cpus == 0.5  # what it has in the long run
    await manager.until(lambda: manager.world.machines["agent-1"].cpus == 0.5)
    manager.service.close()


async def test_a_running_machine_is_not_boosted_by_turning_it_on_again() -> None:
    manager = Fixture(agent_cpus=0.5, startup_cpus=2.0, startup_boost_s=0.05)
    await manager.service.create("agent-1")
    await manager.service.power("on", "agent-1")
    await manager.until(lambda: manager.world.machines["agent-1"].cpus == 0.5)
    assert not await manager.service.power("on", "agent-1")
    assert manager.world.machines["agent-1"].cpus == 0.5
    manager.service.close()


async def test_a_boost_that_was_cut_off_ends_when_the_server_manager_starts_again() -> None:
    manager = Fixture(agent_cpus=0.5, startup_cpus=2.0, startup_boost_s=60)
    await manager.service.create("agent-1")
    await manager.service.power("on", "agent-1")
    await manager.service.settle()
    assert manager.world.machines["agent-1"].cpus == 0.5
    manager.service.close()


async def test_no_boost_for_a_machine_that_is_larger_anyway_or_where_it_is_off() -> None:
    for settings in ({"agent_cpus": 4.0}, {"startup_cpus": 0.0}):
        manager = Fixture(**settings)
        await manager.service.create("agent-1")
        await manager.service.power("on", "agent-1")
        assert manager.world.machines["agent-1"].cpus == manager.config.agent_cpus
        manager.service.close()
