# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All machines' details through VBoxManage, from both ends at once.

``list --long vms`` is the cheapest way (33 ms a machine, where ``showvminfo`` takes 77), and uses
one processor. So while it goes through the machines from the first on, others are asked for one by
one from the last on, until both meet. Two calls on the same machine would fail; they keep apart.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping

from ._vboxmanage_client import LOCALE, VBoxManage
from ._vboxmanage_errors import NotFound, ProgramMissing, TimedOut
from ._vboxmanage_long import parse_long
from ._vboxmanage_model import Vm, VmRef

WORKERS = max(1, min(3, (os.cpu_count() or 1) - 1))
# Fewer machines than these are not worth it.
_FEWEST = 8
# So far ahead of what it has printed the long list may be: it is written in blocks of 4 KiB.
_AHEAD = 4
_UUID_LINE = re.compile(rb"^UUID: {5,}([0-9a-fA-F-]{36})$", re.MULTILINE)
_LONGEST_LINE = 128


class _Text:
    """What the long list has printed so far, and which machines that is."""

    def __init__(self, places: Mapping[str, int]) -> None:
        self.output = bytearray()
        self.reached = -1  # the place of the machine it is at, as far as one can see
        self._places = places
        self._from = 0

    def add(self, data: bytes) -> None:
        self.output += data
        for match in _UUID_LINE.finditer(self.output, self._from):
            place = self._places.get(match.group(1).decode("ascii").lower(), -1)
            self.reached = max(self.reached, place)
        self._from = max(0, len(self.output) - _LONGEST_LINE)

    def before(self, uuid: str) -> str:
        """The text up to where this machine's begins."""
        text = self.output.decode("utf-8", errors="replace")
        own = re.search(rf"^UUID: {{5,}}{re.escape(uuid)}$", text, re.MULTILINE | re.IGNORECASE)
        if own is None:
            return text
        # Texts may imitate this; what is cut off too much is asked for again.
        start = text.rfind("\nName: ", 0, own.start())
        return text[: start + 1]


class _Ends:
    """Who reads which machine: the long list from the front, the others from the back."""

    def __init__(self, count: int) -> None:
        self.first_taken = count
        self._front = -1
        self._lock = threading.Lock()

    def advance(self, reached: int) -> bool:
        """The long list is at this machine; True once nothing is left for it."""
        with self._lock:
            self._front = max(self._front, reached)
            return self._front >= self.first_taken

    def take(self) -> int | None:
        """The place of one more machine to ask for, or None if the long list is near."""
        with self._lock:
            if self.first_taken - 1 <= self._front + _AHEAD:
                return None
            self.first_taken -= 1
            return self.first_taken

    def stop(self) -> None:
        with self._lock:
            self._front = self.first_taken


def inventory(
    client: VBoxManage,
    program: str,
    *,
    timeout_s: float = 60,
    workers: int = WORKERS,
    start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
) -> tuple[Vm, ...]:
    """What ``client.inventory()`` gives, in less time. Raises VBoxManageError.

    Args:
        program: the client's VBoxManage.
        timeout_s: longest time for the long list.
    """
    try:
        process = start(
            [program, "list", "--long", "vms"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **LOCALE},
            start_new_session=True,
        )
    except OSError as error:
        raise ProgramMissing(f"{program} cannot be started: {error.strerror}") from error
    deadline = time.monotonic() + timeout_s
    with process:
        try:
            refs = client.vms()
            text, results = _both_ends(client, process, refs, deadline, workers)
        finally:
            # VBoxManage may be a wrapper: what it started holds the pipe open.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    rest = tuple(ref for ref in refs if ref.uuid not in results)
    long_list = parse_long(text, rest)
    found = {**{vm.uuid: vm for vm in long_list.vms}, **results}
    for uuid in long_list.doubtful:
        if uuid not in results:
            with contextlib.suppress(NotFound):
                found[uuid] = client.details(uuid)
    order = {ref.uuid: place for place, ref in enumerate(refs)}
    return tuple(sorted(found.values(), key=lambda vm: order.get(vm.uuid, len(order))))


def _both_ends(
    client: VBoxManage,
    process: subprocess.Popen[bytes],
    refs: tuple[VmRef, ...],
    deadline: float,
    workers: int,
) -> tuple[str, dict[str, Vm]]:
    """The long list's text up to where both met, and the machines after that."""
    text = _Text({ref.uuid: place for place, ref in enumerate(refs)})
    ends = _Ends(len(refs))
    results: dict[str, Vm] = {}
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while (place := ends.take()) is not None:
                with contextlib.suppress(NotFound):
                    results[refs[place].uuid] = client.details(refs[place].uuid)
        except BaseException as error:
            failures.append(error)
            ends.stop()

    threads = [
        threading.Thread(target=work, daemon=True)
        for _ in range(workers if len(refs) >= _FEWEST else 0)
    ]
    for thread in threads:
        thread.start()
    try:
        _read(process, text, ends, deadline)
    finally:
        ends.stop()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    if ends.first_taken < len(refs):
        return text.before(refs[ends.first_taken].uuid), results
    return text.output.decode("utf-8", errors="replace"), results


def _read(process: subprocess.Popen[bytes], text: _Text, ends: _Ends, deadline: float) -> None:
    """Until the long list ends or is where the others have been."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    pipe = process.stdout.fileno()
    while not ends.advance(text.reached):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimedOut("'VBoxManage list --long vms' gave no answer in time")
        if select.select([pipe], [], [], min(left_s, 1))[0]:
            data = os.read(pipe, 1 << 16)
            if not data:
                return
            text.add(data)
