# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of error, provoked with the real program, and its remedy."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clusterops.virtualbox import _vboxmanage_errors as errors
from clusterops.virtualbox._vboxmanage_client import SubprocessRunner, VBoxManage
from clusterops.virtualbox._vboxmanage_model import NatForward
from clusterops.virtualbox._vboxwebsrv_soap import Connection, text_of
from clusterops.virtualbox._virtualbox_actions import Machines
from clusterops.virtualbox._virtualbox_settings import Wanted
from tests.virtualbox.host import VirtualBoxHost
from tests.virtualbox.modules import Modules
from tests.virtualbox.zoo import start_web_service

pytestmark = pytest.mark.integration

UNKNOWN = "00000000-0000-4000-8000-000000000000"
RULE = "r,tcp,127.0.0.1,42301,,22"


class Lab(NamedTuple):
    """Machines in the states that errors need."""

    host: VirtualBoxHost
    client: VBoxManage
    machines: Machines
    off: str
    running: str
    saved: str
    original: str


@pytest.fixture(scope="module")
def lab(virtualbox: VirtualBoxHost) -> Iterator[Lab]:
    client = virtualbox.client(timeout_s=30)
    machines = Machines(client, timeout_s=30)
    small = {"memory_mb": 16}
    off, running, saved, original = (
        machines.create(Wanted(name=name, **small)).uuid
        for name in ("off", "running", "saved", "original")
    )
    machines.set_forwards(running, [NatForward("r", "tcp", "127.0.0.1", 42301, "", 22)])
    for uuid in (running, saved):
        machines.start(uuid)
    client.on(saved, "controlvm", "savestate")
    disk = str(virtualbox.folder / "original.vdi")
    client.call("createmedium", "disk", "--filename", disk, "--size", "4")
    client.on(original, "storagectl", "--name", "sata", "--add", "sata")
    medium = ("--storagectl", "sata", "--port", "0", "--type", "hdd", "--medium", disk)
    client.on(original, "storageattach", *medium)
    base = machines.take(original, "base")
    machines.take(original, "top")
    machines.clone(original, Wanted(name="linked"), snapshot=base)
    machines.take(off, "twin")
    machines.take(off, "twin")
    yield Lab(virtualbox, client, machines, off, running, saved, original)


def without_the_interpreter(lab: Lab) -> None:
    """As on a machine whose kernel lacks VirtualBox's driver."""
    key = "VBoxInternal/HM/FallbackToIEM"
    lab.host.manage("setextradata", "global", key)
    try:
        lab.client.start(lab.off)
    finally:
        lab.host.manage("setextradata", "global", key, "1")


def with_adapter(lab: Lab, *words: str) -> None:
    lab.client.on(lab.off, "modifyvm", *words)
    try:
        lab.client.start(lab.off)
    finally:
        lab.client.on(lab.off, "modifyvm", "--nic3", "none")


def another_home(lab: Lab, **environment: str) -> VBoxManage:
    """The program with other settings in its environment."""
    path = lab.host.folder / "other-VBoxManage"
    text = lab.host.program.read_text()
    for key, value in environment.items():
        text = re.sub(rf"\b{key}=\S+", f"{key}={value}", text)
    path.write_text(text)
    path.chmod(0o755)
    return VBoxManage(SubprocessRunner(), str(path), timeout_s=20)


def hanging(lab: Lab) -> VBoxManage:
    path = lab.host.folder / "hanging"
    path.write_text("#!/bin/sh\nsleep 60 &\nsleep 60\n")
    path.chmod(0o755)
    return VBoxManage(SubprocessRunner(), str(path), timeout_s=0.3)


def duplicate_names(lab: Lab) -> None:
    lab.client.call("createvm", "--name", "off", "--groups", "/elsewhere", "--register")
    second = lab.client.vms()[-1].uuid
    try:
        lab.machines.find("off")
    finally:
        lab.client.on(second, "unregistervm", "--delete")


