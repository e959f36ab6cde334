# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be wanted of VirtualBox is refused before anything is done; and the host's ports."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_errors as errors,
)
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _virtualbox_host as host,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_model import (
    NatForward,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_actions import (
    Machines,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_plan import (
    Request,
    plan,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_settings import (
    Wanted,
    WantedNic,
)

from tests.unit.plugins.modules.fake_virtualbox import FRESH, FakeVirtualBox
from tests.unit.plugins.modules.virtualbox_vm_runs import run

UUID = "99999999-aaaa-4bbb-8ccc-dddddddddddd"


def machines(fake: FakeVirtualBox, timeout_s: float = 10) -> Machines:
    return Machines(
        fake,  # type: ignore[arg-type]
        timeout_s=timeout_s,
        sleep=fake.sleep,
        clock=lambda: fake.now,
        why_not_free=lambda rule: None,
    )


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (Wanted(cpus=65), "cannot have 65 CPUs"),
        (Wanted(memory_mb=3), "cannot have 3 MB of memory"),
        (Wanted(groups=("lab",)), "group cannot be called 'lab'"),
        (Wanted(groups=("/lab/../x",)), "group cannot be called"),
        (Wanted(nics=(WantedNic(37, "nat"),)), "adapter 37 does not exist"),
        (Wanted(nics=(WantedNic(1, "tin can"),)), "attachment 'tin can'"),
        (Wanted(nics=(WantedNic(1, "bridged"),)), "'bridged' without a network"),
        (Wanted(nics=(WantedNic(1, "null", "eth0"),)), "'null' and also a network"),
        (Wanted(nics=(WantedNic(1, "nat", mac="080027"),)), "MAC address '080027'"),
        (Wanted(nics=(WantedNic(1, "nat", mac="01:00:27:00:00:01"),)), "the second is even"),
        (Wanted(nics=(WantedNic(1, "nat"), WantedNic(1, "null"))), "listed twice"),
    ],
)
def test_settings_that_no_machine_can_have(wanted: Wanted, text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=text):
        replace(wanted, name="web").check()


def test_settings_in_virtualboxs_form() -> None:
    wanted = Wanted(groups=(), nics=(WantedNic(1, "nat", mac="08:00:27:aa:bb:cc"),)).check()
    assert wanted.groups == ("/",)
    assert wanted.nics and wanted.nics[0].mac == "080027AABBCC"


@pytest.mark.parametrize(
    ("request_", "found", "kind"),
    [
        (Request("flying", Wanted(name="web")), None, errors.InvalidArgument),
        (Request("present", Wanted()), None, errors.NotFound),
        (Request("started", Wanted()), replace(FRESH, state="starting"), errors.Busy),
        (Request("started", Wanted()), replace(FRESH, accessible=False), errors.Inaccessible),
    ],
)
def test_requests_that_cannot_be_fulfilled(
    request_: Request, found: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        plan(request_, found)


def test_names_and_uuids() -> None:
    fake = FakeVirtualBox()
    uuid = fake.add("web")
    with pytest.raises(errors.InvalidArgument, match="name is empty"):
        run(fake, name="")
    with pytest.raises(errors.NotFound, match=UUID):
        run(fake, uuid=UUID, state="started")
    assert run(fake, uuid=UUID, state="absent")[0] == []
    assert run(fake, uuid=uuid, state="present")[0] == []
    # It has its new name from an earlier run.
    assert run(fake, name="web", rename_to="web")[0] == []
    assert machines(fake).either(f"{{{uuid}}}").name == "web"
    assert machines(fake).either("web").uuid == uuid


def test_a_name_that_looks_like_two_entries_of_a_list() -> None:
    fake = FakeVirtualBox()
    uuid = fake.add('a" {b')
    found = machines(fake).find('a" {b')
    assert found and found.uuid == uuid


def test_a_machine_on_its_way_is_waited_for() -> None:
    fake = FakeVirtualBox()
    uuid = fake.add("web", state="stopping")
    fake._off_at[uuid] = 3.0
    assert machines(fake).settled(fake.named("web")).state == "poweroff"
    assert fake.now >= 3
    fake.machines[uuid] = replace(fake.machines[uuid], state="stopping")
    with pytest.raises(errors.TimedOut, match="'web' remains stopping"):
        machines(fake).settled(fake.named("web"))


def test_guest_types_by_identifier_and_by_description() -> None:
    found = machines(FakeVirtualBox())
    assert found.os_type("Debian_64") == found.os_type("Debian (64-bit)")
    with pytest.raises(errors.InvalidArgument, match="no guest type 'Plan 9'"):
        found.os_type("Plan 9")


def test_a_name_is_given_once() -> None:
    fake = FakeVirtualBox()
    fake.add("web", groups=("/other",))
    with pytest.raises(errors.Duplicate, match="'web' exists"):
        machines(fake).create(Wanted(name="web"))
    assert fake.names() == ["web"]


class Stubborn(FakeVirtualBox):
    """Takes settings only after so many attempts."""

    def __init__(self, attempts: int) -> None:
        super().__init__()
        self.attempts = attempts

    def on(self, uuid: str, command: str, *arguments: str, timeout_s: float | None = None) -> str:
        if command == "modifyvm":
            self.attempts -= 1
            if self.attempts > 0:
                return ""
        return super().on(uuid, command, *arguments, timeout_s=timeout_s)


def test_settings_that_virtualbox_does_not_take() -> None:
    fake = Stubborn(attempts=2)
    fake.add("web")
    run(fake, name="web", memory_mb=256)
    assert fake.named("web").memory_mb == 256
    fake.attempts = 9
    with pytest.raises(errors.VBoxManageError, match=r"took other values .* 'web': memory"):
        run(fake, name="web", memory_mb=512)


def test_the_original_of_linked_clones_stays() -> None:
    fake = FakeVirtualBox()
    original, clone = fake.add("template"), fake.add("clone")
    disk, child = "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002"
    media = (
        f"UUID:           {disk}\nParent UUID:    base\nState:          created\n"
        f"In use by VMs:  template (UUID: {original})\n\n"
        f"UUID:           {child}\nParent UUID:    {disk}\nState:          created\n"
        f"In use by VMs:  clone (UUID: {clone})\n\n"
    )
    ask = fake.call
    fake.call = lambda *words, **more: (  # type: ignore[method-assign]
        media if words[-1] == "hdds" else ask(*words, **more)
    )
    with pytest.raises(errors.InUse, match=f"linked clones: {clone}"):
        run(fake, name="template", state="absent")
    assert fake.names() == ["clone", "template"]
    assert run(fake, name="clone", state="absent")[0] == ["remove"]


@pytest.mark.parametrize("address", ["", "127.0.0.1"])
def test_a_port_where_another_program_listens(address: str) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        forward = NatForward("ssh", "tcp", address, port, "", 22)
        server.listen()
        assert host.why_not_free(forward) == "another program listens there"
    assert host.why_not_free(forward) is None


def test_datagrams_have_ports_of_their_own() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        forward = NatForward("dns", "udp", "127.0.0.1", port, "", 53)
        assert host.why_not_free(forward) == "another program listens there"
    assert host.why_not_free(forward) is None


def test_an_address_that_this_host_does_not_have() -> None:
    reason = host.why_not_free(NatForward("ssh", "tcp", "192.0.2.1", 2222, "", 22))
    assert reason == "Cannot assign requested address"


def test_one_run_at_a_time_makes_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(host, "_POLL_S", 0.005)
    with host.creating("web", 1):
        with pytest.raises(errors.TimedOut, match="'web' for too long"), host.creating("web", 0.02):
            pass
        with host.creating("other", 1):
            pass
    with host.creating("web", 1):
        pass
    assert list(tmp_path.iterdir()) == []


def test_who_waits_makes_it_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(host, "_POLL_S", 0.005)
    order: list[str] = []

    def second() -> None:
        with host.creating("web", 20):
            order.append("second")

    with host.creating("web", 1):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.05)
        order.append("first")
    waiting.join(20)
    assert order == ["first", "second"]


def test_a_lock_that_was_removed_meanwhile_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(host, "_POLL_S", 0.0)
    answers = iter([False, True])
    monkeypatch.setattr(host.os.path, "samestat", lambda *_: next(answers))
    with host.creating("web", 20):
        assert list(answers) == []
