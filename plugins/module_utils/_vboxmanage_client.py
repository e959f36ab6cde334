# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of VBoxManage: by UUID, one at a time per machine, each with a time limit."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from . import _vboxmanage as parser
from ._vboxmanage_errors import (
    AlreadyRunning,
    Busy,
    Crashed,
    Duplicate,
    Inaccessible,
    InvalidArgument,
    InvalidState,
    Locked,
    NotFound,
    ProgramMissing,
    RuleNotFound,
    ServiceUnavailable,
    StartFailed,
    TimedOut,
    VBoxManageError,
    classify,
)
from ._vboxmanage_long import parse_long
from ._vboxmanage_model import (
    GuestProperty,
    Snapshot,
    Version,
    Vm,
    VmRef,
    checked_uuid,
    inaccessible,
)

# The program itself: Debian's wrapper in PATH prints a warning on stdout.
DEFAULT_PROGRAM = "/usr/lib/virtualbox/VBoxManage"
DRIVER_DEVICE = "/dev/vboxdrv"
# In the C locale VBoxManage ends its lists at the first name that is not ASCII, with exit code 0.
LOCALE = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "LANGUAGE": "C"}
_FAILED = re.compile(r"^VBoxManage(?:\.exe)?: error: ", re.MULTILINE)
CHANGING = ("modifyvm", "controlvm")
# Commands that only ask.
_QUESTIONS = ("list", "showvminfo", "--version")
# What a command has printed when its work is done: VBoxManage mostly crashes after that, when it
# leaves its connection to VBoxSVC.
_DONE = re.compile(
    r"successfully (?:started|cloned)|^Snapshot taken\. UUID|^Settings file: |\.\.\.100%",
    re.MULTILINE,
)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
# How long VBoxSVC takes at most to come back; what fails meanwhile has not begun.
_SERVICE_S = 5.0
# How long a machine stays locked at most after the process that ran it has ended.
_RELEASE_S = 5.0

# VirtualBox refuses concurrent calls on one machine, reading ones too. Shared by all clients of
# this process; other processes are met by the retries.
_locks: dict[str, threading.Lock] = {}
_locks_guard = threading.Lock()


class Runner(Protocol):
    """Runs a program with ``LOCALE`` in its environment.

    Raises:
        TimeoutError: the program took longer than ``timeout_s`` and was ended.
        FileNotFoundError, PermissionError: it could not be started.
    """

    def __call__(self, argv: list[str], timeout_s: float) -> tuple[int, str, str]: ...


