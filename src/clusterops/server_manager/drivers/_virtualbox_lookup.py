# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the machines of one cluster among all that VirtualBox has."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from clusterops.server_manager.driver import Cluster
from clusterops.server_manager.drivers import _virtualbox_machine as recipe
from clusterops.virtualbox._vboxmanage_client import VBoxManage
from clusterops.virtualbox._vboxmanage_errors import NotFound
from clusterops.virtualbox._vboxmanage_model import Vm


def of_cluster(
    manage: VBoxManage, cluster: Cluster, wanted: Callable[[str], bool]
) -> tuple[Vm, ...]:
    """Machines of the cluster's group whose name within the cluster is wanted.

    Raises:
        VBoxManageError: VirtualBox refused.
    """
    prefix = recipe.vm_name(cluster, "")
    found = []
    for ref in manage.vms():
        if ref.name.startswith(prefix) and wanted(ref.name.removeprefix(prefix)):
            with suppress(NotFound):  # removed meanwhile
                vm = manage.details(ref.uuid)
                # The list of names can be imitated by a name; the details cannot.
                if vm.accessible and vm.name == ref.name and recipe.is_ours(cluster, vm):
                    found.append(vm)
    return tuple(found)


def template_of(manage: VBoxManage, cluster: Cluster) -> Vm | None:
    """The machine that the cluster's are cloned from. Raises VBoxManageError."""
    found = of_cluster(manage, cluster, lambda name: name == recipe.TEMPLATE)
    return found[0] if found else None
