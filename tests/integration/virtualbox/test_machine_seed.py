# SPDX-License-Identifier: GPL-3.0-or-later
"""The program by which a clone takes over what the driver wrote on its seed disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterops.config import ClusterConfig
from clusterops.server_manager.driver import Cluster
from clusterops.server_manager.drivers import _virtualbox_machine as recipe
from tests.integration.conftest import ROOT

pytestmark = pytest.mark.integration

CLUSTER = Cluster.of(ClusterConfig(cluster_name="seeds"))
PROGRAM = ROOT / "roles/machine_seed/files/machine-seed"
KEY = "/etc/ssh/ssh_host_ed25519_key"


@pytest.fixture
def guest(engine: Any, virtualbox_image: str, tmp_path: Path) -> Iterator[Any]:
    """Debian with iproute2, systemctl saying that networkd is off, and two disks."""
    seed = {KEY: (0o600, b"secret\n"), **recipe.own_seed_files(CLUSTER, "agent-7")}
    (tmp_path / "seed").write_bytes(recipe.seed_disk(seed, 1_700_000_000))
    (tmp_path / "root-disk").write_bytes(b"\xeb\x63\x90" + b"\0" * 1021)
    container = engine.containers.run(
        virtualbox_image,
        ["sleep", "600"],
        init=True,
        detach=True,
        cap_add=["NET_ADMIN", "SYS_ADMIN"],
        security_opt=["apparmor=unconfined"],
        labels={"clusterops.test": "machine-seed"},
        volumes={
            str(tmp_path): {"bind": "/disks", "mode": "ro"},
            str(PROGRAM): {"bind": "/machine-seed", "mode": "ro"},
        },
        environment={"SEED_DISKS": "/disks/missing /disks/root-disk /disks/seed"},
    )
    yield container
    container.remove(force=True, v=True)


def _run(guest: Any, command: str, **environment: str) -> str:
    code, output = guest.exec_run(["sh", "-ec", command], environment=environment)
    text: str = output.decode()
    assert code == 0, text
    return text


def test_a_clone_becomes_the_machine_that_it_is_to_be(guest: Any) -> None:
    mac = recipe.mac_address(CLUSTER, "agent-7")
    colons = ":".join(mac[i : i + 2] for i in range(0, 12, 2))
    # As VirtualBox would have made the adapter.
    _run(guest, f"ip link set eth0 down; ip link set eth0 address {colons}")
    for _ in range(2):  # at every boot
        assert _run(guest, "sh /machine-seed") == ""
        assert _run(guest, "hostname") == "agent-7\n"
        assert _run(guest, f"stat -c '%a %U' {KEY}; cat {KEY}") == "600 root\nsecret\n"
        assert "inet 10.213.56.107/24" in _run(guest, "ip -o -4 address show up dev eth0")
        assert _run(guest, "grep -c 'agent-7' /etc/hosts") == "1\n"
    assert _run(guest, "ls / | grep seed") == "machine-seed\n"


def test_a_machine_without_a_seed_stays_as_it_is(guest: Any) -> None:
    before = _run(guest, "hostname; cat /etc/hosts")
    assert "no disk with the mark" in _run(guest, "sh /machine-seed", SEED_DISKS="/disks/root-disk")
    assert _run(guest, "hostname; cat /etc/hosts") == before