class SubprocessRunner:
    """A runner for programs that are no Ansible module."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = {**os.environ, **(environment or {}), **LOCALE}

    def __call__(self, argv: list[str], timeout_s: float) -> tuple[int, str, str]:
        with subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout_s)
            except BaseException as error:
                # VBoxManage may be a wrapper: what it started holds the pipes open.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise TimeoutError(str(error)) from error
                raise
        return process.returncode, _decoded(stdout), _decoded(stderr)


def find_program(
    executable: Callable[[str], bool] = lambda path: os.access(path, os.X_OK),
    which: Callable[[str], str | None] = shutil.which,
) -> str:
    """The path of VBoxManage. Raises ProgramMissing."""
    if executable(DEFAULT_PROGRAM):
        return DEFAULT_PROGRAM
    if path := which("VBoxManage"):
        return path
    raise ProgramMissing(f"VBoxManage is neither {DEFAULT_PROGRAM} nor in PATH")


class VBoxManage:
    """VirtualBox's machines through VBoxManage; every method may raise a VBoxManageError.

    ``timeout_s`` bounds each call, its wait for the machine and its retries together.
    """

    def __init__(
        self,
        run: Runner,
        program: str | None = None,
        *,
        timeout_s: float = 60,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        driver_present: Callable[[], bool] = lambda: os.path.exists(DRIVER_DEVICE),
    ) -> None:
        self._run = run
        self._program = program or find_program()
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._clock = clock
        self._driver_present = driver_present

    def version(self) -> Version:
        """VirtualBox's version."""
        return parser.parse_version(self.call("--version"))

    def vms(self) -> tuple[VmRef, ...]:
        """Names and UUIDs of all machines. A hostile name can imitate one: see ``inventory``."""
        return parser.parse_vms(self.call("list", "vms"))

    def groups(self) -> tuple[str, ...]:
        """All groups that a machine is in."""
        return parser.parse_groups(self.call("list", "groups"))

    def inventory(self, *, running: bool = False) -> tuple[Vm, ...]:
        """All machines, or all that are online, with their details, in VirtualBox's order.

        Two calls for all of them, and one for each machine whose text there is ambiguous.
        """
        which = "runningvms" if running else "vms"
        refs = parser.parse_vms(self.call("list", which))
        long_list = parse_long(self.call("list", "--long", which), refs)
        found = {vm.uuid: vm for vm in long_list.vms}
        for uuid in long_list.doubtful:
            # Imitated by a name or a description, or removed meanwhile.
            with contextlib.suppress(NotFound):
                found[uuid] = self.details(uuid)
        order = {ref.uuid: place for place, ref in enumerate(refs)}
        return tuple(sorted(found.values(), key=lambda vm: order.get(vm.uuid, len(order))))

    def find(self, name_or_uuid: str) -> VmRef:
        """One machine. Raises NotFound or AmbiguousName."""
        return parser.select(self.vms(), name_or_uuid)

    def vm(self, uuid: str) -> Vm:
        """A machine's details. Raises NotFound or Inaccessible."""
        vm = parser.parse_vm(self.on(uuid, "showvminfo", "--machinereadable"))
        if not vm.accessible:
            raise Inaccessible(f"The settings of the machine {uuid} cannot be read")
        return vm

    def details(self, uuid: str) -> Vm:
        """A machine's details, for an inaccessible one just that. Raises NotFound."""
        try:
            return self.vm(uuid)
        except Inaccessible:
            return inaccessible(checked_uuid(uuid))

    def snapshots(self, uuid: str) -> tuple[Snapshot, ...]:
        """A machine's snapshots, each after its parent."""
        # Without any, VBoxManage prints that and exits with 1.
        text = self.on(uuid, "snapshot", "list", "--machinereadable", empty=parser.NO_SNAPSHOTS)
        return parser.parse_snapshots(text)

    def guest_properties(self, uuid: str, *patterns: str) -> tuple[GuestProperty, ...]:
        """A machine's properties, or those whose names match one of the patterns."""
        if any(pattern.startswith("-") for pattern in patterns):
            raise InvalidArgument(f"A property's name does not start with '-': {patterns}")
        command = ("guestproperty", "enumerate")
        # Several arguments match nothing: VBoxManage joins them with commas.
        pattern = ["|".join(patterns)] if patterns else []
        return parser.parse_guest_properties(self.on(uuid, command, *pattern))

    def start(self, uuid: str, *, timeout_s: float | None = None) -> None:
        """Start a machine without a window. Raises AlreadyRunning, DriverMissing, StartFailed."""
        try:
            self.on(uuid, "startvm", "--type", "headless", timeout_s=timeout_s)
        except VBoxManageError as error:
            if error.__class__ is not VBoxManageError:
                raise
            # The machine's own process has many words for it.
            raise StartFailed(error.message) from error

    def on(
        self,
        uuid: str,
        command: str | tuple[str, str],
        *arguments: str,
        timeout_s: float | None = None,
        empty: str = "",
    ) -> str:
        """Run ``VBoxManage COMMAND UUID ARGUMENTS`` and return what it printed.

        A command of two words (("guestproperty", "set")) takes the UUID after both. ``empty``
        is an output that is an answer in spite of its exit code. The state of the machine makes
        a refusal precise: VirtualBox says "locked" of running machines too.
        """
        known = checked_uuid(uuid)
        words = (command,) if isinstance(command, str) else command
        deadline = self._clock() + (timeout_s or self._timeout_s)
        with self._alone(known, deadline):
            argv = [*words, known, *arguments]
            released_by = min(deadline, self._clock() + _RELEASE_S)
            while True:
                try:
                    return self._call(argv, deadline, empty)
                except Busy:
                    raise
                except Locked as error:
                    precise = self._precise(error, known, words[0], deadline)
                    if precise is not error or self._clock() + _LONGEST_PAUSE_S >= released_by:
                        raise precise from error
                    # It does not run: mostly a process that has just let it go.
                    self._sleep(_LONGEST_PAUSE_S / 4)

    def call(self, *arguments: str, timeout_s: float | None = None) -> str:
        """Run a VBoxManage command that is about no single machine."""
        return self._call(list(arguments), self._clock() + (timeout_s or self._timeout_s))

    def _call(self, arguments: list[str], deadline: float, empty: str = "") -> str:
        pause_s = _FIRST_PAUSE_S
        served_by = min(deadline, self._clock() + _SERVICE_S)
        crashed = False
        while True:
            code, stdout, stderr = self._once(arguments, deadline)
            if empty and not stderr.strip() and parser.without_warning(stdout).strip() == empty:
                return stdout
            if code == 0 and arguments[0] in CHANGING and _FAILED.search(stderr):
                # Parts of these fail with exit code 0. (Lists report lost settings so, and go on.)
                code = 1
            present = self._driver_present() if code != 0 else None
            error = classify(code, stdout, stderr, driver_present=present)
            if error is None:
                return stdout
            if crashed and isinstance(error, (Duplicate, RuleNotFound)):
                return stdout  # all of it was saved before the crash
            again_by = served_by if isinstance(error, ServiceUnavailable) else deadline
            passing = isinstance(error, (Busy, ServiceUnavailable))
            if isinstance(error, Crashed):
                if _DONE.search(stdout + stderr):
                    return stdout
                # Settings are saved at once, all or none, so they can be given again. Of other
                # commands nobody knows how far they came.
                crashed = arguments[0] == "modifyvm"
                passing = crashed or arguments[0] in _QUESTIONS
            if not passing or self._clock() + pause_s >= again_by:
                raise error
            self._sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _once(self, arguments: list[str], deadline: float) -> tuple[int, str, str]:
        what = f"'VBoxManage {' '.join(arguments[:3])}'"
        left_s = deadline - self._clock()
        if left_s <= 0:
            raise TimedOut(f"{what} had no time left")
        try:
            return self._run([self._program, *arguments], left_s)
        except TimeoutError as error:
            raise TimedOut(f"{what} gave no answer in time ({left_s:.0f} s)") from error
        except (FileNotFoundError, PermissionError) as error:
            raise ProgramMissing(f"{self._program} cannot be started: {error.strerror}") from error

    def _precise(self, error: Locked, uuid: str, command: str, deadline: float) -> VBoxManageError:
        try:
            text = self._call(["showvminfo", uuid, "--machinereadable"], deadline)
            vm = parser.parse_vm(text)
        except VBoxManageError:
            return error
        if not vm.online:
            return error
        message = f"The machine {vm.name!r} is {vm.state}"
        if command == "startvm":
            return AlreadyRunning(message)
        return InvalidState(f"{message}, and {command} needs it powered off: {error.message}")

    @contextlib.contextmanager
    def _alone(self, uuid: str, deadline: float) -> Iterator[None]:
        with _locks_guard:
            lock = _locks.setdefault(uuid, threading.Lock())
        if not lock.acquire(timeout=max(0.0, deadline - self._clock())):
            raise TimedOut(f"Another call on the machine {uuid} did not end")
        try:
            yield
        finally:
            lock.release()


def _decoded(output: bytes) -> str:
    return output.decode("utf-8", errors="replace")
