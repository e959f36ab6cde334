# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that programs which read VBoxManage's output get wrong, and the web service."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from pathlib import Path

from clusterops.virtualbox._vboxmanage import parse_created
from clusterops.virtualbox._vboxwebsrv import AccessDenied, VBoxWebService

from .host import VirtualBoxHost

WEB_SERVICE = "/usr/lib/virtualbox/vboxwebsrv"
WEB_PORT = 18083

ODD_NAMES = (
    "plain",
    "comma, separated",
    'double "quotes"',
    "single 'quotes'",
    "Zoë 漢字 🦊",
    "--register",
    "-dash",
    "two\nlines",
    'imitation" {00000000-0000-4000-8000-000000000000}\n"second',
    "back\\slash",
    "{{ 7 * 7 }}",
    "%percent%",
    " leading and trailing ",
    "all[0:3]",
    "<inaccessible>",
    "<b>&amp; bold",
)
HOSTILE_DESCRIPTION = (
    "Name:            injected\nGroups:          /injected\nGuest OS: none\n"
    "UUID:            11111111-2222-4333-8444-555555555555\n"
    "Name: evil\n<inaccessible>\n\"quotes\" and 'more' \\ {{ lookup('pipe', 'id') }}"
)


def create(host: VirtualBoxHost, name: str, *options: str) -> str:
    """A machine with this name, changed by ``modifyvm`` options; its UUID.

    Some names cannot be given to ``createvm`` as a folder's name, so each gets it later.
    """
    made = host.manage("createvm", "--name", f"vm-{time.monotonic_ns()}", "--register")
    uuid = parse_created(made)
    host.manage("modifyvm", uuid, f"--name={name}", "--memory=32", *options)
    return uuid


def populate(host: VirtualBoxHost) -> dict[str, str]:
    """One machine for each hazard; UUIDs by name (for ``gone``: its settings are lost)."""
    # First, since VirtualBox has to read its machines again.
    uuids = {"gone": _lost(host)}
    uuids.update((name, create(host, name)) for name in ODD_NAMES)
    uuids["described"] = create(host, "described", f"--description={HOSTILE_DESCRIPTION}")
    uuids["networks"] = create(
        host,
        "networks",
        "--groups=/lab/agents,/other group",
        "--nic1=nat",
        "--natpf1=ssh,tcp,127.0.0.1,2201,,22",
        "--natpf1=web site,udp,,8081,10.0.2.15,80",
        "--nic2=nat",
        "--natnet2=10.9.0.0/16",
        "--natpf2=second,tcp,0.0.0.0,2202,,2222",
        "--nic3=intnet",
        "--intnet3=inner 'net'",
        "--nic4=hostonly",
        "--nic5=null",
        "--cableconnected5=off",
        "--nic6=generic",
        "--nicgenericdrv6=UDPTunnel",
        "--nic8=natnetwork",
        "--nat-network8=NatNetwork",
        "--nictype3=virtio",
        "--cpus=2",
        "--cpuexecutioncap=40",
        "--ostype=Debian_64",
    )
    uuids["late"] = create(host, "late", "--chipset=ich9", "--nic1=none")
    host.manage("modifyvm", uuids["late"], "--nic30=nat", "--natpf30=ssh,tcp,,2230,,22")
    uuids["snapshots"] = _with_snapshots(host)
    for state in ("running", "paused", "saved", "aborted"):
        uuids[state] = create(host, state, "--groups=/lab", "--nic1=nat")
        _bring(host, uuids[state], state)
    guest = uuids["running"]
    for name, value in (("Net/0/V4/IP", "10.0.2.15"), ("Net/1/V4/IP", "192.168.56.7")):
        host.manage("guestproperty", "set", guest, f"/VirtualBox/GuestInfo/{name}", value)
    odd = "it's = 'odd'\nsecond @ line"
    host.manage("guestproperty", "set", guest, "/odd", odd, "--flags", "RDONLYGUEST")
    return uuids


def start_web_service(host: VirtualBoxHost, library: str = "null", port: int = WEB_PORT) -> str:
    """Start vboxwebsrv, reachable from here; its address. ``library`` checks passwords.

    The library is a setting of all of VirtualBox, and a service reads it when the first user
    comes: it is set before, and the first user comes here.
    """
    host.manage("setproperty", "websrvauthlibrary", library)
    host.inside(WEB_SERVICE, "--host", "0.0.0.0", "--port", str(port))
    host.container.reload()
    address = host.container.attrs["NetworkSettings"]["IPAddress"]
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection((address, port), 1).close()
            break
        if time.monotonic() > deadline:
            raise TimeoutError("vboxwebsrv does not listen")
        time.sleep(0.05)
    url = f"http://{address}:{port}"
    with contextlib.suppress(AccessDenied):
        VBoxWebService(url, timeout_s=30).vms()
    return url


def _with_snapshots(host: VirtualBoxHost) -> str:
    uuid = create(host, "snapshots")
    host.manage("snapshot", uuid, "take", "root", "--description", "two\n   lines, 'quoted'")
    host.manage("snapshot", uuid, "take", "child (UUID: none)")
    host.manage("snapshot", uuid, "take", "leaf")
    host.manage("snapshot", uuid, "restore", "root")
    host.manage("snapshot", uuid, "take", "Zweig ä")
    return uuid


def _bring(host: VirtualBoxHost, uuid: str, state: str) -> None:
    host.manage("startvm", uuid, "--type", "headless")
    if state == "paused":
        host.manage("controlvm", uuid, "pause")
    elif state == "saved":
        host.manage("controlvm", uuid, "savestate")
    elif state == "aborted":
        _kill(host, uuid)
    deadline = time.monotonic() + 30
    while f'VMState="{state}"' not in host.manage("showvminfo", uuid, "--machinereadable"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the machine does not become {state}")
        time.sleep(0.1)


def _lost(host: VirtualBoxHost) -> str:
    uuid = create(host, "gone")
    settings = [
        line.split('"')[1]
        for line in host.manage("showvminfo", uuid, "--machinereadable").splitlines()
        if line.startswith("CfgFile=")
    ]
    shutil.rmtree(Path(settings[0]).parent)
    _kill(host, "VBoxSVC")
    return uuid


def _kill(host: VirtualBoxHost, text: str) -> None:
    """End the programs whose command line has this text in it."""
    script = (
        'for p in /proc/[0-9]*; do grep -qa -e "$1" $p/cmdline 2>/dev/null '
        '&& [ "${p#/proc/}" != $$ ] && kill -9 "${p#/proc/}"; done'
    )
    host.container.exec_run(["sh", "-c", script, "kill", text])
