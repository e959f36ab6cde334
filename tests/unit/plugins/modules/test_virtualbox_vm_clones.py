# SPDX-License-Identifier: GPL-3.0-or-later
"""What virtualbox_vm makes of clones, names and forwards."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_errors as errors,
)

from tests.unit.plugins.modules.fake_virtualbox import FakeVirtualBox
from tests.unit.plugins.modules.virtualbox_vm_runs import SSH, WEB, run


def original(fake: FakeVirtualBox, **fields: Any) -> str:
    fake.add("template", groups=("/templates",), **fields)
    run(fake, name="template", nat_forwards=[SSH])
    uuid = fake.named("template").uuid
    fake.on(uuid, "snapshot", "take", "base", "--description", "")
    return uuid


def test_a_clone_is_in_no_group_and_has_no_forwards_of_its_original() -> None:
    fake = FakeVirtualBox()
    original(fake, memory_mb=512)
    steps, vm = run(fake, name="web", clone_from="template", state="started")
    assert steps == ["clone", "start"]
    assert (vm["groups"], vm["forwards"], vm["memory_mb"]) == (["/"], [], 512)
    assert run(fake, name="web", clone_from="template", state="started")[0] == []


def test_check_mode_foretells_a_clone() -> None:
    fake = FakeVirtualBox()
    original(fake, memory_mb=512)
    before = dict(fake.machines)
    steps, vm = run(fake, True, name="web", clone_from="template", cpus=3, state="started")
    assert (steps, vm["uuid"], vm["state"]) == (["clone", "start"], None, "running")
    assert (vm["cpus"], vm["memory_mb"], vm["groups"]) == (3, 512, ["/"])
    assert fake.machines == before


def test_an_unfinished_clone_is_never_taken_for_the_machine_and_is_removed() -> None:
    fake = FakeVirtualBox()
    original(fake)

    def cut(command: str) -> None:
        if command == "modifyvm":
            raise KeyboardInterrupt

    fake.fail = cut
    with pytest.raises(KeyboardInterrupt):
        run(fake, name="web", clone_from="template")
    assert "web" not in fake.names()
    fake.fail = lambda command: None
    run(fake, name="web", clone_from="template", nat_forwards=[WEB])
    assert fake.names() == ["template", "web"]


def test_a_clone_of_a_running_machines_snapshot_is_powered_off() -> None:
    fake = FakeVirtualBox()
    uuid = original(fake)
    fake.start(uuid)
    _, vm = run(fake, name="web", clone_from="template", clone_snapshot="base", memory_mb=64)
    assert vm["state"] == "poweroff"


def test_what_a_clone_needs() -> None:
    fake = FakeVirtualBox()
    with pytest.raises(errors.NotFound, match="template"):
        run(fake, name="web", clone_from="template")
    fake.add("template")
    with pytest.raises(errors.InvalidArgument, match="clone_mode: full"):
        run(fake, name="web", clone_from="template")
    with pytest.raises(errors.SnapshotNotFound, match="base"):
        run(fake, name="web", clone_from="template", clone_snapshot="base")
    assert run(fake, name="web", clone_from="template", clone_mode="full")[0] == ["clone"]


# Names


def test_a_machine_is_found_in_whichever_group_and_never_made_twice() -> None:
    fake = FakeVirtualBox()
    fake.add("web", groups=("/somewhere",))
    assert run(fake, name="web")[0] == []
    assert run(fake, name="web", groups=["/here"])[0] == ["modify"]
    assert fake.names() == ["web"]


def test_two_machines_of_one_name_need_a_uuid() -> None:
    fake = FakeVirtualBox()
    fake.add("web")
    second = fake.add("web", groups=("/b",))
    with pytest.raises(errors.AmbiguousName, match=f"{second}.*use the UUID"):
        run(fake, name="web", state="started")
    steps, vm = run(fake, uuid=second, name="other")
    assert (steps, vm["name"], fake.names()) == (["modify"], "other", ["other", "web"])


def test_renaming() -> None:
    fake = FakeVirtualBox()
    uuid = fake.add("old")
    steps, vm = run(fake, name="old", rename_to="new")
    assert (steps, vm["name"], vm["uuid"]) == (["modify"], "new", uuid)
    assert run(fake, name="old", rename_to="new")[0] == []
    fake.add("old")
    with pytest.raises(errors.Duplicate, match="'new'"):
        run(fake, name="old", rename_to="new")
    with pytest.raises(errors.NotFound, match="neither"):
        run(fake, name="gone", rename_to="lost")


def test_another_machines_name_cannot_imitate_one() -> None:
    fake = FakeVirtualBox()
    real = fake.add("other")

    class Imitating(FakeVirtualBox):
        def vms(self) -> Any:
            return tuple(replace_name(ref, "web") for ref in super().vms())

    liar = Imitating()
    liar.machines = fake.machines
    assert run(liar, True, name="web")[0] == ["create"]
    assert real in liar.machines


def replace_name(ref: Any, name: str) -> Any:
    return type(ref)(name, ref.uuid)


@pytest.mark.parametrize("name", ["a/b", "..", ".", " ", "x\x01", "x\ufffe", "é" * 101, "tab\t"])
def test_names_that_virtualbox_cannot_keep(name: str) -> None:
    fake = FakeVirtualBox()
    with pytest.raises(errors.InvalidArgument):
        run(fake, name=name)
    assert fake.changes == []


# Forwards


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ([{**SSH, "host_port": 70000}], errors.InvalidRule),
        ([{**SSH, "guest_port": 0}], errors.InvalidRule),
        ([{**SSH, "name": ""}], errors.InvalidRule),
        ([{**SSH, "name": "-x"}], errors.InvalidRule),
        ([{**SSH, "name": "a,b"}], errors.InvalidRule),
        ([{**SSH, "host_ip": "999.1.1.1"}], errors.InvalidRule),
        ([{**SSH, "nic": 2}], errors.InvalidRule),
        ([SSH, {**SSH, "host_port": 9}], errors.Duplicate),
        ([SSH, {**SSH, "name": "b"}], errors.Duplicate),
    ],
)
def test_forwards_that_virtualbox_takes_wrongly(rules: list[Any], error: type[Exception]) -> None:
    fake = FakeVirtualBox()
    fake.add("web")
    with pytest.raises(error):
        run(fake, name="web", nat_forwards=rules)
    assert fake.changes == []


@pytest.mark.parametrize("host_ip", ["127.0.0.1", "", "0.0.0.0"])
@pytest.mark.parametrize("check", [True, False])
def test_a_host_port_of_another_machine_is_refused(host_ip: str, check: bool) -> None:
    fake = FakeVirtualBox()
    run(fake, name="first", nat_forwards=[SSH])
    with pytest.raises(errors.Duplicate, match=r"2222.*'first'"):
        run(fake, check, name="second", nat_forwards=[{**SSH, "host_ip": host_ip}])
    assert run(fake, name="second", nat_forwards=[{**SSH, "host_ip": "127.0.0.2"}])[0]
    assert run(fake, name="third", nat_forwards=[{**SSH, "protocol": "udp"}])[0]


def test_a_busy_host_port_is_refused_when_it_would_be_needed() -> None:
    fake = FakeVirtualBox()
    assert run(fake, busy=(2222,), name="web", nat_forwards=[SSH])[0] == ["create"]
    with pytest.raises(errors.Duplicate, match=r"2222.*listens"):
        run(fake, busy=(2222,), name="web", state="started")
    assert fake.named("web").state == "poweroff"
    run(fake, name="web", state="started")
    # The machine itself listens there now.
    assert run(fake, busy=(2222,), name="web", state="started")[0] == []
    with pytest.raises(errors.Duplicate, match="8080"):
        run(fake, busy=(2222, 8080), name="web", nat_forwards=[SSH, WEB])
    assert run(fake, busy=(2222,), name="web", nat_forwards=[SSH, WEB])[0] == ["control"]


def test_the_listed_forwards_are_all_forwards() -> None:
    fake = FakeVirtualBox()
    run(fake, name="web", nat_forwards=[SSH, WEB])
    _, vm = run(fake, name="web", nat_forwards=[{**WEB, "guest_port": 81}])
    assert [(one["name"], one["guest_port"]) for one in vm["forwards"]] == [("web", 81)]
    assert run(fake, name="web", nat_forwards=[])[1]["forwards"] == []


def test_an_inaccessible_entry_can_only_be_removed_and_keeps_its_disks() -> None:
    fake = FakeVirtualBox()
    uuid = fake.add("<inaccessible>", state="inaccessible", accessible=False)
    with pytest.raises(errors.Inaccessible):
        run(fake, uuid=uuid)
    assert run(fake, uuid=uuid, state="absent")[0] == ["unregister"]
    assert fake.changes == ["unregistervm"]
