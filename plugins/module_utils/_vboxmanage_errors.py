# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with VirtualBox, each as its own type, with what to do about it."""

from __future__ import annotations

import re


class VBoxManageError(Exception):
    """Anything that VirtualBox refused; the text of the exception ends with the remedy."""

    default_remedy = "Read the message; 'VBoxManage showvminfo UUID' shows the machine's settings."

    def __init__(self, message: str, remedy: str | None = None) -> None:
        self.message = message.rstrip(" .")
        self.remedy = remedy or self.default_remedy
        super().__init__(f"{self.message}. {self.remedy}")


class NotFound(VBoxManageError):
    """No such machine."""

    default_remedy = "List the machines with 'VBoxManage list vms' and use a name or UUID of it."


class SnapshotNotFound(NotFound):
    """The machine exists, the snapshot does not."""

    default_remedy = "List them with 'VBoxManage snapshot UUID list' and use a name or UUID of it."


class RuleNotFound(NotFound):
    """The machine has no such NAT forward."""

    default_remedy = "'VBoxManage showvminfo UUID' lists the forwards of each adapter."


class PartNotFound(NotFound):
    """The machine lacks the controller, medium or other part that was named."""

    default_remedy = "'VBoxManage showvminfo UUID' lists the controllers and media of the machine."


class Locked(VBoxManageError):
    """A session holds the machine: it runs, or another program works on it."""

    default_remedy = "Power the machine off, close its settings window, or wait for the other task."


class Busy(Locked):
    """Another call was on its way to the same machine; the same call works a moment later."""

    default_remedy = "Another program works on this machine right now: run this again."


class AlreadyRunning(VBoxManageError):
    """The machine was to be started, and runs."""

    default_remedy = "Nothing needs to be started; power it off first to start it anew."


class NotRunning(VBoxManageError):
    """Only a running machine can do this."""

    default_remedy = "Start it first: 'VBoxManage startvm UUID --type headless'."


class InvalidState(VBoxManageError):
    """The machine's state does not allow this."""

    default_remedy = "Power the machine off (or discard its saved state), then run this again."


class StartFailed(VBoxManageError):
    """The machine's process ended while it started."""

    default_remedy = "The reason is in VBox.log in the machine's log folder."


class DriverMissing(StartFailed):
    """VirtualBox's kernel driver is not loaded, so no machine can start."""

    default_remedy = (
        "Load VirtualBox's kernel driver: install virtualbox-dkms and the kernel's headers, "
        "then 'modprobe vboxdrv' (with Secure Boot: sign the module). If /dev/vboxdrv exists, "
        "the reason is in VBox.log in the machine's log folder."
    )


class Inaccessible(VBoxManageError):
    """VirtualBox knows the machine, and cannot read its settings file."""

    default_remedy = (
        "Bring its .vbox file back, or remove the entry with 'VBoxManage unregistervm UUID'."
    )


class InvalidRule(VBoxManageError):
    """A NAT forward that VirtualBox refuses, or would silently turn into another one."""

    default_remedy = "A forward is name,tcp|udp,host IP,host port,guest IP,guest port (1-65535)."


class Duplicate(VBoxManageError):
    """The name, port or file is taken."""

    default_remedy = "Choose another one, or remove the one that holds it."


class AmbiguousName(VBoxManageError):
    """Several machines have this name."""

    default_remedy = "Names are not unique in VirtualBox: use the UUID."


class InUse(VBoxManageError):
    """Something else depends on it (a linked clone, a child snapshot)."""

    default_remedy = "Remove what depends on it first: linked clones, then child snapshots."


class InvalidArgument(VBoxManageError):
    """A value that VirtualBox does not take."""

    default_remedy = "Correct the value; 'VBoxManage list systemproperties' shows the limits."


class UsageError(VBoxManageError):
    """VBoxManage does not know the command or option."""

    default_remedy = "This needs VirtualBox 7.0 or newer: compare 'VBoxManage --version'."


