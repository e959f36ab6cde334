# Copyright: Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: server_manager
short_description: Machines of a playground cluster
version_added: "0.1.0"
description:
  - Asks the Server Manager API which machines a cluster has, whatever the provider.
  - Its configuration is a file whose name ends in C(.server_manager.yml).
  - Machines are in the group C(control) or C(agents), and in C(state_running), C(state_stopped)
    and so on. A play for the agents that run targets C(agents:&state_running).
  - Each machine has the variables C(node_role), C(node_state), C(node_address) and C(node_ports).
  - All hosts get every key of the resolved C(cluster.yml) as a variable, and
    C(cluster_provider_in_use), C(cluster_host_address), C(cluster_network),
    C(cluster_node_python), C(server_manager_url), C(server_manager_token_file),
    C(server_manager_node_url), C(server_manager_ca_file) and, on the host, C(cluster_state_dir).
  - A Server Manager that does not answer is an error, never an empty inventory.
author:
  - Cluster Operations Playground contributors (@clusterops)
extends_documentation_fragment:
  - constructed
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [clusterops.playground.server_manager]
  endpoint_file:
    description:
      - JSON file that says where the Server Manager is, with the keys C(url), C(token_file),
        C(ssh_key), C(known_hosts) and optionally C(state_dir), and C(ca_file), the certificate of
        the authority that a Server Manager with https is checked with.
      - Relative to the folder of the inventory source; paths in the file are relative to the file.
    type: str
    default: ../.playground/endpoint.json
    env:
      - name: CLUSTEROPS_ENDPOINT_FILE
  connect:
    description:
      - V(forwarded) reaches machines through the ports that they publish on this host.
      - V(direct) reaches them at their own addresses, for use inside the cluster.
    type: str
    choices: [forwarded, direct]
    default: forwarded
  local_node:
    description:
      - With O(connect=direct), the machine that Ansible runs on; it is reached without ssh.
    type: str
  timeout_s:
    description: Longest time to wait for an answer of the Server Manager, in seconds.
    type: float
    default: 30
"""

EXAMPLES = r"""
# On the host: inventory/cluster.server_manager.yml
plugin: clusterops.playground.server_manager

# ---
# On the control node
# plugin: clusterops.playground.server_manager
# endpoint_file: /etc/clusterops/inventory/endpoint.json
# connect: direct
# local_node: control-1
"""

import json
import os
import shlex
import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable
from ansible_collections.clusterops.playground.plugins.module_utils._server_manager import (
    ServerManagerClient,
    ServerManagerError,
    read_token,
)
from ansible_collections.clusterops.playground.plugins.plugin_utils._inventory import as_data

REMEDY = "Start the cluster with ./playground up."
SUFFIXES = (".server_manager.yml", ".server_manager.yaml")
GROUPS = {"control": "control", "agent": "agents"}
PATHS = ("token_file", "ssh_key", "known_hosts", "state_dir", "ca_file")
# Exist even when empty, so that plays which target them do not warn.
ALWAYS = ("control", "agents", "state_running", "state_stopped")
LOOPBACK = "127.0.0.1"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared with, not bound
PYTHON = "/usr/bin/python3"


def ssh_arguments(known_hosts: str) -> str:
    """Options of ssh(1) that trust the cluster's own host authority and nothing else."""
    if " " in known_hosts:  # ssh splits the value, too
        known_hosts = f'"{known_hosts}"'
    options = [
        f"UserKnownHostsFile={known_hosts}",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
    ]
    return " ".join(f"-o {shlex.quote(option)}" for option in options)


def cluster_variables(cluster: dict[str, t.Any], endpoint: dict[str, t.Any]) -> dict[str, t.Any]:
    """Variables of the group all."""
    variables = dict(cluster["config"])
    variables.update(
        cluster_provider_in_use=cluster["provider"],
        cluster_host_address=cluster["host_address"],
        cluster_network=cluster["network"],
        cluster_node_python=cluster["node_python"],
        server_manager_url=endpoint["url"],
        server_manager_token_file=endpoint["token_file"],
        server_manager_node_url=cluster["server_manager_url"],
    )
    if endpoint.get("state_dir"):
        variables["cluster_state_dir"] = endpoint["state_dir"]
    if endpoint.get("ca_file"):
        variables["server_manager_ca_file"] = endpoint["ca_file"]
    return variables


