# SPDX-License-Identifier: GPL-3.0-or-later
"""All machines from one output that escapes nothing: read, or in doubt, and never wrong."""

from __future__ import annotations

import pytest

from clusterops.virtualbox._vboxmanage_long import LongList, parse_long
from clusterops.virtualbox._vboxmanage_model import Vm, VmRef

from .vboxmanage_samples import ALL

GANDALF = "51c24859-f7cf-4af1-8c90-ddb20c4f23fc"
FRODO = "9c12976b-23ee-4191-9d61-798d7fee6f1c"
REFS = (VmRef("gandalf", GANDALF), VmRef("frodo", FRODO))
LONG = ALL[16].stdout
NAME = "Name:                        "
SECOND = LONG.index(f"{NAME}frodo")
DESCRIPTION = LONG.partition("\nDescription:\n")[2].partition("\n* Snapshots:\n")[0]
STATE = "powered off (since 2026-11-23T07:23:20.757000000)"


def changed(old: str, new: str, refs: tuple[VmRef, ...] = REFS) -> LongList:
    """The list with a change to its first machine."""
    assert old in LONG[:SECOND]
    return parse_long(LONG.replace(old, new, 1), refs)


def first(old: str, new: str) -> Vm:
    found = changed(old, new)
    assert found.doubtful == ()
    return found.vms[0]


def test_what_a_machine_does_not_say_is_what_virtualbox_assumes() -> None:
    assert first("CPU exec cap:                100%\n", "").cpu_cap_percent == 100
    assert first("Guest OS:                    Debian (64-bit)\n", "").os_type == ""
    assert first(STATE, "powered off").state_since == ""


def test_what_a_machine_may_use_of_its_cpus() -> None:
    assert first("CPU exec cap:                100%", "CPU exec cap: 40%").cpu_cap_percent == 40


def test_a_forward_belongs_to_the_adapter_that_its_line_names() -> None:
    rule = first("NIC 1 Rule(3):   name = ssh", "NIC 2 Rule(0):   name = ssh").forwards[-1]
    assert (rule.name, rule.nic, rule.host_port) == ("ssh", 2, 2223)


@pytest.mark.parametrize("line", ["Groups", "Config file", "Number of CPUs", "State"])
def test_a_machine_without_one_of_these_is_asked_for_again(line: str) -> None:
    start = LONG.index(f"\n{line}: ")
    found = changed(LONG[start : LONG.index("\n", start + 1)], "")
    assert found.doubtful == (GANDALF,)
    assert [vm.name for vm in found.vms] == ["frodo"]


def test_a_description_may_speak_of_errors() -> None:
    text = "Seen once:\nAccess error details:\nFile not found\n"
    vm = first(DESCRIPTION, text)
    assert (vm.accessible, vm.description) == (True, text)


def test_a_name_may_look_like_other_lines() -> None:
    name = f"two\nMemory size:                 9MB\nState:                       {STATE}"
    refs = (VmRef(name, GANDALF), REFS[1])
    vm = changed(f"{NAME}gandalf", f"{NAME}{name}", refs).vms[0]
    assert (vm.name, vm.memory_mb) == (name, 512)


@pytest.mark.parametrize("marker", ["* Guest:", "* Snapshots:", "Description:"])
@pytest.mark.parametrize("form", ["a\n{}\nb", "{}"])
def test_a_description_that_looks_like_another_part(marker: str, form: str) -> None:
    """Each part begins with its own line; which of two is the real one, nobody can tell."""
    assert changed(DESCRIPTION, form.format(marker)).doubtful == (GANDALF,)


def test_a_description_that_looks_like_the_part_right_after_it() -> None:
    own = LONG[SECOND:].replace(DESCRIPTION, "* Guest:")
    assert FRODO in parse_long(LONG[:SECOND] + own, REFS).doubtful


def test_a_description_that_ends_like_a_list_of_snapshots() -> None:
    own = LONG[SECOND:].replace(DESCRIPTION, "before the\n* Snapshots:\n")
    frodo = parse_long(LONG[:SECOND] + own, REFS).vms[1]
    assert (frodo.description, frodo.snapshots) == ("before the\n* Snapshots:\n", ())


def test_a_path_with_a_line_break_is_asked_for_again() -> None:
    found = changed("/gandalf/gandalf.vbox\n", "/two\nlines/two\nlines.vbox\n")
    assert found.doubtful == (GANDALF,)


def test_lines_before_the_first_machine_do_no_harm() -> None:
    assert parse_long(f"{NAME}nobody\n{LONG}", REFS) == parse_long(LONG, REFS)


def test_another_name_than_the_list_has() -> None:
    found = parse_long(LONG, (VmRef("saruman", GANDALF), REFS[1]))
    assert found.doubtful == (GANDALF,)


@pytest.mark.parametrize(
    ("text", "refs"), [(LONG + LONG[:SECOND], REFS), (LONG, REFS[:1])], ids=["twice", "unknown"]
)
def test_a_machine_that_may_be_imitated_casts_doubt_on_the_one_before(
    text: str, refs: tuple[VmRef, ...]
) -> None:
    found = parse_long(text, refs)
    assert (found.vms, set(found.doubtful)) == ((), {GANDALF, FRODO})


def test_a_list_that_names_a_machine_twice_is_believed_in_nothing() -> None:
    found = parse_long(LONG, (*REFS, VmRef("elrond", FRODO)))
    assert (found.vms, set(found.doubtful)) == ((), {GANDALF, FRODO})


def test_a_text_that_holds_a_line_of_the_other_list_casts_doubt_on_all() -> None:
    found = changed(DESCRIPTION, f'"x" {{{FRODO}}}\n')
    assert (found.vms, set(found.doubtful)) == ((), {GANDALF, FRODO})
