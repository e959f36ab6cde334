# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real program does without saying so: the client notices."""

from __future__ import annotations

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import _vboxmanage as parser
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_errors as errors,
)

from tests.unit.plugins.module_utils.test_vboxmanage_client import (
    GANDALF,
    Program,
    details,
    recorded,
)

LOCKED = "VBoxManage: error: The machine 'x' is already locked for a session (or being unlocked)\n"


def test_an_error_with_exit_code_0_is_an_error() -> None:
    text = "VBoxManage: error: The machine is not mutable (state is Saved)\n"
    call = ("modifyvm", GANDALF, "--nic2", "nat")
    program = Program({call: [(0, "", text)]})
    with pytest.raises(errors.InvalidState):
        program.client().on(GANDALF, "modifyvm", "--nic2", "nat")


def test_progress_and_warnings_are_no_errors() -> None:
    text = '0%...100%\nVBoxManage: warning: Interface "x" doesn\'t seem to exist\n'
    call = ("modifyvm", GANDALF, "--nic2", "nat")
    program = Program({call: [(0, "", text)]})
    program.client().on(GANDALF, "modifyvm", "--nic2", "nat")


def test_a_machine_whose_process_has_just_ended_is_waited_for() -> None:
    call = ("modifyvm", GANDALF, "--memory", "64")
    answers = [(1, "", LOCKED), (1, "", LOCKED), (0, "", "")]
    program = Program({call: answers, details(GANDALF): [recorded(19)]})
    program.client().on(GANDALF, "modifyvm", "--memory", "64")
    assert 0 < program.now < 2


def test_a_machine_that_stays_locked_is_given_up() -> None:
    call = ("modifyvm", GANDALF, "--memory", "64")
    program = Program({call: [(1, "", LOCKED)], details(GANDALF): [recorded(19)]})
    with pytest.raises(errors.Locked):
        program.client().on(GANDALF, "modifyvm", "--memory", "64")
    assert 3 < program.now < 10


GONE = "VBoxManage: error: Failed to create the VirtualBox object!\n"


def test_a_service_that_comes_back_is_waited_for() -> None:
    program = Program({("list", "vms"): [(1, "", GONE), (1, "", GONE), recorded(13)]})
    assert len(program.client().vms()) == 2


def test_a_service_that_stays_away_is_reported() -> None:
    program = Program({("list", "vms"): [(1, "", GONE)]})
    with pytest.raises(errors.ServiceUnavailable):
        program.client().vms()
    assert 3 < program.now < 10


def test_a_question_survives_a_crash_and_a_command_is_not_repeated() -> None:
    crash = (139, "", "Segmentation fault\n")
    program = Program({("list", "vms"): [crash, recorded(13)]})
    assert len(program.client().vms()) == 2
    program = Program({("controlvm", GANDALF, "reset"): [crash]})
    with pytest.raises(errors.Crashed, match="again"):
        program.client().on(GANDALF, "controlvm", "reset")
    assert len(program.calls) == 1


def test_a_crash_after_the_work_is_no_failure() -> None:
    started = 'Waiting for VM "x" to power on...\nVM "x" has been successfully started.\n'
    program = Program(
        {("startvm", GANDALF, "--type", "headless"): [(139, started, "Segmentation fault\n")]}
    )
    program.client().start(GANDALF)
    assert len(program.calls) == 1


@pytest.mark.parametrize("second", [(0, "", ""), recorded(50), recorded(53)])
def test_settings_are_given_again_after_a_crash(second: tuple[int, str, str]) -> None:
    """A forward that is there already, or gone already, tells that they had been saved."""
    program = Program({("modifyvm", GANDALF, "--memory", "64"): [(-11, "", ""), second]})
    program.client().on(GANDALF, "modifyvm", "--memory", "64")
    assert len(program.calls) == 2


def test_settings_that_are_wrong_are_refused_after_a_crash_too() -> None:
    program = Program({("modifyvm", GANDALF, "--memory", "1"): [(-11, "", ""), recorded(70)]})
    with pytest.raises(errors.InvalidArgument):
        program.client().on(GANDALF, "modifyvm", "--memory", "1")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Driverless mode (VERR_SUP_DRIVERLESS)", errors.DriverMissing),
        ("Cannot attach to 'n' in driverless mode (VERR_SUP_DRIVERLESS).", errors.DriverMissing),
        ("Failed to attach the network LUN (VERR_PDM_DRIVER_NOT_FOUND)", errors.StartFailed),
        ("Invalid machine state: Paused", errors.InvalidState),
        ("The NIC 3 is currently disabled and thus its", errors.InvalidState),
        ("Failed to assign the machine to the session (E_ACCESSDENIED)", errors.Busy),
        ("Hard disk '/d.vdi' has more than one child hard disk (2)", errors.InUse),
        ("Registered machine with UUID {x} ('/x') already exists", errors.Duplicate),
        ("Could not rename the directory '/a' to '/b' (VERR_ALREADY_EXISTS)", errors.Duplicate),
        ("Could not rename the settings file '/a' to '/b'", errors.InvalidArgument),
        ("A machine cannot have a UUID as its name", errors.InvalidArgument),
        ("Nonexistent host networking interface, name 'v'", errors.InvalidArgument),
        ("Invalid CPU execution cap value: 0", errors.InvalidArgument),
    ],
)
def test_messages_of_the_real_program(text: str, kind: type[Exception]) -> None:
    assert type(errors.classify(1, "", f"VBoxManage: error: {text}\n")) is kind


def test_disks_and_who_uses_them() -> None:
    base, child, vm, clone, snapshot = (
        f"{n}" * 8 + "-0000-4000-8000-000000000000" for n in "12345"
    )
    text = (
        f"UUID:           {base}\nParent UUID:    base\nState:          created\n"
        f"In use by VMs:  a (UUID: {vm}) [s (UUID: {snapshot})]\nChild UUIDs:    {child}\n\n"
        f"UUID:           {child}\nParent UUID:    {base}\nState:          created\n"
        f"In use by VMs:  two\nlines (UUID: {clone})\n\n"
    )
    first, second = parser.parse_media(text)
    assert (first.uuid, first.parent, first.users) == (base, None, (vm, snapshot))
    assert (second.uuid, second.parent, second.users) == (child, base, (clone,))
    assert parser.parse_media("") == ()
    assert len(parser.parse_media(recorded(29)[1])) == 4


@pytest.mark.parametrize(
    "text",
    [
        "ID / Description: Debian_64 -- Debian (64-bit)\nFamily: Linux\n",
        "ID:          Debian_64\nDescription: Debian (64-bit)\nFamily ID:   Linux\n",
    ],
)
def test_guest_types_of_old_and_new_versions(text: str) -> None:
    assert parser.parse_os_types(text) == (("Debian_64", "Debian (64-bit)"),)