class LocaleError(VBoxManageError):
    """VBoxManage ran in a locale that cannot express the names."""

    default_remedy = "Run it with LC_ALL=C.UTF-8."


class ServiceUnavailable(VBoxManageError):
    """VBoxSVC, which holds all machines, cannot be reached."""

    default_remedy = (
        "Run as the user whose machines these are; if it persists, end that user's VBoxSVC "
        "and remove a folder /tmp/.vbox-USER-ipc that belongs to someone else."
    )


class ProgramMissing(VBoxManageError):
    """There is no VBoxManage."""

    default_remedy = "Install VirtualBox, or give the path of VBoxManage."


class Crashed(VBoxManageError):
    """VBoxManage ended by a signal; nobody knows how far it came."""

    default_remedy = "Run this again; it happens when many programs ask VirtualBox at once."


class TimedOut(VBoxManageError):
    """VBoxManage, or the wait for the machine, took too long."""

    default_remedy = "Look for a hanging VBoxSVC or VBoxHeadless, or allow more time."


class MalformedOutput(VBoxManageError):
    """VBoxManage printed something that cannot be understood completely."""

    default_remedy = (
        "VirtualBox 7.0 to 7.2 are supported; run VBoxManage in a UTF-8 locale, and check "
        "its output by hand."
    )


# Matched at the start of the message, so that no name inside it can be mistaken for a message.
_RULES: tuple[tuple[str, type[VBoxManageError], str | None], ...] = (
    (r".{0,600}?already has a lock request pending", Busy, None),
    (r"The object is not ready", Busy, None),
    (r"Failed to assign the machine to the session", Busy, None),
    (r"The machine .{0,600}? was unlocked unexpectedly", Busy, None),
    (r"Failed to get a console object from the direct session", Busy, None),
    (r"Could not find a registered machine", NotFound, None),
    (r"Could not find a snapshot", SnapshotNotFound, None),
    (r"Could not find (?:a |the |file )", PartNotFound, None),
    (r"The machine .{0,600}? is already locked", Locked, None),
    (r"Cannot unregister the machine .{0,600}? while it is locked", Locked, None),
    (r"The object functionality is limited", Inaccessible, None),
    (r"Machine .{0,600}? is not (?:currently )?running", NotRunning, None),
    (r"Already paused", InvalidState, "It is paused: 'VBoxManage controlvm UUID resume'."),
    (r"The machine is not mutable", InvalidState, None),
    (r"Invalid machine state: ", InvalidState, None),
    (r"The NIC \d+ is currently disabled", InvalidState, None),
    (r"Cannot delete the current state of the running machine", InvalidState, None),
    (r".{0,600}?vboxdrv|.{0,600}?VERR_(?:VM_DRIVER_|SUP_DRIVERLESS)", DriverMissing, None),
    (r"Failed to attach the network LUN", StartFailed, None),
    (r"The virtual machine .{0,600}? has terminated unexpectedly", StartFailed, None),
    (r"Missing or invalid argument to '--?natpf", InvalidRule, None),
    (r"Invalid proto ", InvalidRule, "The protocol is tcp or udp."),
    (r"A NAT rule (?:of this name|for this host port)", Duplicate, None),
    (r"Machine settings file .{0,900}? already exists", Duplicate, None),
    (
        r"Machine delete failed",
        InUse,
        "The machine is unregistered, its disks remain: remove its linked clones, then the "
        "disks with 'VBoxManage closemedium disk UUID --delete'.",
    ),
    (r"Snapshot .{0,600}? cannot be deleted", InUse, None),
    (r"Hard disk .{0,900}? has more than one child", InUse, None),
    (r"Registered machine with UUID .{0,900}? already exists", Duplicate, None),
    (r"Could not rename the .{0,1800}?VERR_ALREADY_EXISTS", Duplicate, None),
    (r"Could not rename the ", InvalidArgument, "Choose a name that can be a folder's name."),
    (r"A machine cannot have a UUID as its name", InvalidArgument, "Choose another name."),
    (
        r"Nonexistent host networking interface",
        InvalidArgument,
        "'VBoxManage list hostonlyifs' and 'VBoxManage list bridgedifs' show those that exist.",
    ),
    (r"Invalid type .{0,60}? spec", InvalidArgument, "This VirtualBox has no such attachment."),
    (r"Invalid (?:ExecutionCap|CPU execution cap)", InvalidArgument, "It is 1 to 100 percent."),
    (r"Linked clone can only be created", InvalidArgument, "Name a snapshot of the original."),
    (r"Unknown or invalid guest OS type", InvalidArgument, "See 'VBoxManage list ostypes'."),
    (r"Invalid machine group", InvalidArgument, "A group starts with '/': /playground/agents."),
    (r"Invalid (?:RAM size|virtual CPU count)", InvalidArgument, None),
    (
        r"(?:Could not create the|Invalid machine) settings file .*VERR_(?:FILENAME_)?TOO_LONG",
        InvalidArgument,
        "Choose a shorter name (at most 200 bytes).",
    ),
    (
        r"(?:Could not create the settings file).*File name too long",
        InvalidArgument,
        "Choose a shorter name (at most 200 bytes).",
    ),
    (r"(?:Unknown option|Invalid (?:command|parameter)|Parameter \S+ is req)", UsageError, None),
    (r"RTR3Init: VERR_NO_TRANSLATION", LocaleError, None),
    (r"Failed to (?:initialize COM|create the VirtualBox object)", ServiceUnavailable, None),
)
_COMPILED = tuple((re.compile(rule, re.DOTALL), kind, remedy) for rule, kind, remedy in _RULES)
_PREFIX = re.compile(r"^VBoxManage(?:\.exe)?: (?:fatal )?error: ", re.M)
# Abort and segmentation fault, as a shell passes them on.
_CRASHES = (134, 139)
_EXIT_CODE = re.compile(r"exit code 1 \(0x1\)$")