Provoke = Callable[[Lab], Any]
ERRORS: list[tuple[type[errors.VBoxManageError], str, Provoke]] = [
    (errors.NotFound, "unknown machine", lambda lab: lab.client.vm(UNKNOWN)),
    (errors.NotFound, "start unknown", lambda lab: lab.client.start(UNKNOWN)),
    (errors.NotFound, "clone unknown", lambda lab: lab.machines.clone(UNKNOWN, Wanted(name="x"))),
    (errors.NotFound, "properties", lambda lab: lab.client.guest_properties(UNKNOWN)),
    (
        errors.SnapshotNotFound,
        "restore",
        lambda lab: lab.client.on(lab.off, "snapshot", "restore", "gone"),
    ),
    (
        errors.SnapshotNotFound,
        "clone",
        lambda lab: lab.machines.clone(lab.off, Wanted(name="x"), snapshot="gone"),
    ),
    (
        errors.RuleNotFound,
        "off",
        lambda lab: lab.client.on(lab.off, "modifyvm", "--natpf1", "delete", "gone"),
    ),
    (
        errors.RuleNotFound,
        "running",
        lambda lab: lab.client.on(lab.running, "controlvm", "natpf1", "delete", "gone"),
    ),
    (
        errors.PartNotFound,
        "controller",
        lambda lab: lab.client.on(
            lab.off, "storageattach", "--storagectl", "gone", "--port", "0", "--medium", "none"
        ),
    ),
    (errors.AlreadyRunning, "start", lambda lab: lab.client.start(lab.running)),
    (errors.NotRunning, "pause", lambda lab: lab.client.on(lab.off, "controlvm", "pause")),
    (errors.NotRunning, "saved", lambda lab: lab.client.on(lab.saved, "controlvm", "reset")),
    (
        errors.InvalidState,
        "change running",
        lambda lab: lab.client.on(lab.running, "modifyvm", "--memory", "20"),
    ),
    (
        errors.InvalidState,
        "change saved",
        lambda lab: lab.client.on(lab.saved, "modifyvm", "--memory", "20"),
    ),
    (
        errors.InvalidState,
        "exit code 0",
        lambda lab: lab.client.on(lab.saved, "modifyvm", "--nic3", "nat"),
    ),
    (
        errors.InvalidState,
        "exit code 0, running",
        lambda lab: lab.client.on(lab.running, "controlvm", "nic3", "nat"),
    ),
    (
        errors.InvalidState,
        "unregister running",
        lambda lab: lab.client.on(lab.running, "unregistervm", "--delete"),
    ),
    (
        errors.StartFailed,
        "no such driver",
        lambda lab: with_adapter(lab, "--nic3", "generic", "--nicgenericdrv3", "none"),
    ),
    (errors.DriverMissing, "no interpreter", without_the_interpreter),
    (
        errors.DriverMissing,
        "needs the driver",
        lambda lab: with_adapter(lab, "--nic3", "natnetwork", "--nat-network3", "n"),
    ),
    (
        errors.InvalidArgument,
        "no such interface",
        lambda lab: with_adapter(lab, "--nic3", "hostonly", "--hostonlyadapter3", "vboxnet9"),
    ),
    (
        errors.InvalidRule,
        "protocol",
        lambda lab: lab.client.on(lab.off, "modifyvm", "--natpf1", "x,sctp,,1,,1"),
    ),
    (
        errors.InvalidRule,
        "form",
        lambda lab: lab.client.on(lab.off, "modifyvm", "--natpf1", "nonsense"),
    ),
    (
        errors.InvalidRule,
        "port 70000",
        lambda lab: lab.machines.set_forwards(lab.off, [NatForward("x", "tcp", "", 70000, "", 22)]),
    ),
    (
        errors.Duplicate,
        "rule",
        lambda lab: lab.client.on(lab.running, "controlvm", "natpf1", RULE),
    ),
    (
        errors.Duplicate,
        "host port",
        lambda lab: lab.client.on(lab.running, "controlvm", "natpf1", RULE.replace("r", "s", 1)),
    ),
    (
        errors.Duplicate,
        "file",
        lambda lab: lab.client.call("createvm", "--name", "off", "--register"),
    ),
    (
        errors.Duplicate,
        "uuid",
        lambda lab: lab.client.call("createvm", "--name", "u", "--uuid", lab.off, "--register"),
    ),
    (errors.Duplicate, "name", lambda lab: lab.machines.create(Wanted(name="off"))),
    (errors.Duplicate, "rename", lambda lab: lab.client.on(lab.off, "modifyvm", "--name", "saved")),
    (errors.AmbiguousName, "machine", duplicate_names),
    (errors.AmbiguousName, "snapshot", lambda lab: lab.machines.snapshot(lab.off, "twin")),
    (
        errors.InUse,
        "snapshot with a linked clone",
        lambda lab: lab.client.on(lab.original, "snapshot", "delete", "base"),
    ),
    (errors.InUse, "original", lambda lab: lab.machines.remove(lab.original)),
    (
        errors.InvalidArgument,
        "memory",
        lambda lab: lab.client.on(lab.off, "modifyvm", "--memory", "1"),
    ),
    (
        errors.InvalidArgument,
        "cpus",
        lambda lab: lab.client.on(lab.off, "modifyvm", "--cpus", "99"),
    ),
    (
        errors.InvalidArgument,
        "cap",
        lambda lab: lab.client.on(lab.running, "controlvm", "cpuexecutioncap", "400"),
    ),
    (
        errors.InvalidArgument,
        "group",
        lambda lab: lab.client.on(lab.off, "modifyvm", "--groups", "x"),
    ),
    (
        errors.InvalidArgument,
        "guest type",
        lambda lab: lab.client.call("createvm", "--name", "x", "--ostype", "Hobbit", "--register"),
    ),
    (
        errors.InvalidArgument,
        # modifyvm takes it, and says nothing.
        "guest type of an existing machine",
        lambda lab: lab.machines.change(lab.off, Wanted(os_type="Hobbit")),
    ),
    (errors.InvalidArgument, "name", lambda lab: lab.client.on(lab.off, "modifyvm", "--name", "")),
    (
        errors.InvalidArgument,
        "name with a slash",
        lambda lab: lab.client.on(lab.off, "modifyvm", "--name", "a/b"),
    ),
    (
        errors.InvalidArgument,
        "long name",
        lambda lab: lab.client.call("createvm", "--name", "x" * 300, "--register"),
    ),
    (
        errors.InvalidArgument,
        "linked clone without snapshot",
        lambda lab: lab.machines.clone(lab.saved, Wanted(name="x"), linked=True),
    ),
    (errors.UsageError, "command", lambda lab: lab.client.call("dance")),
    (errors.UsageError, "option", lambda lab: lab.client.on(lab.off, "modifyvm", "--dance")),
    (errors.ProgramMissing, "none", lambda lab: VBoxManage(SubprocessRunner(), "/none").vms()),
    (errors.TimedOut, "hanging", lambda lab: hanging(lab).vms()),
]


