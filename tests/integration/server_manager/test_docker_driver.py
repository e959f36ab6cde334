# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver ``docker`` on a real engine."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from docker.errors import APIError

from clusterops.server_manager.driver import (
    Cluster,
    ImageMissing,
    NameTaken,
    PortInUse,
    ServerState,
    UnknownServer,
)
from clusterops.server_manager.drivers.docker import DockerDriver
from tests.driver_conformance import DriverConformance, FaultConformance, MakeDriver, agent
from tests.integration.server_manager.conftest import CLUSTER, left_over

pytestmark = pytest.mark.integration


@pytest.fixture
def make_driver(image: str, clean: None) -> MakeDriver:
    return lambda: DockerDriver(Cluster(CLUSTER), image_for=lambda role: image)


@pytest.fixture
def driver(make_driver: MakeDriver) -> DockerDriver:
    driver = make_driver()
    assert isinstance(driver, DockerDriver)
    driver.prepare()
    return driver


class TestDockerDriver(DriverConformance, FaultConformance):
    @pytest.fixture
    def make_driver(self, image: str, clean: None) -> MakeDriver:
        return lambda: DockerDriver(Cluster(CLUSTER), image_for=lambda role: image)


BASE = DriverConformance.base_port


@pytest.fixture
def foreign(engine: Any, image: str) -> Iterator[Any]:
    # The images of a cluster carry its label, so a container that a person makes has it, too.
    container = engine.containers.create(
        image,
        "sleep 60",
        name=f"{CLUSTER}-agent-1",
        labels={"clusterops.cluster": CLUSTER},
    )
    yield container
    container.remove(force=True)


def test_a_container_of_somebody_else_is_not_touched(
    driver: DockerDriver, foreign: Any, engine: Any
) -> None:
    foreign.start()
    assert driver.get("agent-1") is None
    assert driver.list() == []
    with pytest.raises(UnknownServer):
        driver.stop("agent-1")
    with pytest.raises(NameTaken, match=r"smtest-agent-1.*did not make"):
        driver.create(agent(1, BASE))
    assert driver.delete("agent-1") is False
    driver.teardown()
    foreign.reload()
    assert foreign.status == "running"


def test_a_machine_boots_with_its_seed(driver: DockerDriver, engine: Any) -> None:
    driver.create(agent(1, BASE))
    driver.start("agent-1")
    container = engine.containers.get(f"{CLUSTER}-agent-1")
    code, output = container.exec_run(
        ["sh", "-c", "stat -c '%a %U' /etc/conformance/seed; cat /etc/conformance/seed; hostname"]
    )
    assert (code, output.decode().split()) == (0, ["600", "root", "seeded", "agent-1"])
    deadline_loop = (
        "for i in $(seq 100); do systemctl is-system-running --wait && exit; sleep .2; done"
    )
    code, output = container.exec_run(["sh", "-c", f"({deadline_loop}) 2>/dev/null | tail -1"])
    assert output.decode().strip() == "running"
    assert driver.stop("agent-1", grace_s=20)
    container.reload()
    assert container.attrs["State"]["ExitCode"] != 137, "stopped gracefully, not killed"


def test_what_a_crash_left_half_made_is_made_again(
    driver: DockerDriver, make_driver: MakeDriver, monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    def die(*_: object, **__: object) -> None:
        raise SystemExit

    api = type(driver._api)
    for step in ("put_archive", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(api, step, die)
            patch.setattr(driver, "_discard_unfinished_quietly", lambda name: None)
            with pytest.raises(SystemExit):
                driver.create(agent(1, BASE))
        assert left_over(engine), "the crash left something"
        assert driver.list() == []
        assert driver.create(agent(1, BASE)) is True
        assert [server.name for server in driver.list()] == ["agent-1"]
        assert engine.containers.list(all=True, filters={"name": "unfinished"}) == []
        driver.delete("agent-1")

    with monkeypatch.context() as patch:
        patch.setattr(api, "rename", die)
        patch.setattr(driver, "_discard_unfinished_quietly", lambda name: None)
        with pytest.raises(SystemExit):
            driver.create(agent(2, BASE))
    make_driver().prepare()
    assert engine.containers.list(all=True, filters={"name": "unfinished"}) == []


def test_a_port_in_use_is_named(driver: DockerDriver) -> None:
    spec = agent(1, BASE)
    driver.create(spec)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", spec.ports["app"]))
        taken.listen()
        with pytest.raises(PortInUse, match=rf"port {spec.ports['app']} .*app of 'agent-1'"):
            driver.start("agent-1")
        server = driver.get("agent-1")
        assert server is not None
        assert server.state == ServerState.STOPPED
    assert driver.start("agent-1") is True, "freeing the port is all that is needed"


def test_a_port_of_another_container_is_named(driver: DockerDriver) -> None:
    driver.create(agent(1, BASE))
    driver.start("agent-1")
    driver.create(agent(2, BASE, ports={"ssh": agent(1, BASE).ports["ssh"]}))
    with pytest.raises(PortInUse, match="ssh of 'agent-2'"):
        driver.start("agent-2")


def test_a_missing_image_says_what_to_do(clean: None, engine: Any) -> None:
    driver = DockerDriver(Cluster(CLUSTER), image_for=lambda role: "clusterops-test/none:never")
    with pytest.raises(ImageMissing, match=r"never.*playground up"):
        driver.create(agent(1, BASE))
    driver.teardown()
    assert left_over(engine) == []


def pause(container: Any) -> None:
    """cgroup v1 cannot freeze a machine at a moment in which it makes processes."""
    for attempts_left in reversed(range(10)):
        try:
            container.pause()
            return
        except APIError:
            if not attempts_left:
                raise
            time.sleep(0.5)


def test_a_paused_machine_can_be_stopped_and_started(driver: DockerDriver, engine: Any) -> None:
    driver.create(agent(1, BASE))
    driver.start("agent-1")
    container = engine.containers.get(f"{CLUSTER}-agent-1")
    pause(container)
    server = driver.get("agent-1")
    assert server is not None
    assert server.state == ServerState.PAUSED
    assert driver.start("agent-1") is True
    pause(container)
    assert driver.stop("agent-1", grace_s=1) is True


def test_machines_survive_the_loss_of_the_network(driver: DockerDriver, engine: Any) -> None:
    driver.create(agent(1, BASE))
    before = driver.get("agent-1")
    engine.networks.list(names=[f"{CLUSTER}-net"])[0].remove()
    assert driver.start("agent-1") is True
    after = driver.get("agent-1")
    assert after is not None
    assert before is not None
    assert after.address == before.address
    container = engine.containers.get(f"{CLUSTER}-agent-1")
    networks = container.attrs["NetworkSettings"]["Networks"]
    assert networks[f"{CLUSTER}-net"]["IPAddress"] == before.address


def test_teardown_takes_volumes_and_half_made_machines(
    driver: DockerDriver, monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    def broken(*_: object, **__: object) -> Sequence[str]:
        raise SystemExit

    driver.create(agent(1, BASE))
    with monkeypatch.context() as patch:
        patch.setattr(type(driver._api), "rename", broken)
        patch.setattr(driver, "_discard_unfinished_quietly", lambda name: None)
        with pytest.raises(SystemExit):
            driver.create(agent(2, BASE))
    engine.volumes.create(labels={"clusterops.cluster": CLUSTER})
    removed = driver.teardown()
    assert [line.split()[0] for line in removed].count("container") == 2
    assert any(line.startswith("volume ") for line in removed)
    assert f"network {CLUSTER}-net" in removed
    assert left_over(engine) == []
