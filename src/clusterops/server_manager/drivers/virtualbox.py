# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines as virtual machines of VirtualBox: linked clones of a template.

A machine is cloned under a provisional name, gets its seed disk and its settings, and is renamed
by the last of these: the rename is the moment it exists. What a crash leaves behind under a
provisional name is removed by the next creation, by the next start of the Server Manager, and by
teardown.

Only machines in the cluster's own group are ever touched. Those that Vagrant made from the
project's Vagrantfile are in that group, under the same names.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from clusterops.server_manager.driver import (
    Cluster,
    DriverError,
    DriverFailure,
    DriverTimeout,
    ImageMissing,
    PortInUse,
    ProviderUnavailable,
    Server,
    ServerSpec,
    UnknownServer,
    is_node_name,
    is_to_freeze,
    is_to_thaw,
    node_number,
)
from clusterops.server_manager.drivers import _virtualbox_lookup as lookup
from clusterops.server_manager.drivers import _virtualbox_machine as recipe
from clusterops.virtualbox import OLDEST
from clusterops.virtualbox import _vboxmanage_errors as errors
from clusterops.virtualbox._vboxmanage_client import SubprocessRunner, VBoxManage
from clusterops.virtualbox._vboxmanage_model import Vm
from clusterops.virtualbox._virtualbox_actions import Machines
from clusterops.virtualbox._virtualbox_host import why_not_free
from clusterops.virtualbox._virtualbox_plan import SAVED

CALL_TIMEOUT_S = 60.0
CLONE_TIMEOUT_S = 600.0
"""A template without a snapshot is copied whole."""
POWER_OFF_TIMEOUT_S = 20.0
PORT_TIMEOUT_S = 5.0
"""A machine that has just stopped may hold its ports for a moment."""
POLL_S = 0.2
HOST_ADDRESS = "10.0.2.2"
"""The host's loopback, as a guest behind VirtualBox's NAT sees it (manual, chapter 6.3)."""

log = logging.getLogger(__name__)

Connect = Callable[[], VBoxManage]


def connect() -> VBoxManage:
    """The VirtualBox of this user. Raises ProgramMissing."""
    return VBoxManage(SubprocessRunner(), timeout_s=CALL_TIMEOUT_S)


