# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed call of VBoxManage says about itself, in one line with what to do about it."""

from __future__ import annotations

import pytest

from clusterops.virtualbox._vboxmanage_errors import (
    Crashed,
    DriverMissing,
    InvalidArgument,
    RuleNotFound,
    UsageError,
    VBoxManageError,
    classify,
)

from .vboxmanage_samples import ALL

PREFIX = "VBoxManage: error: "


def of_sample(number: int) -> VBoxManageError:
    error = classify(ALL[number].code, ALL[number].stdout, ALL[number].stderr)
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (
            53,
            RuleNotFound,
            "The adapter has no NAT forward of this name. "
            "'VBoxManage showvminfo UUID' lists the forwards of each adapter.",
        ),
        # The page of usage that follows is no part of the message.
        (
            67,
            UsageError,
            "Unknown option: --nmae. "
            "This needs VirtualBox 7.0 or newer: compare 'VBoxManage --version'.",
        ),
        (
            68,
            UsageError,
            "VBoxManage lacks an argument. "
            "This needs VirtualBox 7.0 or newer: compare 'VBoxManage --version'.",
        ),
        (
            69,
            InvalidArgument,
            "Unknown or invalid guest OS type given. See 'VBoxManage list ostypes'.",
        ),
    ],
)
def test_the_message_and_then_the_remedy(
    number: int, kind: type[VBoxManageError], text: str
) -> None:
    error = of_sample(number)
    assert (type(error), str(error)) == (kind, text)


def test_the_message_ends_once() -> None:
    assert str(VBoxManageError("There is no disk X. ", "Attach one.")) == (
        "There is no disk X. Attach one."
    )


@pytest.mark.parametrize(
    ("stdout", "stderr", "text"),
    [
        ("", "", "it gave no reason"),
        ("one\ntwo\n", "", "two"),
        ("one\ntwo\n", "three\nno more\nmemory\n", "memory"),
        ("", f"{PREFIX}The device\n is on fire\n", "The device is on fire"),
        ("", PREFIX + "x" * 2000, "x" * 600),
    ],
)
def test_an_unknown_failure_says_what_the_program_said_last(
    stdout: str, stderr: str, text: str
) -> None:
    error = classify(1, stdout, stderr)
    assert type(error) is VBoxManageError
    assert error.message == f"VBoxManage failed with exit code 1: {text}"


def test_usage_without_a_message_is_a_wrong_call() -> None:
    assert type(classify(2, "", "Usage - Start a virtual machine:\n")) is UsageError


@pytest.mark.parametrize("code", [-11, 134, 139])
def test_a_signal_is_a_crash_whatever_was_printed(code: int) -> None:
    assert type(classify(code, "", f"{PREFIX}Invalid command 'x'\n")) is Crashed


def test_success_is_no_crash() -> None:
    assert classify(0, "", "") is None


@pytest.mark.parametrize(
    "detail",
    ['Context: "FindMachine(Bstr("vboxdrv").raw())" at line 7', "Details: component vboxdrv"],
)
def test_what_follows_a_message_does_not_decide(detail: str) -> None:
    """A machine that is called like a driver is none that lacks it."""
    error = classify(1, "", f"{PREFIX}The device is on fire\n{PREFIX}{detail}\n")
    assert type(error) is VBoxManageError
    assert type(classify(1, "", f"{PREFIX}{detail[9:]}\n")) is DriverMissing
