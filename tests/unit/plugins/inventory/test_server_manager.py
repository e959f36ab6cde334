# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin, with the Server Manager replaced by a client that answers from memory."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import is_trusted_as_template
from ansible_collections.clusterops.playground.plugins.inventory import server_manager as plugin
from ansible_collections.clusterops.playground.plugins.module_utils._server_manager import (
    ServerManagerError,
)

CONTROL = {
    "name": "control-1",
    "role": "control",
    "state": "running",
    "provider": "docker",
    "address": "172.29.4.10",
    "ports": {"ssh": 2223, "load_balancer": 8080},
    "cpus": 1.0,
    "memory_mb": 1536,
    "created_at": "2025-01-01T12:00:00Z",
}
AGENT = {
    **CONTROL,
    "name": "agent-1",
    "role": "agent",
    "address": "172.29.4.101",
    "ports": {"ssh": 2224, "app": 5001, "metrics": 5101},
}
STOPPED = {**AGENT, "name": "agent-2", "state": "stopped", "address": "172.29.4.102"}
CLUSTER = {
    "name": "playground",
    "provider": "docker",
    "host_address": "172.29.4.1",
    "network": "172.29.4.0/24",
    "node_python": "3.13",
    "server_manager_url": "http://172.29.4.1:3000",
    "ssh_user": "root",
    "config": {"cluster_bind_address": "127.0.0.1", "agents_max": 4, "application_env": {"A": "1"}},
}


class FakeClient:
    def __init__(self, servers: list[Any], error: str | None = None) -> None:
        self._servers = servers
        self._error = error
        self.cluster_body: dict[str, Any] = CLUSTER

    def cluster(self) -> dict[str, Any]:
        if self._error:
            raise ServerManagerError(self._error)
        return self.cluster_body

    def servers(self) -> list[Any]:
        return self._servers


@pytest.fixture
def source(tmp_path: Path) -> Path:
    state = tmp_path / ".playground"
    state.mkdir()
    endpoint = {
        "url": "http://127.0.0.1:3000",
        "token_file": str(state / "token"),
        "state_dir": str(state),
        "ssh_key": "ssh/id_ed25519",
        "known_hosts": str(state / "ssh/known_hosts"),
    }
    (state / "endpoint.json").write_text(json.dumps(endpoint))
    (state / "token").write_text("secret\n")
    folder = tmp_path / "inventory"
    folder.mkdir()
    path = folder / "cluster.server_manager.yml"
    path.write_text("plugin: clusterops.playground.server_manager\n")
    return path


def parse(source: Path, client: FakeClient | None, options: str = "") -> InventoryData:
    source.write_text(source.read_text() + options)
    inventory = InventoryData()
    module = inventory_loader.get("clusterops.playground.server_manager")
    assert module.verify_file(str(source))
    if client is not None:
        module._create_client = lambda endpoint: client
    module.parse(inventory, DataLoader(), str(source))
    inventory.reconcile_inventory()
    return inventory


def members(inventory: InventoryData, group: str) -> list[str]:
    return [host.name for host in inventory.groups[group].get_hosts()]


def test_only_its_own_files() -> None:
    module = inventory_loader.get("clusterops.playground.server_manager")
    assert not module.verify_file("/etc/hosts")


def test_machines_by_role_and_state(source: Path) -> None:
    inventory = parse(source, FakeClient([CONTROL, AGENT, STOPPED]))
    assert members(inventory, "control") == ["control-1"]
    assert members(inventory, "agents") == ["agent-1", "agent-2"]
    assert members(inventory, "state_running") == ["control-1", "agent-1"]
    assert members(inventory, "state_stopped") == ["agent-2"]


def test_from_the_host_machines_are_reached_through_published_ports(source: Path) -> None:
    variables = parse(source, FakeClient([AGENT])).hosts["agent-1"].vars
    state = source.parent.parent / ".playground"
    assert variables["ansible_host"] == "127.0.0.1"
    assert variables["ansible_port"] == 2224
    assert variables["ansible_user"] == "root"
    assert variables["ansible_ssh_private_key_file"] == str(state / "ssh/id_ed25519")
    assert "StrictHostKeyChecking=yes" in variables["ansible_ssh_common_args"]
    assert f"UserKnownHostsFile={state}/ssh/known_hosts" in variables["ansible_ssh_common_args"]
    assert variables["node_role"] == "agent"
    assert variables["node_state"] == "running"
    assert variables["node_address"] == "172.29.4.101"
    assert variables["node_ports"] == {"ssh": 2224, "app": 5001, "metrics": 5101}


@pytest.mark.parametrize(
    ("bound", "reached"), [("0.0.0.0", "127.0.0.1"), ("192.168.1.5", "192.168.1.5")]
)
def test_published_elsewhere(source: Path, bound: str, reached: str) -> None:
    client = FakeClient([AGENT])
    client.cluster_body = {**CLUSTER, "config": {"cluster_bind_address": bound}}
    assert parse(source, client).hosts["agent-1"].vars["ansible_host"] == reached