class VirtualBoxDriver:
    """The provider ``virtualbox``; see :class:`clusterops.server_manager.driver.Driver`."""

    provider = "virtualbox"
    ssh_user = "root"

    def __init__(self, cluster: Cluster, *, connect: Connect = connect) -> None:
        self.cluster = cluster
        self._connect = connect
        self._client: VBoxManage | None = None
        self._guard = threading.Lock()

    def check(self) -> None:
        with self._virtualbox("VirtualBox does not answer"):
            version = self._manage.version()
        if version.number < OLDEST:
            raise ProviderUnavailable(
                f"VirtualBox {version.text} is too old", remedy="install VirtualBox 7.0 or newer"
            )

    def prepare(self) -> None:
        with self._virtualbox("preparing VirtualBox failed"):
            for vm in self._ours(lambda name: name.endswith(recipe.UNFINISHED)):
                log.info("removing a machine that was left half made: %s", vm.name)
                self._remove(vm)

    def host_address(self) -> str:
        return HOST_ADDRESS

    def network(self) -> str:
        return str(recipe.network(self.cluster))

    def list(self) -> list[Server]:
        with self._virtualbox("listing machines failed"):
            servers = [
                self._describe(vm, name)
                for vm in self._ours(is_node_name)
                if (name := recipe.node_name(self.cluster, vm))
            ]
        return sorted(servers, key=lambda server: node_number(server.name))

    def get(self, name: str) -> Server | None:
        with self._virtualbox(f"looking at '{name}' failed"):
            vm = self._own(name)
            return self._describe(vm, name) if vm else None

    def create(self, spec: ServerSpec) -> bool:
        with self._virtualbox(f"creating '{spec.name}' failed"):
            self._discard_unfinished(spec.name)
            existing = self._own(spec.name)
            if existing is not None:
                return self._resize(existing, spec)
            seed = {
                **spec.seed([recipe.planned_address(self.cluster, spec.name)]),
                **recipe.own_seed_files(self.cluster, spec.name),
            }
            try:
                clone = self._clone(spec.name)
                self._attach_seed(clone, recipe.seed_disk(seed, int(time.time())))
                born = recipe.birth_arguments(self.cluster, spec, clone, datetime.now(UTC))
                self._manage.on(clone.uuid, "modifyvm", *born)
            except BaseException:
                self._discard_unfinished_quietly(spec.name)
                raise
            return True

    def start(self, name: str) -> bool:
        with self._virtualbox(f"starting '{name}' failed"):
            vm = self._require(name)
            if vm.state == "paused":
                self._manage.on(vm.uuid, "controlvm", "resume")
                return True
            if vm.online:
                return False
            self._refuse_busy_ports(vm, name)
            with suppress(errors.AlreadyRunning):
                self._manage.start(vm.uuid)
                return True
            return False

    def stop(self, name: str, grace_s: float = 30) -> bool:
        with self._virtualbox(f"stopping '{name}' failed"):
            vm = self._require(name)
            if not vm.online:
                return False
            self._machines.stop(vm.uuid, grace_s)
            return True

    def freeze(self, name: str) -> bool:
        with self._virtualbox(f"freezing '{name}' failed"):
            vm = self._require(name)
            if not is_to_freeze(name, recipe.state_of(vm)):
                return False
            self._manage.on(vm.uuid, "controlvm", "pause")
            return True

    def thaw(self, name: str) -> bool:
        with self._virtualbox(f"thawing '{name}' failed"):
            vm = self._require(name)
            if not is_to_thaw(name, recipe.state_of(vm)):
                return False
            self._manage.on(vm.uuid, "controlvm", "resume")
            return True

    def kill(self, name: str) -> bool:
        return self.stop(name, grace_s=0)

    def delete(self, name: str) -> bool:
        with self._virtualbox(f"deleting '{name}' failed"):
            if not is_node_name(name):
                return False
            self._discard_unfinished(name)
            vm = self._own(name)
            if vm is None:
                return False
            self._remove(vm)
            return True

    def teardown(self) -> Sequence[str]:
        removed: list[str] = []
        with self._virtualbox("removing the cluster failed"):
            template = recipe.vm_name(self.cluster, recipe.TEMPLATE)
            # The template goes last: the others' disks build on its own.
            for vm in sorted(self._ours(_is_removable), key=lambda vm: vm.name == template):
                self._remove(vm)
                removed.append(f"virtual machine {vm.name}")
        return removed

    # -- VirtualBox ---------------------------------------------------------------------------

    @property
    def _manage(self) -> VBoxManage:
        with self._guard:
            if self._client is None:
                self._client = self._connect()
            return self._client

    @property
    def _machines(self) -> Machines:
        return Machines(self._manage, timeout_s=POWER_OFF_TIMEOUT_S)

    @contextmanager
    def _virtualbox(self, failure: str) -> Iterator[None]:
        """Turn VirtualBox's errors into a driver's, with ``failure`` in front."""
        try:
            yield
        except (errors.ProgramMissing, errors.ServiceUnavailable) as error:
            raise ProviderUnavailable(error.message, remedy=error.remedy) from error
        except errors.TimedOut as error:
            raise DriverTimeout(f"{failure}: {error.message}", remedy=error.remedy) from error
        except errors.VBoxManageError as error:
            raise DriverFailure(f"{failure}: {error.message}", remedy=error.remedy) from error
        except OSError as error:
            raise DriverFailure(f"{failure}: {error.strerror}: {error.filename}") from error

    def _ours(self, wanted: Callable[[str], bool]) -> tuple[Vm, ...]:
        """Machines of the cluster's group whose name within the cluster is wanted."""
        return lookup.of_cluster(self._manage, self.cluster, wanted)

    def _own(self, name: str) -> Vm | None:
        if not is_node_name(name):
            return None
        return next(iter(self._ours(lambda found: found == name)), None)

    def _require(self, name: str) -> Vm:
        vm = self._own(name)
        if vm is None:
            raise UnknownServer(name)
        return vm

    def _describe(self, vm: Vm, name: str) -> Server:
        address = None
        if vm.state == "running":
            with suppress(errors.NotFound):
                properties = self._manage.guest_properties(vm.uuid, f"{recipe.REPORTED}*")
                address = recipe.reported_address(vm, properties)
        return recipe.describe(self.cluster, vm, name, self.provider, address)

    # -- making -------------------------------------------------------------------------------

    def _template(self) -> Vm:
        named = self.cluster.settings.get("virtualbox_template")
        try:
            if named:
                return self._manage.vm(self._manage.find(str(named)).uuid)
        except errors.VBoxManageError as error:
            raise ImageMissing(
                f"virtualbox_template: {error.message}", remedy=error.remedy
            ) from error
        template = lookup.template_of(self._manage, self.cluster)
        if template is None or template.current_snapshot is None:
            raise ImageMissing(
                f"there is no template '{recipe.vm_name(self.cluster, recipe.TEMPLATE)}' with a "
                f"snapshot in the group {recipe.group(self.cluster)}",
                remedy="run ./playground up, which makes it",
            )
        return template

    def _clone(self, name: str) -> Vm:
        template = self._template()
        identity = str(uuid.uuid4())
        arguments = ["--mode", "machine"]
        if snapshot := template.current_snapshot:
            arguments += ["--snapshot", snapshot.uuid, "--options", "Link"]
        unfinished = recipe.vm_name(self.cluster, name) + recipe.UNFINISHED
        arguments += ["--name", unfinished, "--groups", recipe.group(self.cluster)]
        command = [*arguments, "--uuid", identity, "--register"]
        try:
            self._manage.on(template.uuid, "clonevm", *command, timeout_s=CLONE_TIMEOUT_S)
        except errors.Duplicate:
            # Cut off between making the folder and registering the machine.
            shutil.rmtree(self._folder(template, unfinished))
            self._manage.on(template.uuid, "clonevm", *command, timeout_s=CLONE_TIMEOUT_S)
        clone = self._manage.vm(identity)
        if clone.state in SAVED:  # of a snapshot of a running machine
            self._manage.on(identity, "discardstate")
        if any(nic.number == 1 and nic.attachment == "nat" for nic in clone.nics):
            return clone
        # VirtualBox hides the forwards of an adapter that is off or elsewhere, and keeps them.
        self._manage.on(identity, "modifyvm", "--nic1", "nat")
        return self._manage.vm(identity)

    def _folder(self, template: Vm, name: str) -> Path:
        """Where VirtualBox keeps a machine of the cluster's group."""
        text = self._manage.call("list", "systemproperties")
        label = "Default machine folder:"
        line = next(line for line in text.splitlines() if line.startswith(label))
        root = Path(line.removeprefix(label).strip())
        return root / recipe.group(self.cluster).lstrip("/") / name

    def _attach_seed(self, vm: Vm, content: bytes) -> None:
        folder = Path(vm.config_file).parent
        raw, disk = folder / "seed.img", folder / "seed.vdi"
        try:
            raw.touch(mode=0o600)
            raw.write_bytes(content)
            self._manage.call("convertfromraw", str(raw), str(disk), "--format", "VDI")
        finally:
            raw.unlink(missing_ok=True)
        controller = ["--name", recipe.SEED_CONTROLLER, "--add", "virtio", "--portcount", "1"]
        self._manage.on(vm.uuid, "storagectl", *controller, "--bootable", "off")
        place = ["--storagectl", recipe.SEED_CONTROLLER, "--port", "0", "--device", "0"]
        self._manage.on(
            vm.uuid, "storageattach", *place, "--type", "hdd", "--medium", str(disk)
        )  # fmt: skip

    def _resize(self, vm: Vm, spec: ServerSpec) -> bool:
        """Give an existing machine its CPUs and memory; one that runs, only the share of CPUs."""
        if vm.online:
            cap = recipe.cpu_cap(spec.cpus, vm.cpus)
            if cap == vm.cpu_cap_percent:
                return False
            self._manage.on(vm.uuid, "controlvm", "cpuexecutioncap", str(cap))
            return True
        wanted = (*recipe.cpus_and_cap(spec.cpus), spec.memory_mb)
        if (vm.cpus, vm.cpu_cap_percent, vm.memory_mb) == wanted:
            return False
        self._manage.on(vm.uuid, "modifyvm", *recipe.size_arguments(spec))
        return True

    # -- power --------------------------------------------------------------------------------

    def _refuse_busy_ports(self, vm: Vm, name: str) -> None:
        """VirtualBox starts a machine whose ports are taken, and says nothing."""
        deadline = time.monotonic() + PORT_TIMEOUT_S
        for rule in vm.forwards:
            while reason := why_not_free(rule):
                if time.monotonic() > deadline:
                    raise PortInUse(
                        f"port {rule.host_port} on the host ({rule.name} of '{name}') cannot be "
                        f"used: {reason}",
                        remedy="stop what uses it, or move the cluster's ports in cluster.yml",
                    )
                time.sleep(POLL_S)

    # -- removing -----------------------------------------------------------------------------

    def _remove(self, vm: Vm) -> None:
        """Remove a machine with its disks, and wait until it is gone."""
        with suppress(errors.NotFound):
            if vm.online:
                self._machines.stop(vm.uuid, 0)
            self._manage.on(vm.uuid, "unregistervm", "--delete", timeout_s=POWER_OFF_TIMEOUT_S)
        # VirtualBox keeps a folder in which it finds a file that it does not know.
        folder = Path(vm.config_file).parent
        if folder.name == vm.name and folder.is_dir():
            shutil.rmtree(folder)

    def _discard_unfinished(self, name: str) -> None:
        if is_node_name(name):
            for vm in self._ours(lambda found: found == name + recipe.UNFINISHED):
                self._remove(vm)

    def _discard_unfinished_quietly(self, name: str) -> None:
        try:
            self._discard_unfinished(name)
        except (DriverError, errors.VBoxManageError, OSError) as error:
            # The error that led here is the one to report.
            log.warning("a half-made '%s' stays for now: %s", name, error)


def _is_removable(name: str) -> bool:
    return name == recipe.TEMPLATE or is_node_name(name.removesuffix(recipe.UNFINISHED))