@pytest.mark.parametrize(
    ("kind", "provoke"),
    [pytest.param(kind, call, id=f"{kind.__name__}: {what}") for kind, what, call in ERRORS],
)
def test_errors(lab: Lab, kind: type[errors.VBoxManageError], provoke: Provoke) -> None:
    before = (lab.client.vms(), lab.client.call("list", "runningvms"))
    with pytest.raises(errors.VBoxManageError) as caught:
        provoke(lab)
    assert type(caught.value) is kind, str(caught.value)
    assert str(caught.value).endswith(caught.value.remedy)
    assert "\n" not in str(caught.value)
    assert (lab.client.vms(), lab.client.call("list", "runningvms")) == before


def test_a_lost_settings_file(lab: Lab) -> None:
    """VBoxSVC reads a machine's file when it starts: it is ended here, as by a reboot."""
    vm = lab.machines.create(Wanted(name="lost", memory_mb=16))
    Path(vm.config_file).rename(f"{vm.config_file}-away")
    lab.client.on(lab.running, "controlvm", "poweroff")
    lab.host.container.exec_run(["pkill", "-x", "VBoxSVC"])
    wait_until(lambda: not lab.client.details(vm.uuid).accessible)
    with pytest.raises(errors.Inaccessible, match=r"\.vbox file"):
        lab.client.vm(vm.uuid)
    with pytest.raises(errors.Inaccessible):
        lab.client.start(vm.uuid)
    modules = Modules(executable=str(lab.host.program), timeout_s=30)
    assert modules("virtualbox_vm", uuid=vm.uuid)["error"] == "Inaccessible"
    listed = modules.vms(states=["inaccessible"])
    assert [one["uuid"] for one in listed] == [vm.uuid]
    gone = modules.ok("virtualbox_vm", uuid=vm.uuid, state="absent")
    assert gone["steps"] == ["unregister"]
    assert modules.vms(states=["inaccessible"]) == []
    lab.machines.start(lab.running)


