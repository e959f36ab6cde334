# Copyright: Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: virtualbox
short_description: VirtualBox machines
version_added: "0.1.0"
description:
  - Every machine that VirtualBox knows becomes a host, whether it runs or not.
  - Its configuration is a file whose name is C(virtualbox.yml) or ends in C(.virtualbox.yml).
  - A host is reached through the NAT forward that leads to its ssh port, otherwise at the address
    that the guest reports. A host that has neither gets no C(ansible_host).
  - Hosts are in the group of their state, for example C(state_running), C(state_poweroff) or
    C(state_inaccessible), and in a group for each VM group and those above it. The VM group
    C(/lab/agents) gives C(vbox_group_lab_agents), a child of C(vbox_group_lab).
  - A host has the variables C(vbox_uuid), C(vbox_name), C(vbox_state), C(vbox_groups),
    C(vbox_cpus), C(vbox_memory_mb), C(vbox_os_type), C(vbox_description), and
    C(vbox_guest_address) if it was needed. O(details) adds more. A machine whose settings
    VirtualBox cannot read has only the first four.
  - A host is called what its machine is called. Where several have the same name, or where
    Ansible would take the name for something else (a pattern, a path, a group), the host's name is
    made from it and the start of the machine's UUID; C(vbox_name) always has the true one.
  - Names, descriptions and whatever else machines bring along are data, never templates.
  - VirtualBox that is missing or fails is an error, never an empty inventory.
author:
  - Cluster Operations Playground contributors (@clusterops)
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [clusterops.playground.virtualbox]
  executable:
    description:
      - Path of VBoxManage. By default it is looked for in VirtualBox's folder, then in E(PATH).
    type: path
  web_service_url:
    description:
      - Address of VirtualBox's web service, such as C(http://localhost:18083), started with
        C(vboxwebsrv). It gives the same inventory several times as fast. VirtualBox 7.1 or newer.
      - When it does not answer, VBoxManage is asked instead, with a warning.
    type: str
  web_service_user:
    description: Name to log on to the web service with.
    type: str
    default: ""
  web_service_password:
    description: Password to log on to the web service with.
    type: str
    env:
      - name: CLUSTEROPS_VIRTUALBOX_PASSWORD
  web_service_password_file:
    description:
      - File whose first line is the password, relative to the folder of the inventory source.
      - Used unless O(web_service_password) is given.
    type: str
  timeout_s:
    description:
      - Longest time for one call of VBoxManage or of the web service, in seconds.
    type: float
    default: 60
  settings_files:
    description:
      - Whether machines that do not run are read from their settings files, which is several times
        as fast as asking VirtualBox for each of them. Machines that run are always asked for, and
        so is whatever has no file here or one that does not agree with what VirtualBox says.
      - The files are found through VirtualBox's own registry (E(VBOX_USER_HOME)). Those of a web
        service are only used when its address is a loopback address.
    type: bool
    default: true
  on_error:
    description:
      - What to do when VirtualBox cannot be asked.
      - V(fail) is an error. V(warn) is a warning, and this source adds no hosts.
    type: str
    choices: [fail, warn]
    default: fail
  only_groups:
    description:
      - VM groups, such as C(/lab); only machines in one of them or below it become hosts.
    type: list
    elements: str
    default: []
  only_names:
    description:
      - Patterns (C(*), C(?), C([abc])); only machines whose name matches one become hosts.
    type: list
    elements: str
    default: []
  only_states:
    description:
      - States as VirtualBox calls them, such as V(running), V(paused), V(poweroff), V(saved),
        V(aborted); only machines in one of them become hosts.
    type: list
    elements: str
    default: []
  details:
    description:
      - More variables for every host, C(vbox_forwards), C(vbox_nics) and C(vbox_snapshots).
      - Machines that VBoxManage or a settings file describes have them anyway. Asking the web
        service for them takes several times as long.
    type: list
    elements: str
    choices: [forwards, nics, snapshots]
    default: []
  connect_through:
    description:
      - How hosts are reached, the better way first. V(forward) is a NAT forward to the guest's ssh
        port, V(guest) the address that the guest reports (with the Guest Additions).
      - Addresses behind VirtualBox's NAT are not used, since they cannot be reached.
    type: list
    elements: str
    choices: [forward, guest]
    default: [forward, guest]
  ssh_guest_port:
    description: Port of the ssh server in the guest.
    type: int
    default: 22
  ssh_forward_name:
    description: Name of the NAT forward to use; by default any that leads to the ssh port.
    type: str
  forward_host:
    description:
      - Where the host that runs VirtualBox is reached, for forwards that listen on all addresses.
    type: str
    default: 127.0.0.1
  guest_networks:
    description:
      - Networks such as C(192.168.56.0/24), the best first; a guest's address is only used if it is
        in one of them. By default the address of the first adapter that can be reached.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
