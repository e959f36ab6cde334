# SPDX-License-Identifier: GPL-3.0-or-later
"""Vagrant on the tests' VirtualBox, with a box that has no operating system."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

from .host import VirtualBoxHost

BOX = "clusterops-test/empty"
# Debian 12's Vagrant refuses what is newer than this; the real program does all the work.
_WRAPPER = """#!/bin/sh
[ "$*" = --version ] && echo 7.0.20r163906 && exit
exec {program} "$@"
"""


def vagrant_environment(host: VirtualBoxHost, settings: str = "") -> dict[str, str]:
    """Variables with which Vagrant, and the playground, use this VirtualBox and know the box.

    Args:
        settings: the text of a Vagrantfile that goes before the project's own.
    """
    folder = host.folder / "vagrant-bin"
    folder.mkdir(exist_ok=True)
    program = folder / "VBoxManage"
    program.write_text(_WRAPPER.format(program=host.program))
    program.chmod(0o755)
    home = host.folder / "vagrant-home"  # VirtualBox has to see the disks
    home.mkdir()
    (home / "Vagrantfile").write_text(settings)
    environment = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "VAGRANT_HOME": str(home),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
    }
    subprocess.run(
        ["vagrant", "box", "add", "--force", "--name", BOX, str(_box(host))],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        cwd=host.folder,
    )
    return environment


def _box(host: VirtualBoxHost) -> Path:
    folder = host.folder / "box"
    folder.mkdir()
    name = "vagrant-box"
    disk = str(folder / "disk.vmdk")
    host.manage("createvm", "--name", name, "--ostype", "Debian_64", "--register")
    host.manage("modifyvm", name, "--memory", "64", "--nic1", "nat")
    host.manage("createmedium", "disk", "--filename", disk, "--size", "16", "--format", "VMDK")
    host.manage("storagectl", name, "--name", "SATA", "--add", "sata", "--portcount", "1")
    place = ["--storagectl", "SATA", "--port", "0", "--device", "0", "--type", "hdd"]
    host.manage("storageattach", name, *place, "--medium", disk)
    host.manage("export", name, "--output", str(folder / "box.ovf"))
    host.manage("unregistervm", name, "--delete")
    (folder / "metadata.json").write_text(json.dumps({"provider": "virtualbox"}))
    # Vagrant gives each machine of the box this address on its first adapter.
    settings = 'Vagrant.configure("2") { |config| config.vm.base_mac = "080027ABCDEF" }\n'
    (folder / "Vagrantfile").write_text(settings)
    archive = host.folder / "empty.box"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    return archive