def host_variables(
    server: dict[str, t.Any],
    cluster: dict[str, t.Any],
    endpoint: dict[str, t.Any],
    connect: str,
    local_node: str | None,
) -> dict[str, t.Any]:
    """Variables of one machine."""
    variables: dict[str, t.Any] = {
        "node_role": server["role"],
        "node_state": server["state"],
        "node_address": server["address"],
        "node_ports": server["ports"],
        "ansible_python_interpreter": PYTHON,
    }
    if connect == "direct" and server["name"] == local_node:
        variables["ansible_connection"] = "local"
        return variables
    if connect == "direct":
        variables.update(ansible_host=server["address"], ansible_port=22)
    else:
        published = cluster["config"].get("cluster_bind_address", LOOPBACK)
        variables.update(
            ansible_host=LOOPBACK if published == ANY_ADDRESS else published,
            ansible_port=server["ports"].get("ssh"),
        )
    variables.update(
        ansible_user=cluster.get("ssh_user", "root"),
        ansible_ssh_private_key_file=endpoint["ssh_key"],
        ansible_ssh_common_args=ssh_arguments(endpoint["known_hosts"]),
    )
    return variables


def read_endpoint(path: str) -> dict[str, t.Any]:
    """Where the Server Manager is. Raises AnsibleParserError."""
    try:
        with open(path, encoding="utf-8") as stream:
            endpoint = json.load(stream)
    except FileNotFoundError:
        raise AnsibleParserError(
            f"{path} does not exist: the cluster is not up. {REMEDY}"
        ) from None
    except (OSError, ValueError) as error:
        raise AnsibleParserError(f"{path} cannot be read: {error}. {REMEDY}") from None
    needed = ("url", "token_file", "ssh_key", "known_hosts")
    missing = [key for key in needed if not isinstance(endpoint, dict) or not endpoint.get(key)]
    if missing:
        raise AnsibleParserError(f"{path} has no {', '.join(missing)}. {REMEDY}")
    folder = os.path.dirname(path)
    for key in PATHS:
        if endpoint.get(key):
            endpoint[key] = os.path.normpath(os.path.join(folder, endpoint[key]))
    return endpoint


class InventoryModule(BaseInventoryPlugin, Constructable):
    NAME = "clusterops.playground.server_manager"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith(SUFFIXES)

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        endpoint = read_endpoint(self._endpoint_path(path))
        try:
            client = self._create_client(endpoint)
            cluster, servers = client.cluster(), client.servers()
        except ServerManagerError as error:
            raise AnsibleParserError(f"{error}. {REMEDY}") from None
        self._populate(endpoint, cluster, servers)

    def _endpoint_path(self, source: str) -> str:
        named = os.path.expanduser(os.path.expandvars(self.get_option("endpoint_file")))
        return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(source)), named))

    def _create_client(self, endpoint: dict[str, t.Any]) -> t.Any:
        return ServerManagerClient(
            endpoint["url"],
            read_token(endpoint["token_file"]),
            self.get_option("timeout_s"),
            endpoint.get("ca_file"),
        )

    def _populate(
        self,
        endpoint: dict[str, t.Any],
        cluster: dict[str, t.Any],
        servers: list[dict[str, t.Any]],
    ) -> None:
        for key, value in cluster_variables(cluster, endpoint).items():
            self.inventory.set_variable("all", key, as_data(value))
        for group in ALWAYS:
            self.inventory.add_group(group)
        connect, local_node = self.get_option("connect"), self.get_option("local_node")
        strict = self.get_option("strict")
        for server in servers:
            name = server["name"]
            self.inventory.add_host(name)
            for group in (GROUPS[server["role"]], f"state_{server['state']}"):
                self.inventory.add_group(group)
                self.inventory.add_child(group, name)
            variables = host_variables(server, cluster, endpoint, connect, local_node)
            for key, value in variables.items():
                self.inventory.set_variable(name, key, as_data(value))
            self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
            self._add_host_to_composed_groups(
                self.get_option("groups"), variables, name, strict=strict
            )
            self._add_host_to_keyed_groups(
                self.get_option("keyed_groups"), variables, name, strict=strict
            )