def wait_until(condition: Callable[[], bool], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_service_that_cannot_be_reached(lab: Lab) -> None:
    client = another_home(lab, VBOX_USER_HOME="/proc/none", HOME="/proc/none")
    with pytest.raises(errors.ServiceUnavailable, match="VBoxSVC"):
        client.vms()


def test_a_machine_that_another_program_has_open(lab: Lab) -> None:
    """As while its settings are open in VirtualBox's window: no call of VBoxManage does that."""
    service = Connection(start_web_service(lab.host))
    box = text_of(service.call("IWebsessionManager_logon", username="", password=""))
    session = text_of(service.call("IWebsessionManager_getSessionObject", refIVirtualBox=box))
    machine = text_of(service.call("IVirtualBox_findMachine", box, nameOrId=lab.off))
    service.call("IMachine_lockMachine", machine, session=session, lockType="Write")
    try:
        for call in (
            lambda: lab.client.on(lab.off, "modifyvm", "--memory", "20"),
            lambda: lab.client.start(lab.off),
        ):
            with pytest.raises(errors.Locked, match="close its settings window") as caught:
                call()
            assert type(caught.value) is errors.Locked
        modules = Modules(executable=str(lab.host.program), timeout_s=30)
        assert modules("virtualbox_vm", uuid=lab.off, memory_mb=24)["error"] == "Locked"
        assert lab.client.vm(lab.off).state == "poweroff"
    finally:
        service.call("ISession_unlockMachine", session)
        service.call("IWebsessionManager_logoff", refIVirtualBox=box)
        service.close()
    lab.client.on(lab.off, "modifyvm", "--memory", "20")


def test_a_locale_that_cannot_write_a_name(lab: Lab) -> None:
    path = lab.host.folder / "poor-VBoxManage"
    path.write_text(f'#!/bin/sh\nLC_ALL=C exec {lab.host.program} "$@"\n')
    path.chmod(0o755)
    client = VBoxManage(SubprocessRunner(), str(path), timeout_s=20)
    with pytest.raises(errors.LocaleError, match=r"LC_ALL=C\.UTF-8"):
        client.on(lab.off, "modifyvm", "--description", "ä")


def test_a_machine_that_somebody_else_works_on(lab: Lab) -> None:
    """Calls at the same time, from clients that know nothing of each other."""
    failures: list[Exception] = []

    def work(setting: dict[str, Any]) -> None:
        # A process each: within one process they take turns anyway.
        modules = Modules(executable=str(lab.host.program), timeout_s=60)
        result = modules("virtualbox_vm", name="off", **setting)
        if result.get("failed"):
            failures.append(AssertionError(result["msg"]))

    settings = [{"description": "x"}, {"memory_mb": 20}, {"cpus": 2}, {"cpu_cap_percent": 50}]
    settings += [{"nat_forwards": [{"name": "x", "host_port": 42309, "guest_port": 1}]}]
    threads = [threading.Thread(target=work, args=(one,)) for one in settings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_module_fails_with_one_line(virtualbox: VirtualBoxHost) -> None:
    modules = Modules(executable=str(virtualbox.program), timeout_s=30)
    for result in (
        modules("virtualbox_vm", uuid=UNKNOWN),
        modules("virtualbox_vm", uuid="off"),
        modules("virtualbox_vm", name="x\ny", state="paused"),
        modules("virtualbox_snapshot", vm="gone", name="x"),
        Modules(executable="/none")("virtualbox_vm_info"),
    ):
        assert result["failed"] and result["error"], result
        assert "\n" not in result["msg"] and result["msg"].endswith(result["remedy"])