def test_inside_the_cluster_machines_are_reached_directly(source: Path) -> None:
    options = "connect: direct\nlocal_node: control-1\n"
    inventory = parse(source, FakeClient([CONTROL, AGENT]), options)
    control, agent = (inventory.hosts[name].vars for name in ("control-1", "agent-1"))
    assert control["ansible_connection"] == "local"
    assert "ansible_host" not in control
    assert (agent["ansible_host"], agent["ansible_port"]) == ("172.29.4.101", 22)


def test_variables_of_all(source: Path) -> None:
    variables = parse(source, FakeClient([])).groups["all"].vars
    state = str(source.parent.parent / ".playground")
    assert variables["agents_max"] == 4
    assert variables["application_env"] == {"A": "1"}
    assert {
        key: variables[key] for key in variables if key.startswith(("server_", "cluster_"))
    } == {
        "cluster_bind_address": "127.0.0.1",
        "cluster_node_python": "3.13",
        "cluster_host_address": "172.29.4.1",
        "cluster_network": "172.29.4.0/24",
        "cluster_provider_in_use": "docker",
        "cluster_state_dir": state,
        "server_manager_node_url": "http://172.29.4.1:3000",
        "server_manager_token_file": f"{state}/token",
        "server_manager_url": "http://127.0.0.1:3000",
    }


def test_text_from_the_server_manager_is_never_a_template(source: Path) -> None:
    evil = "{{ lookup('pipe', 'id') }}"
    client = FakeClient([{**AGENT, "address": evil}])
    client.cluster_body = {**CLUSTER, "config": {"application_env": {"A": [evil, "plain"]}}}
    inventory = parse(source, client)
    assert not is_trusted_as_template(inventory.hosts["agent-1"].vars["node_address"])
    value, plain = inventory.groups["all"].vars["application_env"]["A"]
    assert value == evil
    assert not is_trusted_as_template(value)
    assert is_trusted_as_template(plain)


def test_a_cluster_without_machines_is_not_an_error(source: Path) -> None:
    inventory = parse(source, FakeClient([]))
    assert members(inventory, "agents") == []
    assert members(inventory, "control") == []


def test_constructed_groups_and_variables(source: Path) -> None:
    options = (
        "compose: {where: node_address}\n"
        "groups: {web: \"'app' in node_ports\"}\n"
        "keyed_groups: [{key: node_role, prefix: role}]\n"
    )
    inventory = parse(source, FakeClient([CONTROL, AGENT]), options)
    assert inventory.hosts["agent-1"].vars["where"] == "172.29.4.101"
    assert members(inventory, "web") == ["agent-1"]
    assert members(inventory, "role_control") == ["control-1"]


def test_a_server_manager_that_does_not_answer(source: Path) -> None:
    with pytest.raises(AnsibleParserError, match=r"nobody home.*\./playground up"):
        parse(source, FakeClient([], "nobody home"))


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"url": "http://x"}'])
def test_an_endpoint_file_that_is_not_one(source: Path, content: str | None) -> None:
    path = source.parent.parent / ".playground" / "endpoint.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(AnsibleParserError, match=r"endpoint\.json .*\./playground up") as caught:
        parse(source, None)
    assert "\n" not in caught.value.message


def test_a_token_file_that_is_gone(source: Path) -> None:
    (source.parent.parent / ".playground" / "token").unlink()
    with pytest.raises(AnsibleParserError, match=r"token.*cannot be read.*\./playground up"):
        parse(source, None)


def test_the_endpoint_may_be_named_by_the_environment(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTEROPS_ENDPOINT_FILE", str(tmp_path / "elsewhere.json"))
    with pytest.raises(AnsibleParserError, match=r"elsewhere\.json does not exist"):
        parse(source, None)


def test_ssh_options_survive_odd_folders() -> None:
    words = shlex.split(plugin.ssh_arguments("/home/a b/it's/known_hosts"))
    assert words[1] == 'UserKnownHostsFile="/home/a b/it\'s/known_hosts"'


def test_the_endpoint_names_the_authority_and_may_leave_the_state_out(source: Path) -> None:
    path = source.parents[1] / ".playground/endpoint.json"
    endpoint = json.loads(path.read_text())
    del endpoint["state_dir"]
    path.write_text(json.dumps({**endpoint, "ca_file": "/etc/ca.crt"}))
    variables = parse(source, FakeClient([CONTROL])).hosts["control-1"].vars
    every = {**variables, **parse(source, FakeClient([CONTROL])).groups["all"].vars}
    assert every["server_manager_ca_file"] == "/etc/ca.crt"
    assert "cluster_state_dir" not in every
