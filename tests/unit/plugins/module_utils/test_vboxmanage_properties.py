# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever VBoxManage prints: a value or a typed error; whatever a machine is called: itself."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import _vboxmanage as parser
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_errors import (
    InvalidRule,
    VBoxManageError,
    classify,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_long import (
    parse_long,
)
from ansible_collections.clusterops.playground.plugins.module_utils._vboxmanage_model import (
    NatForward,
    VmRef,
    forward_from,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.vboxmanage_samples import ALL, Sample

GANDALF = "51c24859-f7cf-4af1-8c90-ddb20c4f23fc"
REFS = parser.parse_vms(ALL[13].stdout)
PARSERS = (
    parser.parse_version,
    parser.parse_vms,
    parser.parse_groups,
    parser.parse_guest_properties,
    parser.parse_guest_property,
    parser.parse_os_types,
    parser.parse_media,
    parser.parse_created,
    parser.parse_snapshots,
    parser.parse_snapshot_tree,
    parser.parse_vm,
    lambda text: parse_long(text, REFS),
    lambda text: parse_long(text, ()),
)
SMALL = [sample for sample in ALL.values() if len(sample.stdout) + len(sample.stderr) < 12000]
# Pieces that mean something to a parser, and pieces that nobody expects.
PIECES = st.one_of(
    st.sampled_from(
        [
            *('"', "\\", "\n", "\r\n", "=", ",", " ", "{", "}", "'", ":", "-", "* Guest:\n"),
            *("Name:                        x\n", 'name="', "Forwarding(0)=", "nic1=", "UUID=\n"),
            *(
                ' (UUID: 1")',
                "SnapshotUUID-1=",
                "Description:\n",
                "\x00",
                "\ufffd",
                "²",
                "9" * 5000,
            ),
            *("VBoxManage: error: ", "VBoxManage: error: Details: ", "\nUsage - ", "exit code 1"),
        ]
    ),
    st.text(max_size=8),
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Sample, str, str]:
    """A real output with some pieces cut out, doubled, or put in."""
    sample = draw(st.sampled_from(SMALL))
    texts = []
    for text in (sample.stdout, sample.stderr):
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, len(text)))
            end = min(len(text), start + draw(st.integers(0, 200)))
            middle = draw(st.one_of(PIECES, st.just(text[start:end] * 2), st.just("")))
            text = text[:start] + middle + text[end:]
        texts.append(text)
    return sample, texts[0], texts[1]


@settings(max_examples=250, deadline=None)
@given(mutated(), st.integers(-9, 255))
def test_mutated_outputs_raise_typed_errors_only(
    given_sample: tuple[Sample, str, str], code: int
) -> None:
    _sample, stdout, stderr = given_sample
    for parse in PARSERS:
        with contextlib.suppress(VBoxManageError):
            parse(stdout)
    error = classify(code, stdout, stderr)
    assert (error is None) == (code == 0)
    if error is not None:
        assert str(error).endswith(error.remedy)
        assert "\n" not in error.remedy


NAMES = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\x00"), max_size=40
)
ODD = st.one_of(
    NAMES,
    st.sampled_from(
        [
            *(
                'say "hi"',
                "two\nlines",
                "-dash",
                "--",
                "a,b",
                "<inaccessible>",
                "\\",
                '\\"',
                '"\n"',
            ),
            *('x"\nVMState="running', 'x"\ngroups="/a', "x\nState:   running\nGroups:    /a"),
            f'a" {{{GANDALF}}}\n"b',
        ]
    ),
)


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


@settings(max_examples=200, deadline=None)
@given(ODD, ODD)
def test_any_name_and_description_survive_the_machine_readable_form(
    name: str, description: str
) -> None:
    before, _, rest = ALL[19].stdout.partition('description="')
    after = rest.partition('\n"\n')[2]
    text = before.replace('name="gandalf"', f'name="{escaped(name)}"', 1)
    vm = parser.parse_vm(f'{text}description="{escaped(description)}"\n{after}')
    expected = parser.parse_vm(ALL[19].stdout)
    assert (vm.name, vm.description) == (name, description)
    assert (vm.uuid, vm.state, vm.groups) == (GANDALF, "poweroff", expected.groups)
    assert (vm.forwards, vm.snapshots) == (expected.forwards, expected.snapshots)


@settings(max_examples=200, deadline=None)
@given(ODD, ODD)
def test_the_long_list_is_right_or_in_doubt(name: str, description: str) -> None:
    padded = "Name:                        "
    before, marker, rest = ALL[16].stdout.partition("\nDescription:\n")
    after = rest.partition("\n\n* Snapshots:\n")[2]
    text = before.replace(f"{padded}gandalf", f"{padded}{name}", 1)
    text = f"{text}{marker}{description}\n* Snapshots:\n{after}"
    refs = (VmRef(name, GANDALF), REFS[1])
    expected = {vm.uuid: vm for vm in parse_long(ALL[16].stdout, REFS).vms}
    found = parse_long(text, refs)
    assert {vm.uuid for vm in found.vms} | set(found.doubtful) >= set(expected)
    for vm in found.vms:
        original = expected[vm.uuid]
        assert (vm.state, vm.groups, vm.forwards) == (
            original.state,
            original.groups,
            original.forwards,
        )
        if vm.uuid == GANDALF:
            assert (vm.name, vm.description) == (name, description)


@given(st.lists(st.tuples(ODD.filter(lambda name: '" {' not in name), st.uuids()), max_size=6))
def test_any_names_survive_the_list(entries: list[tuple[str, object]]) -> None:
    text = "".join(f'"{name}" {{{uuid}}}\n' for name, uuid in entries)
    found = parser.parse_vms(text)
    assert [(vm.name, vm.uuid) for vm in found] == [(name, str(uuid)) for name, uuid in entries]


RULES = st.builds(
    NatForward,
    name=ODD,
    protocol=st.sampled_from(["tcp", "udp", "TCP", "sctp", ""]),
    host_ip=st.sampled_from(["", "127.0.0.1", "::1", "999.1.1.1", "localhost"]),
    host_port=st.integers(-5, 70000),
    guest_ip=st.sampled_from(["", "10.0.2.15", "10.0.2"]),
    guest_port=st.integers(-5, 70000),
)


@given(RULES)
def test_a_forward_is_refused_or_comes_back_as_it_was(rule: NatForward) -> None:
    try:
        text = rule.to_argument()
    except InvalidRule as error:
        assert str(error).endswith(error.remedy)
        return
    assert forward_from(text, rule.nic) == rule
    assert "\n" not in text and not text.startswith("-")


# What VirtualBox took without a word (samples 45, 80 to 86).
@pytest.mark.parametrize(
    "rule",
    [
        NatForward("bad", "tcp", "", 70000, "", 80),
        NatForward("r1", "tcp", "", 0, "", 80),
        NatForward("r2", "tcp", "999.1.1.1", 8081, "", 80),
        NatForward("r3", "tcp", "", 8082, "", 0),
        NatForward("r4", "tcp", "", -1, "", 80),
        NatForward("", "tcp", "", 8091, "", 80),
        NatForward("up", "TCP", "", 8093, "", 80),
        NatForward("a,b", "tcp", "", 8094, "", 80),
        NatForward("delete", "tcp", "", 8095, "", 80),
        NatForward("100%s", "tcp", "", 8096, "", 80),
        NatForward(" a", "tcp", "", 8097, "", 80),
    ],
)
def test_what_virtualbox_takes_wrongly_is_refused_before(rule: NatForward) -> None:
    with pytest.raises(InvalidRule):
        rule.check()