# lab.virtualbox.yml: everything on this computer
plugin: clusterops.playground.virtualbox

# ---
# Only what runs in the VM group /lab, over the web service
# plugin: clusterops.playground.virtualbox
# web_service_url: http://localhost:18083
# web_service_user: gandalf
# web_service_password_file: ~/.config/vboxweb.password
# only_groups: [/lab]
# only_states: [running]

# ---
# Own groups and variables
# plugin: clusterops.playground.virtualbox
# details: [snapshots]
# compose:
#   ansible_user: "'vagrant'"
#   last_snapshot: (vbox_snapshots | last).name | default(none)
# groups:
#   large: vbox_memory_mb | default(0) >= 4096
# keyed_groups:
#   - key: vbox_os_type | default('unknown')
#     prefix: os
"""

import ipaddress
import os
import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_errors import (
    VBoxManageError,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_inventory import (
    GUEST_ADDRESSES,
    Filters,
    Ssh,
    group_names,
    host_names,
    machine_from,
    parent_of,
    state_group,
)
from ansible_collections.clusterops.playground.plugins.plugin_utils._inventory import as_data

SUFFIXES = (".virtualbox.yml", ".virtualbox.yaml")
NAMES = ("virtualbox.yml", "virtualbox.yaml")
# Exist even when empty, so that plays which target them do not warn.
ALWAYS = ("state_running", "state_poweroff")
# What changes the data itself, and not only what becomes of it.
ASKED = ("details", "connect_through", "ssh_guest_port", "ssh_forward_name", "guest_networks")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "clusterops.playground.virtualbox"

    def verify_file(self, path: str) -> bool:
        ours = path.endswith(SUFFIXES) or os.path.basename(path) in NAMES
        return super().verify_file(path) and ours

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self._check_options()
        try:
            machines = self._cached(path, cache)
        except VBoxManageError as error:
            if self.get_option("on_error") == "fail":
                raise AnsibleParserError(str(error)) from None
            self.display.warning(f"{path} adds no hosts: {error}")
            return
        self._populate(machines)

    def _check_options(self) -> None:
        for network in self.get_option("guest_networks"):
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise AnsibleParserError(f"guest_networks: {error}") from None
        for group in self.get_option("only_groups"):
            if not group.startswith("/"):
                raise AnsibleParserError(
                    f"only_groups: {group!r} is no VM group; those start with '/', as in /lab"
                )

    def _cached(self, path: str, cache: bool) -> list[dict[str, t.Any]]:
        use = cache and self.get_option("cache")
        key = self.get_cache_key(path)
        question = {option: self.get_option(option) for option in ASKED}
        if use:
            try:
                kept = self._cache[key]
                if kept["question"] == question:
                    return kept["machines"]
            except (KeyError, TypeError):
                pass  # not there, expired, or not ours
        machines = self._ask(path)
        if self.get_option("cache"):
            self._cache[key] = {"question": question, "machines": machines}
        return machines

    def _ask(self, path: str) -> list[dict[str, t.Any]]:
        """All machines with their variables. Raises VBoxManageError."""
        ssh = self._ssh()
        if self.get_option("web_service_url"):
            from ansible_collections.clusterops.playground.plugins.module_utils import _vboxwebsrv

            try:
                with self._create_service(path) as service:
                    # Everything about adapters is only asked for if somebody wants it.
                    some = set(self.get_option("details"))
                    wanted = _vboxwebsrv.Wanted(
                        nics="nics" in some,
                        snapshots="snapshots" in some,
                        settings=False,
                        enough=None if "forwards" in some else ssh.is_way,
                    )
                    return self._machines(ssh, service, service.inventory(wanted))
            except _vboxwebsrv.AccessDenied:
                raise
            except VBoxManageError as error:
                self.display.warning(f"{error} VBoxManage is asked instead.")
        client, inventory = self._create_client()
        return self._machines(ssh, client, inventory())

    def _machines(self, ssh: Ssh, client: t.Any, vms: t.Any) -> list[dict[str, t.Any]]:
        machines = []
        for vm in vms:
            address = ""
            if ssh.needs_address(vm):
                properties = client.guest_properties(vm.uuid, GUEST_ADDRESSES)
                address = ssh.address(vm, properties)
            connection = ssh.connection(vm, address)
            machines.append(machine_from(vm, connection, address, self.get_option("details")))
        return machines

    def _ssh(self) -> Ssh:
        return Ssh(
            guest_port=self.get_option("ssh_guest_port"),
            rule=self.get_option("ssh_forward_name"),
            networks=tuple(self.get_option("guest_networks")),
            forward_host=self.get_option("forward_host"),
            order=tuple(self.get_option("connect_through")),
        )

    def _create_client(self) -> tuple[t.Any, t.Callable[[], t.Any]]:
        """VBoxManage, and what lists its machines."""
        from ansible_collections.clusterops.playground.plugins.module_utils import (
            _vboxmanage_client as program,
        )

        timeout_s = self.get_option("timeout_s")
        path = self.get_option("executable") or program.find_program()
        client = program.VBoxManage(program.SubprocessRunner(), path, timeout_s=timeout_s)
        if not self.get_option("settings_files"):
            return client, client.inventory
        from ansible_collections.clusterops.playground.plugins.module_utils import (
            _vboxmanage_inventory as fast,
        )
        from ansible_collections.clusterops.playground.plugins.module_utils import _vboxsettings

        return client, lambda: fast.inventory(client, _vboxsettings.SettingsFiles())

    def _create_service(self, path: str) -> t.Any:
        from ansible_collections.clusterops.playground.plugins.module_utils import _vboxwebsrv

        url = self.get_option("web_service_url")
        return _vboxwebsrv.VBoxWebService(
            url,
            self.get_option("web_service_user"),
            self._password(path),
            timeout_s=self.get_option("timeout_s"),
            settings_files=self.get_option("settings_files") and _vboxwebsrv.is_here(url),
        )

    def _password(self, path: str) -> str:
        given = self.get_option("web_service_password")
        named = self.get_option("web_service_password_file")
        if given is not None or not named:
            return given or ""
        file = os.path.join(os.path.dirname(os.path.abspath(path)), os.path.expanduser(named))
        try:
            with open(file, encoding="utf-8") as stream:
                return stream.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise AnsibleParserError(f"web_service_password_file {file}: {why}") from None

    def _populate(self, machines: list[dict[str, t.Any]]) -> None:
        filters = Filters(
            groups=tuple(self.get_option("only_groups")),
            names=tuple(self.get_option("only_names")),
            states=tuple(self.get_option("only_states")),
        )
        groups, warnings = group_names(
            group for machine in machines for group in machine["vbox_groups"]
        )
        for group in ALWAYS:
            self.inventory.add_group(group)
        for path, group in groups.items():
            self.inventory.add_group(group)
            if parent_of(path):
                self.inventory.add_child(groups[parent_of(path)], group)
        states = {machine["vbox_state"]: state_group(machine["vbox_state"]) for machine in machines}
        for group in states.values():
            self.inventory.add_group(group)
        # Of all machines, so that filters do not change what a host is called.
        hosts, more = host_names(machines, self.inventory.groups)
        for warning in (*warnings, *more):
            self.display.warning(warning)
        strict = self.get_option("strict")
        for host, machine in zip(hosts, machines, strict=True):
            if not filters.accept(machine):
                continue
            self.inventory.add_host(host)
            self.inventory.add_child(states[machine["vbox_state"]], host)
            for path in machine["vbox_groups"]:
                if path.strip("/"):
                    self.inventory.add_child(groups["/" + path.strip("/")], host)
            variables = as_data(machine)
            for key, value in variables.items():
                self.inventory.set_variable(host, key, value)
            self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
            self._add_host_to_composed_groups(
                self.get_option("groups"), variables, host, strict=strict
            )
            self._add_host_to_keyed_groups(
                self.get_option("keyed_groups"), variables, host, strict=strict
            )
