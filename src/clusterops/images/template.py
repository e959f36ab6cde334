# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine that others are cloned from: the agents' roles have run on it already.

Vagrant makes it out of a public box (machine ``template`` of the Vagrantfile); what the roles
made of it is kept as a snapshot whose description says what went in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from clusterops.config import ClusterConfig
from clusterops.errors import ClusterOpsError
from clusterops.images.bake import digest
from clusterops.images.base import Progress
from clusterops.server_manager.driver import Cluster
from clusterops.server_manager.drivers import _virtualbox_machine as recipe
from clusterops.server_manager.drivers._virtualbox_lookup import template_of
from clusterops.state import CLUSTER_FILE_ENV, State, project_root
from clusterops.virtualbox._vboxmanage_client import VBoxManage
from clusterops.virtualbox._vboxmanage_errors import InUse, VBoxManageError

SNAPSHOT = "ready"
MACHINE = recipe.TEMPLATE
"""The Vagrantfile's name for it."""

RunRoles = Callable[[Mapping[str, Any]], None]
"""Runs the roles on the machine at ``{host, port, user, key}``."""


class Box(Protocol):
    """A machine that Vagrant made."""

    def up(self) -> None:
        """Have it running, and reachable by ssh."""

    def ssh(self) -> Mapping[str, Any]:
        """Where it is: host, port, user, key."""

    def halt(self) -> None:
        """Shut it down."""


def ensure_template(
    manage: VBoxManage,
    open_box: Callable[[], Box],
    config: ClusterConfig,
    wheel_sha256: str,
    run_roles: RunRoles,
    progress: Progress,
) -> bool:
    """Have a template with a snapshot to clone; True when one had to be made.

    Raises:
        ClusterOpsError: Vagrant or VirtualBox refused, or the roles failed.
    """
    cluster = Cluster.of(config)
    try:
        if config.virtualbox_template:
            manage.vm(manage.find(config.virtualbox_template).uuid)
            return False
        wanted = digest(
            config.vagrant_box or config.node_os,
            wheel_sha256,
            str(recipe.network(cluster)),
            cluster.settings,
            project_root(),
            "template.yml",
            ("machine_seed",),
        )
        template = template_of(manage, cluster)
        snapshot = template.current_snapshot if template else None
        if snapshot and snapshot.description == wanted:
            return False
        box = open_box()
        progress("Starting a machine out of the Vagrant box; the first time it is downloaded")
        box.up()
        run_roles(box.ssh())
        progress("Shutting the machine down")
        box.halt()
        progress("Taking the snapshot that machines are cloned from")
        _take(manage, cluster, wanted)
    except VBoxManageError as error:
        raise ClusterOpsError(f"the template: {error.message}", remedy=error.remedy) from error
    return True


def _take(manage: VBoxManage, cluster: Cluster, description: str) -> None:
    template = template_of(manage, cluster)
    if template is None or template.online:
        state = template.state if template else "gone"
        raise ClusterOpsError(f"the template is {state} after Vagrant has shut it down")
    take = ["take", SNAPSHOT, "--description", description]
    manage.on(template.uuid, "snapshot", *take)
    for old in template.snapshots:
        # Machines that were cloned from it keep it.
        with suppress(InUse):
            manage.on(template.uuid, "snapshot", "delete", old.uuid, timeout_s=600)


class VagrantBox:
    """The machine ``template`` of the project's Vagrantfile, through python-vagrant."""

    def __init__(self, state: State) -> None:
        self._log = state.logs / "vagrant.log"
        self._environment = {
            **os.environ,
            CLUSTER_FILE_ENV: str(state.cluster_file),
            # Apart from the machines of a `vagrant up` by hand.
            "VAGRANT_DOTFILE_PATH": str(state.root / "vagrant"),
            "VAGRANT_DEFAULT_PROVIDER": "virtualbox",
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        }
        if not shutil.which("vagrant"):
            raise ClusterOpsError(
                "Vagrant is not installed, so there is no template for virtual machines",
                remedy="install Vagrant, or name a virtual machine of your own in "
                "virtualbox_template of cluster.yml",
            )

    def up(self) -> None:
        self._do("up", lambda vagrant: vagrant.up(provision=False, vm_name=MACHINE))

    def ssh(self) -> Mapping[str, Any]:
        found = self._do("ssh-config", lambda vagrant: vagrant.conf(vm_name=MACHINE))
        return {
            "host": found["HostName"],
            "port": int(found["Port"]),
            "user": found["User"],
            "key": found["IdentityFile"].strip('"'),
        }

    def halt(self) -> None:
        self._do("halt", lambda vagrant: vagrant.halt(vm_name=MACHINE))

    def _do(self, what: str, work: Callable[[Any], Any]) -> Any:
        import vagrant

        with self._log.open("ab") as stream:
            self._log.chmod(0o600)

            def output() -> Any:
                return _Unclosed(stream)

            client = vagrant.Vagrant(  # type: ignore[no-untyped-call]
                str(project_root()), env=self._environment, out_cm=output, err_cm=output
            )
            try:
                return work(client)
            except subprocess.CalledProcessError as error:
                raise ClusterOpsError(
                    f"vagrant {what} {MACHINE} failed: {_last_words(self._log)}",
                    remedy=f"the whole story is in {self._log}; ./playground up continues",
                ) from error


class _Unclosed:
    """A context manager around a stream that stays open."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __enter__(self) -> Any:
        return self._stream

    def __exit__(self, *_: object) -> None:
        self._stream.flush()


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return " ".join([line for line in lines if line][-3:])[-400:] or "it gave no reason"