def classify(
    code: int, stdout: str, stderr: str, *, driver_present: bool | None = None
) -> VBoxManageError | None:
    """The error that a finished call reports, or None when it succeeded.

    ``driver_present`` tells apart a missing kernel driver from another failure to start, which
    VirtualBox reports with the same words; unknown (None) counts as missing.
    """
    if code < 0 or code in _CRASHES:
        return Crashed(f"VBoxManage crashed (exit code {code})")
    if code == 0:
        return None
    parts = _PREFIX.split(stderr)[1:]
    # A message may span lines: it ends where the next prefix or the usage starts.
    messages = [part.split("\nUsage - ")[0].strip() for part in parts]
    messages = [text for text in messages if not text.startswith(("Details: ", "Context: "))]
    if not messages:
        if "Usage - " in stdout or "Usage - " in stderr:
            return UsageError("VBoxManage lacks an argument")
        words = (stderr.strip() or stdout.strip()).splitlines()
        return VBoxManageError(f"VBoxManage failed with exit code {code}: {_tail(words)}")
    message = _one_line(messages[0])
    for text in messages:
        for pattern, kind, remedy in _COMPILED:
            if pattern.match(text):
                return _refined(kind, message, remedy, driver_present)
    if any("RemoveRedirect(" in part for part in parts):
        return RuleNotFound("The adapter has no NAT forward of this name")
    return VBoxManageError(f"VBoxManage failed with exit code {code}: {message}")


def _refined(
    kind: type[VBoxManageError], message: str, remedy: str | None, driver_present: bool | None
) -> VBoxManageError:
    if kind is StartFailed and _EXIT_CODE.search(message) and not driver_present:
        return DriverMissing(message)
    return kind(message, remedy)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:600]


def _tail(words: list[str]) -> str:
    return _one_line(words[-1]) if words else "it gave no reason"
