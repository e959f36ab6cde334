# SPDX-License-Identifier: GPL-3.0-or-later
"""The client: addressing, retries, time limits, one call at a time, precise errors."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_client as client,
)
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _vboxmanage_errors as errors,
)

from tests.unit.plugins.module_utils.vboxmanage_samples import ALL

GANDALF = "51c24859-f7cf-4af1-8c90-ddb20c4f23fc"
FRODO = "9c12976b-23ee-4191-9d61-798d7fee6f1c"
RUN1 = "a9be25a9-f650-4be7-9fb8-c13c017db855"
PROGRAM = "/opt/VBoxManage"
PENDING = "VBoxManage: error: The machine 'x' already has a lock request pending\n"
NOT_READY = "VBoxManage: error: The object is not ready\n"
Answer = tuple[int, str, str]


def recorded(number: int) -> Answer:
    sample = ALL[number]
    return sample.code, sample.stdout, sample.stderr


class Program:
    """Answers calls from a table, and remembers them."""

    def __init__(self, answers: dict[tuple[str, ...], list[Answer]]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, ...]] = []
        self.limits: list[float] = []
        self.now = 0.0

    def __call__(self, argv: list[str], timeout_s: float) -> Answer:
        assert argv[0] == PROGRAM
        self.calls.append(tuple(argv[1:]))
        self.limits.append(timeout_s)
        answers = self.answers[tuple(argv[1:])]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def client(self, driver: bool = False, timeout_s: float = 60) -> client.VBoxManage:
        return client.VBoxManage(
            self,
            PROGRAM,
            timeout_s=timeout_s,
            sleep=self.sleep,
            clock=lambda: self.now,
            driver_present=lambda: driver,
        )


def details(uuid: str) -> tuple[str, ...]:
    return ("showvminfo", uuid, "--machinereadable")


def test_the_inventory_takes_two_calls() -> None:
    program = Program({("list", "vms"): [recorded(13)], ("list", "--long", "vms"): [recorded(16)]})
    assert [vm.name for vm in program.client().inventory()] == ["gandalf", "frodo"]
    assert len(program.calls) == 2


def test_a_description_cannot_add_a_machine_or_cut_another_short() -> None:
    code, long_text, _ = recorded(16)
    fake = "12345678-1234-1234-1234-123456789abc"
    # The description of the first machine ends its record and carries a copy under another name.
    first = long_text.partition("\n\nName:                        frodo")[0]
    copy = first.replace(GANDALF, fake).replace("gandalf", "sauron")
    start, found, rest = long_text.partition("\nDescription:\n")
    hostile = f"{start}{found}x\n* Guest:\nConfigured memory balloon:   0MB\n\n{copy}\n\n{rest}"
    program = Program(
        {
            ("list", "vms"): [recorded(13)],
            ("list", "--long", "vms"): [(code, hostile, "")],
            details(GANDALF): [recorded(19)],
            details(fake): [recorded(149)],
        }
    )
    vms = program.client().inventory()
    assert [vm.name for vm in vms] == ["gandalf", "frodo"]
    assert vms[0].description.startswith("line one")


def test_a_name_with_line_breaks_cannot_add_a_machine() -> None:
    fake = "12345678-1234-1234-1234-123456789abc"
    name = f'a" {{{fake}}}\n"gandalf'
    listed = ALL[13].stdout.replace("gandalf", name)
    padded = "Name:                        "
    long_text = ALL[16].stdout.replace(f"{padded}gandalf", f"{padded}{name}", 1)
    program = Program(
        {
            ("list", "vms"): [(0, listed, "")],
            ("list", "--long", "vms"): [(0, long_text, "")],
            details(GANDALF): [recorded(19)],
            details(FRODO): [recorded(21)],
            details(fake): [recorded(149)],
        }
    )
    assert [vm.uuid for vm in program.client().inventory()] == [GANDALF, FRODO]


def test_a_name_and_a_description_together_cannot_add_a_machine() -> None:
    fake = "12345678-1234-1234-1234-123456789abc"
    name = f'sauron" {{{fake}}}\n"gandalf'
    padded = "Name:                        "
    listed = ALL[13].stdout.replace("gandalf", name)
    # The imitation ends with the machine's own end, so that nothing in it is out of place.
    start, found, rest = ALL[16].stdout.partition("\nDescription:\n")
    copy = start.replace(GANDALF, fake).replace("gandalf", "sauron")
    start = start.replace(f"{padded}gandalf", f"{padded}{name}", 1)
    own_end = "x\n* Guest:\nConfigured memory balloon:   0MB\n\n"
    hostile = f"{start}{found}{own_end}{copy}{found}{rest}"
    program = Program(
        {
            ("list", "vms"): [(0, listed, "")],
            ("list", "--long", "vms"): [(0, hostile, "")],
            details(GANDALF): [recorded(19)],
            details(FRODO): [recorded(21)],
            details(fake): [recorded(149)],
        }
    )
    assert [vm.uuid for vm in program.client().inventory()] == [GANDALF, FRODO]


def test_an_inaccessible_machine_is_listed_as_that() -> None:
    lost = "7a5456c5-b631-4ccd-94e0-afe297e5ba41"
    listed = ALL[13].stdout + f'"<inaccessible>" {{{lost}}}\n'
    program = Program(
        {
            ("list", "vms"): [(0, listed, "")],
            ("list", "--long", "vms"): [recorded(16)],
            details(lost): [recorded(117)],
        }
    )
    vms = program.client().inventory()
    assert [(vm.uuid, vm.accessible, vm.state) for vm in vms[2:]] == [(lost, False, "inaccessible")]
    with pytest.raises(errors.Inaccessible):
        program.client().vm(lost)


def test_a_list_that_breaks_off_is_an_error_not_a_short_list() -> None:
    with pytest.raises(errors.MalformedOutput):
        Program({("list", "vms"): [recorded(142)]}).client().inventory()


@pytest.mark.parametrize("message", [PENDING, NOT_READY])
def test_a_busy_machine_is_asked_again(message: str) -> None:
    program = Program({details(GANDALF): [(1, "", message), (1, "", message), recorded(19)]})
    assert program.client().vm(GANDALF).name == "gandalf"
    assert len(program.calls) == 3


def test_retries_end_at_the_time_limit() -> None:
    program = Program({details(GANDALF): [(1, "", PENDING)]})
    with pytest.raises(errors.Busy):
        program.client(timeout_s=5).vm(GANDALF)
    assert program.now <= 5
    assert all(0 < limit <= 5 for limit in program.limits)
    assert program.limits == sorted(program.limits, reverse=True)


def test_other_refusals_are_not_repeated() -> None:
    program = Program({details(GANDALF): [recorded(33)]})
    with pytest.raises(errors.NotFound):
        program.client().vm(GANDALF)
    assert len(program.calls) == 1


def test_starting_a_running_machine_says_that_it_runs() -> None:
    program = Program(
        {
            ("startvm", RUN1, "--type", "headless"): [recorded(154)],
            details(RUN1): [recorded(157)],
        }
    )
    with pytest.raises(errors.AlreadyRunning, match="'run1' is running"):
        program.client().start(RUN1)


def test_starting_a_locked_machine_says_that_it_is_locked() -> None:
    pf2 = "51c24859-f7cf-4af1-8c90-ddb20c4f23fc"
    program = Program(
        {("startvm", pf2, "--type", "headless"): [recorded(101)], details(pf2): [recorded(109)]}
    )
    with pytest.raises(errors.Locked):
        program.client().start(pf2)


@pytest.mark.parametrize("number", [162, 163])
def test_changing_a_running_machine_says_what_it_needs(number: int) -> None:
    program = Program(
        {
            ("modifyvm", RUN1, "--memory", "128"): [recorded(number)],
            details(RUN1): [recorded(157)],
        }
    )
    with pytest.raises(errors.InvalidState, match="modifyvm needs it powered off"):
        program.client().on(RUN1, "modifyvm", "--memory", "128")


@pytest.mark.parametrize(
    ("driver", "kind"), [(False, errors.DriverMissing), (True, errors.StartFailed)]
)
def test_a_failed_start_names_the_driver_only_if_it_is_missing(
    driver: bool, kind: type[Exception]
) -> None:
    program = Program({("startvm", GANDALF, "--type", "headless"): [recorded(36)]})
    with pytest.raises(errors.StartFailed) as caught:
        program.client(driver).start(GANDALF)
    assert caught.type is kind


@pytest.mark.parametrize("name", ["-dash", "--version", "gandalf", "", f"{GANDALF}\n", "--"])
def test_only_uuids_address_machines(name: str) -> None:
    program = Program({})
    with pytest.raises(errors.InvalidArgument):
        program.client().on(name, "controlvm", "poweroff")
    with pytest.raises(errors.InvalidArgument):
        program.client().guest_properties(GANDALF, "--relative")
    assert program.calls == []


def test_a_name_is_looked_up_as_data() -> None:
    program = Program({("list", "vms"): [recorded(141)]})
    for name in ("-dash", "--version", "two\nlines", 'say "hi"', "<inaccessible>", " lead"):
        assert program.client().find(name).name == name
    assert set(program.calls) == {("list", "vms")}


def test_snapshots_and_properties() -> None:
    program = Program(
        {
            ("snapshot", GANDALF, "list", "--machinereadable"): [recorded(10)],
            ("snapshot", FRODO, "list", "--machinereadable"): [recorded(12)],
            ("guestproperty", "enumerate", GANDALF): [recorded(22)],
            ("list", "groups"): [recorded(18)],
            ("--version",): [recorded(2)],
        }
    )
    vbox = program.client()
    assert len(vbox.snapshots(GANDALF)) == 2
    assert vbox.snapshots(FRODO) == ()
    assert len(vbox.guest_properties(GANDALF)) == 4
    assert vbox.groups() == ("/playground/agent", "/ring bearers")
    assert vbox.version().number == (7, 2, 22)


def test_a_call_without_an_answer_is_a_time_out() -> None:
    def hang(argv: list[str], timeout_s: float) -> Answer:
        raise TimeoutError

    with pytest.raises(errors.TimedOut, match="list vms"):
        client.VBoxManage(hang, PROGRAM).vms()


@pytest.mark.parametrize("reason", [FileNotFoundError(2, "none"), PermissionError(13, "denied")])
def test_a_program_that_cannot_be_started_is_named(reason: OSError) -> None:
    def absent(argv: list[str], timeout_s: float) -> Answer:
        raise reason

    with pytest.raises(errors.ProgramMissing, match=PROGRAM):
        client.VBoxManage(absent, PROGRAM).vms()


def test_the_program_itself_comes_before_debians_wrapper() -> None:
    def wrapper(_name: str) -> str:
        return "/usr/bin/VBoxManage"

    def nothing(_name: str) -> None:
        return None

    assert client.find_program(lambda path: True, wrapper) == client.DEFAULT_PROGRAM
    assert client.find_program(lambda path: False, wrapper) == "/usr/bin/VBoxManage"
    with pytest.raises(errors.ProgramMissing, match="Install VirtualBox"):
        client.find_program(lambda path: False, nothing)


def overlap(uuids: tuple[str, str], release: Callable[[threading.Barrier], None]) -> int:
    """How many of two calls were in VBoxManage at the same time."""
    barrier = threading.Barrier(2)
    inside = 0
    most = 0
    guard = threading.Lock()

    def run(argv: list[str], timeout_s: float) -> Answer:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        release(barrier)
        with guard:
            inside -= 1
        return recorded(19)

    vboxes = [client.VBoxManage(run, PROGRAM) for _ in uuids]
    threads = [
        threading.Thread(target=vbox.vm, args=(uuid,))
        for vbox, uuid in zip(vboxes, uuids, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return most


def test_calls_on_one_machine_follow_each_other_also_from_two_clients() -> None:
    def linger(barrier: threading.Barrier) -> None:
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(0.1)

    assert overlap((GANDALF, GANDALF.upper()), linger) == 1


def test_calls_on_two_machines_do_not_wait_for_each_other() -> None:
    assert overlap((GANDALF, FRODO), lambda barrier: barrier.wait(5) and None) == 2


@pytest.mark.allow_subprocess
def test_the_runner_sets_the_locale_and_keeps_odd_bytes_harmless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    script = (
        "import os, sys; sys.stdout.buffer.write(os.environ['LC_ALL'].encode() + b'\\xff');"
        "sys.exit(3)"
    )
    run = client.SubprocessRunner({"VBOX_USER_HOME": "/nowhere"})
    assert run([sys.executable, "-c", script], 20) == (3, "C.UTF-8\ufffd", "")
    with pytest.raises(TimeoutError):
        run([sys.executable, "-c", "import time; time.sleep(20)"], 0.05)
