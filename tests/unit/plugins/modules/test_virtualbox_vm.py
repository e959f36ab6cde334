# SPDX-License-Identifier: GPL-3.0-or-later
"""What virtualbox_vm asks of VirtualBox: states, settings, stopping."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_errors as errors,
)

from tests.unit.plugins.modules.fake_virtualbox import FakeVirtualBox
from tests.unit.plugins.modules.virtualbox_vm_runs import SSH, WEB, run


@pytest.mark.parametrize(
    ("wanted", "found", "steps", "after"),
    [
        ("present", None, ["create"], "poweroff"),
        ("started", None, ["create", "start"], "running"),
        ("stopped", None, ["create"], "poweroff"),
        ("absent", None, [], "absent"),
        ("present", "running", [], "running"),
        ("present", "saved", [], "saved"),
        ("started", "poweroff", ["start"], "running"),
        ("started", "aborted", ["start"], "running"),
        ("started", "saved", ["start"], "running"),
        ("started", "paused", ["resume"], "running"),
        ("started", "running", [], "running"),
        ("started", "gurumeditation", ["poweroff", "start"], "running"),
        ("stopped", "running", ["shutdown"], "poweroff"),
        ("stopped", "paused", ["shutdown"], "poweroff"),
        ("stopped", "gurumeditation", ["poweroff"], "poweroff"),
        ("stopped", "saved", [], "saved"),
        ("stopped", "aborted", [], "aborted"),
        ("paused", "running", ["pause"], "paused"),
        ("paused", "paused", [], "paused"),
        ("saved", "running", ["save"], "saved"),
        ("saved", "paused", ["save"], "saved"),
        ("saved", "saved", [], "saved"),
        ("reset", "running", ["reset"], "running"),
        ("reset", "paused", ["resume", "reset"], "running"),
        ("absent", "poweroff", ["remove"], "absent"),
        ("absent", "saved", ["remove"], "absent"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_states(wanted: str, found: str | None, steps: list[str], after: str, check: bool) -> None:
    fake = FakeVirtualBox()
    if found:
        fake.add("web", state=found)
    before = dict(fake.machines)
    done, vm = run(fake, check, name="web", state=wanted)
    assert (done, vm["state"]) == (steps, after)
    if check:
        assert (fake.machines, fake.changes) == (before, [])


@pytest.mark.parametrize(
    ("wanted", "found", "error", "words"),
    [
        ("paused", None, errors.NotFound, "started"),
        ("saved", "poweroff", errors.NotRunning, "is poweroff"),
        ("reset", "saved", errors.NotRunning, "is saved"),
        ("paused", "gurumeditation", errors.NotRunning, "gurumeditation"),
        ("absent", "running", errors.InvalidState, "force: true"),
    ],
)
def test_states_that_cannot_be_reached(
    wanted: str, found: str | None, error: type[Exception], words: str
) -> None:
    fake = FakeVirtualBox()
    if found:
        fake.add("web", state=found)
    with pytest.raises(error, match=words):
        run(fake, name="web", state=wanted)
    assert fake.changes == []


ALL: dict[str, Any] = {
    "cpus": 2,
    "cpu_cap_percent": 50,
    "memory_mb": 256,
    "groups": ["/b", "/a"],
    "description": "--one\n'two' \"three\"",
    "os_type": "Debian_64",
    "nat_forwards": [SSH, WEB],
    "nics": [
        {"number": 1, "attachment": "nat"},
        {"number": 2, "attachment": "intnet", "network": "--net", "mac": "0a:00:27:00:00:01"},
    ],
}


@pytest.mark.parametrize("name", ["web", "--state", "-x", "a 'b' \"c\"", "two\nlines", "ü 😀"])
def test_a_new_machine_has_all_settings_and_a_second_run_changes_nothing(name: str) -> None:
    fake = FakeVirtualBox()
    _, foretold = run(fake, check=True, name=name, **ALL)
    steps, vm = run(fake, name=name, **ALL)
    assert steps == ["create"]
    assert {key: vm[key] for key in ("name", "cpus", "memory_mb", "description", "os_type")} == {
        "name": name,
        "cpus": 2,
        "memory_mb": 256,
        "description": ALL["description"],
        "os_type": "Debian (64-bit)",
    }
    assert [(nic["number"], nic["network"], nic["mac"]) for nic in vm["nics"]] == [
        (1, "", "080027000001"),
        (2, "--net", "0A0027000001"),
    ]
    assert [rule["name"] for rule in vm["forwards"]] == ["ssh", "web"]
    for key in ("name", "state", "groups", "cpus", "forwards", "description", "os_type"):
        assert foretold[key] == vm[key]
    assert run(fake, name=name, **ALL)[0] == []


def test_a_new_machine_is_configured_in_one_call() -> None:
    fake = FakeVirtualBox()
    run(fake, name="web", **ALL)
    assert fake.changes == ["createvm", "modifyvm"]


def test_a_run_that_was_cut_off_is_repaired_by_the_next() -> None:
    fake = FakeVirtualBox()

    def cut(command: str) -> None:
        if command == "modifyvm":
            raise KeyboardInterrupt

    fake.fail = cut
    with pytest.raises(KeyboardInterrupt):
        run(fake, name="web", **ALL)
    fake.fail = lambda command: None
    steps, vm = run(fake, name="web", **ALL)
    assert (steps, vm["memory_mb"], fake.names()) == (["modify"], 256, ["web"])


def test_a_machine_that_cannot_be_configured_does_not_remain() -> None:
    fake = FakeVirtualBox()

    def refuse(command: str) -> None:
        if command == "modifyvm":
            raise errors.InvalidArgument("Invalid RAM size")

    fake.fail = refuse
    with pytest.raises(errors.InvalidArgument):
        run(fake, name="web", **ALL)
    assert fake.names() == []


RUNNING_ONLY = [
    ("cpu_cap_percent", 40),
    ("nat_forwards", [SSH]),
    ("nics", [{"number": 1, "attachment": "null"}]),
    ("nics", [{"number": 1, "attachment": "intnet", "network": "-n"}]),
]
POWERED_OFF = [
    ("cpus", 4),
    ("memory_mb", 512),
    ("groups", ["/x"]),
    ("description", "x"),
    ("os_type", "Debian_64"),
    ("rename_to", "new"),
    ("nics", [{"number": 2, "attachment": "nat"}]),
    ("nics", [{"number": 1, "attachment": "none"}]),
    ("nics", [{"number": 1, "attachment": "nat", "mac": "0A0027000001"}]),
]


@pytest.mark.parametrize(("option", "value"), RUNNING_ONLY)
@pytest.mark.parametrize("state", ["running", "paused"])
def test_what_can_change_while_a_machine_runs(option: str, value: Any, state: str) -> None:
    fake = FakeVirtualBox()
    fake.add("web", state=state)
    steps, vm = run(fake, name="web", **{option: value})
    assert (steps, vm["state"]) == (["control"], state)
    assert run(fake, name="web", **{option: value})[0] == []


@pytest.mark.parametrize(("option", "value"), POWERED_OFF)
def test_what_needs_a_machine_that_is_powered_off(option: str, value: Any) -> None:
    fake = FakeVirtualBox()
    fake.add("web", state="running")
    with pytest.raises(errors.InvalidState, match=r"powered off: \w+.*restart: true"):
        run(fake, name="web", **{option: value})
    assert fake.changes == []
    steps, vm = run(fake, name="web", restart=True, **{option: value})
    assert (steps, vm["state"]) == (["shutdown", "modify", "start"], "running")


def test_a_restart_leaves_a_paused_machine_paused() -> None:
    fake = FakeVirtualBox()
    fake.add("web", state="paused")
    steps, vm = run(fake, name="web", restart=True, cpus=2)
    assert (steps, vm["state"]) == (["shutdown", "modify", "start", "pause"], "paused")


def test_stopping_comes_before_changing_and_starting_after() -> None:
    fake = FakeVirtualBox()
    fake.add("web", state="running")
    assert run(fake, name="web", state="stopped", cpus=2)[0] == ["shutdown", "modify"]
    assert run(fake, name="web", state="started", cpus=3)[0] == ["modify", "start"]


def test_a_saved_state_is_given_up_by_force_only() -> None:
    fake = FakeVirtualBox()
    fake.add("web", state="saved")
    steps, vm = run(fake, name="web", description="x", nat_forwards=[SSH])
    assert (steps, vm["state"]) == (["modify"], "saved")
    with pytest.raises(errors.InvalidState, match=r"saved.*memory_mb.*force: true"):
        run(fake, name="web", memory_mb=256)
    steps, vm = run(fake, name="web", memory_mb=256, force=True)
    assert (steps, vm["state"]) == (["discard", "modify"], "poweroff")


@pytest.mark.parametrize(
    ("obeys_after_s", "grace_s", "hard"), [(3, 10, False), (30, 10, True), (None, 0, True)]
)
def test_the_power_button_comes_first(
    obeys_after_s: float | None, grace_s: float, hard: bool
) -> None:
    fake = FakeVirtualBox()
    fake.obeys_button_after_s = obeys_after_s
    fake.add("web", state="running")
    run(fake, name="web", state="stopped", stop_grace_s=grace_s)
    assert ("controlvm poweroff" in fake.changes) is hard
    assert ("controlvm acpipowerbutton" in fake.changes) is (grace_s > 0)
    assert fake.now <= grace_s + 1
