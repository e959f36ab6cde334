# SPDX-License-Identifier: GPL-3.0-or-later
"""What virtualbox_snapshot and virtualbox_vm_info make of a VirtualBox made of values."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_errors as errors,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_actions import (
    Machines,
)
from ansible_collections.clusterops.playground.plugins.modules import (
    virtualbox_snapshot,
    virtualbox_vm_info,
)

from tests.unit.plugins.modules.fake_virtualbox import FakeVirtualBox


def run(fake: FakeVirtualBox, check: bool = False, **given: Any) -> tuple[list[str], Any]:
    """Steps and the snapshot afterwards."""
    defaults = {key: one.get("default") for key, one in virtualbox_snapshot.OPTIONS.items()}
    machines = Machines(fake, sleep=fake.sleep, clock=lambda: fake.now)  # type: ignore[arg-type]
    todo, after, _ = virtualbox_snapshot.ensure(machines, {**defaults, **given}, check)
    return list(todo.steps), after


@pytest.mark.parametrize("name", ["base", "--live", "-x", 'say "hi"', "ü 😀", "take"])
@pytest.mark.parametrize("state", ["poweroff", "running"])
def test_a_snapshot_is_taken_once(name: str, state: str) -> None:
    fake = FakeVirtualBox()
    fake.add("web", state=state)
    steps, foretold = run(fake, check=True, vm="web", name=name, description="-d")
    assert (steps, foretold.uuid, fake.changes) == (["take"], "", [])
    steps, taken = run(fake, vm="web", name=name, description="-d", live=True)
    assert (steps, taken.name, taken.description) == (["take"], name, "-d")
    assert run(fake, vm="web", name=name, description="-d", live=True)[0] == []
    assert run(fake, vm="web", name=name)[0] == []
    steps, edited = run(fake, vm="web", name=name, description="two\nlines")
    assert (steps, edited.description) == (["edit"], "two\nlines")


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "51c24859-f7cf-4af1-8c90-ddb20c4f23fc"])
def test_names_that_vboxmanage_cannot_report(name: str) -> None:
    fake = FakeVirtualBox()
    fake.add("web")
    with pytest.raises(errors.InvalidArgument):
        run(fake, vm="web", name=name)


def test_restoring_needs_a_machine_that_is_powered_off() -> None:
    fake = FakeVirtualBox()
    fake.add("web")
    run(fake, vm="web", name="one")
    run(fake, vm="web", name="two")
    assert run(fake, vm="web", name="one", state="restored")[1].current
    fake.start(fake.named("web").uuid)
    with pytest.raises(errors.InvalidState, match="force: true"):
        run(fake, vm="web", name="one", state="restored")
    assert run(fake, True, vm="web", name="one", state="restored", force=True)[0]
    assert fake.named("web").state == "running"
    steps, _ = run(fake, vm="web", name="one", state="restored", force=True)
    assert steps == ["poweroff", "restore"]
    with pytest.raises(errors.SnapshotNotFound):
        run(fake, vm="web", name="three", state="restored")


def test_two_snapshots_of_one_name_need_a_uuid() -> None:
    fake = FakeVirtualBox()
    uuid = fake.add("web")
    for _ in range(2):
        fake.on(uuid, "snapshot", "take", "twin", "--description", "")
    for state in ("present", "restored", "absent"):
        with pytest.raises(errors.AmbiguousName, match="use the UUID"):
            run(fake, vm="web", name="twin", state=state)
    first = fake.named("web").snapshots[0].uuid
    assert run(fake, vm="web", uuid=first, state="absent")[0] == ["delete"]
    assert run(fake, vm="web", uuid=first, state="absent")[0] == []
    assert run(fake, vm="web", name="twin", state="absent")[0] == ["delete"]
    assert run(fake, vm="web", name="twin", state="absent")[0] == []


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["a", "b", "c"]),
        ({"names": ["a", "none"]}, ["a"]),
        ({"group": "/lab"}, ["a", "b"]),
        ({"group": "/lab/"}, ["a", "b"]),
        ({"group": "/la"}, []),
        ({"group": "/"}, ["a", "b", "c"]),
        ({"states": ["running"]}, ["b"]),
        ({"group": "/lab", "states": ["poweroff"]}, ["a"]),
        ({"uuids": []}, []),
    ],
)
def test_the_machines_that_are_listed(given: dict[str, Any], names: list[str]) -> None:
    fake = FakeVirtualBox()
    fake.add("a", groups=("/lab",))
    fake.add("b", groups=("/x", "/lab/agents"), state="running")
    fake.add("c", groups=("/laboratory",))
    defaults = {key: one.get("default") for key, one in virtualbox_vm_info.OPTIONS.items()}
    found = virtualbox_vm_info.gather(fake, {**defaults, **given})
    assert [vm["name"] for vm in found] == names
    assert fake.changes == []
