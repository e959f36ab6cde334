# SPDX-License-Identifier: GPL-3.0-or-later
"""What the provider virtualbox needs of this machine: pure checks over facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clusterops.cli.findings import Level, Machine, Result
from clusterops.config import ClusterConfig
from clusterops.virtualbox import OLDEST

Version = tuple[int, int, int]

VAGRANT_KNOWS: tuple[tuple[tuple[int, int], Version], ...] = (
    ((7, 1), (2, 4, 2)),
    ((7, 2), (2, 4, 9)),
)
"""Versions of VirtualBox, and the first release of Vagrant that accepts each."""

CHECK = "VirtualBox"


@dataclass(frozen=True)
class Hypervisor:
    """VirtualBox and Vagrant. ``error`` is set when VirtualBox does not answer.

    ``kernel_driver`` is None where it cannot be seen; ``template`` is whether the cluster's is
    there already, and then ``vagrant`` was not looked for.
    """

    error: str | None = None
    remedy: str | None = None
    version: Version = (0, 0, 0)
    kernel_driver: bool | None = None
    vagrant: Version | None = None
    template: bool = False
    machines: tuple[Machine, ...] = ()


def check_hypervisor(config: ClusterConfig | None, found: Hypervisor) -> Iterator[Result]:
    """VirtualBox, its kernel driver and Vagrant, where the cluster needs them."""
    provider = config.cluster_provider if config else "auto"
    if provider not in ("auto", "virtualbox"):
        return
    if provider == "auto":
        yield Result(
            CHECK, Level.OK, "not installed, not needed" if found.error else _text(found.version)
        )
        return
    if found.error is not None:
        yield Result(CHECK, Level.FAILED, found.error, found.remedy)
        return
    if found.version < OLDEST:
        yield Result(
            CHECK,
            Level.FAILED,
            f"{_text(found.version)} is too old",
            "install VirtualBox 7.0 or newer",
        )
        return
    yield Result(CHECK, Level.OK, _text(found.version))
    if found.kernel_driver is False:
        yield Result(
            "VirtualBox driver",
            Level.WARNING,
            "the kernel driver is not loaded; machines will probably not start",
            "install virtualbox-dkms and the kernel's headers, then: modprobe vboxdrv",
        )
    yield from _vagrant(config, found)


def _vagrant(config: ClusterConfig | None, found: Hypervisor) -> Iterator[Result]:
    if config and config.virtualbox_template:
        yield Result("Vagrant", Level.OK, "not needed: cluster.yml names a virtualbox_template")
        return
    if found.template:
        yield Result("Vagrant", Level.OK, "not needed: the machines' template is here")
        return
    if found.vagrant is None:
        yield Result(
            "Vagrant",
            Level.FAILED,
            "is not installed; it makes the template of the virtual machines",
            "install Vagrant, or name a virtual machine of your own in virtualbox_template",
        )
        return
    known = [needed for series, needed in VAGRANT_KNOWS if found.version[:2] >= series]
    needed = max(known, default=found.vagrant)
    if found.vagrant < needed:
        yield Result(
            "Vagrant",
            Level.FAILED,
            f"{_text(found.vagrant)} does not know VirtualBox {_text(found.version)}",
            f"install Vagrant {_text(needed)} or newer",
        )
        return
    yield Result("Vagrant", Level.OK, _text(found.vagrant))


def _text(version: Version) -> str:
    return ".".join(map(str, version))
