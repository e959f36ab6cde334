# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VirtualBox's machines through its web service: what VBoxManage tells, ten times as fast.

The same objects and the same errors as ``_vboxmanage_client``, for reading. VirtualBox 7.1 or
newer; where it is not, or where no service runs, VBoxManage remains.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ._vboxmanage_errors import (
    Busy,
    Inaccessible,
    MalformedOutput,
    NotFound,
    UsageError,
    VBoxManageError,
)
from ._vboxmanage_model import GuestProperty, Version, Vm, VmRef, checked_uuid
from ._vboxsettings import SettingsFiles
from ._vboxwebsrv_machine import EVERYTHING, MachineReader, Wanted
from ._vboxwebsrv_soap import AccessDenied, Connection, text_of, texts_of

__all__ = ["EVERYTHING", "AccessDenied", "VBoxWebService", "Wanted"]

Result = TypeVar("Result")

OLDEST = (7, 1, 0)
# More than the cores of the service's machine bring nothing, and it is usually this one.
CONNECTIONS = max(1, min(4, os.cpu_count() or 1))
# One connection more costs a thread over there: not for a handful of machines.
_WORTH_ONE = 8
_PAUSE_S = 0.1


def is_here(url: str) -> bool:
    """Whether a web service's address is this computer's, under any circumstances."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class VBoxWebService:
    """VirtualBox's machines through vboxwebsrv; every method may raise a VBoxManageError.

    Each method logs on and off, so nothing is left in the service. Inside a ``with`` block they
    share one session. Not for several threads at once.
    """

    def __init__(
        self,
        url: str,
        user: str = "",
        password: str = "",
        *,
        timeout_s: float = 60,
        connections: int = CONNECTIONS,
        settings_files: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Args:
            url: http://HOST:PORT.
            timeout_s: longest time for one call.
            connections: how many to use at most for all machines.
            settings_files: the service's settings files are those of this computer.
        """
        self._connection = Connection(url, timeout_s)
        self._user = user
        self._password = password
        self._connections = connections
        self._settings_files = settings_files
        self._sleep = sleep
        self._box = ""
        self._depth = 0

    def __enter__(self) -> VBoxWebService:
        if self._depth == 0:
            self._box = text_of(
                self._connection.call(
                    "IWebsessionManager_logon", username=self._user, password=self._password
                )
            )
        self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            # All objects of the session go with it.
            with contextlib.suppress(VBoxManageError):
                self._connection.call("IWebsessionManager_logoff", refIVirtualBox=self._box)
            self._connection.close()
            self._box = ""

    def version(self) -> Version:
        """VirtualBox's version. Raises UsageError if it is too old for this."""
        with self:
            text = text_of(self._on_box("getVersion"))
            revision = text_of(self._on_box("getRevision"))
        numbers = text.partition("_")[0].split(".")
        if len(numbers) != 3 or not all(n.isascii() and n.isdigit() for n in numbers):
            raise MalformedOutput(f"The web service reports the version {text[:60]!r}")
        major, minor, patch = (int(number[:9]) for number in numbers)
        if (major, minor, patch) < OLDEST:
            raise UsageError(
                f"VirtualBox is {text}", "The web service is used from VirtualBox 7.1 on."
            )
        return Version((major, minor, patch), f"{text}r{revision}")

    def vms(self) -> tuple[VmRef, ...]:
        """Names and UUIDs of all machines, in VirtualBox's order."""
        with self:
            return tuple(self._each(self._machines(), MachineReader.ref))

    def inventory(self, wanted: Wanted = EVERYTHING) -> tuple[Vm, ...]:
        """All machines, in VirtualBox's order, with the details that are wanted."""
        with self:
            self.version()
            machines = self._machines()
            states = self._states(machines)
            files = self._files() if self._settings_files else None

            def read(reader: MachineReader, machine: str) -> Vm:
                state = states.get(machine, "")
                at_rest = files and reader.at_rest(machine, state, files)
                return at_rest or reader.vm(machine, wanted, state)

            return tuple(self._each(machines, read))

    def find(self, name_or_uuid: str) -> VmRef:
        """One machine. Raises NotFound or AmbiguousName."""
        from ._vboxmanage import select  # the parser costs time to load, and only this needs it

        return select(self.vms(), name_or_uuid)

    def vm(self, uuid: str) -> Vm:
        """A machine's details. Raises NotFound or Inaccessible."""
        vm = self.details(uuid)
        if not vm.accessible:
            raise Inaccessible(f"The settings of the machine {uuid} cannot be read")
        return vm

    def details(self, uuid: str) -> Vm:
        """A machine's details, for an inaccessible one just that. Raises NotFound."""
        with self:
            return self._of(uuid, MachineReader.vm)

    def guest_properties(self, uuid: str, *patterns: str) -> tuple[GuestProperty, ...]:
        """A machine's properties, or those whose names match one of the patterns."""
        with self:
            return self._of(uuid, lambda reader, it: reader.guest_properties(it, patterns))

    def _of(self, uuid: str, read: Callable[[MachineReader, str], Result]) -> Result:
        known = checked_uuid(uuid)
        machine = text_of(self._on_box("findMachine", nameOrId=known))
        found = self._each([machine], read)
        if not found:
            raise NotFound(f"There is no machine {known!r}")
        return found[0]

    def _machines(self) -> list[str]:
        return texts_of(self._on_box("getMachines"))

    def _files(self) -> SettingsFiles:
        return SettingsFiles(Path(text_of(self._on_box("getSettingsFilePath"))).parent)

    def _states(self, machines: Sequence[str]) -> dict[str, str]:
        """All states in one call; those of a machine that is just removed are left out."""
        if not machines:
            return {}
        try:
            states = texts_of(self._on_box("getMachineStates", machines=machines))
        except (Busy, NotFound, Inaccessible):
            return {}
        return dict(zip(machines, states, strict=False))

    def _on_box(self, what: str, **arguments: str | Sequence[str]) -> Any:
        return self._connection.call(f"IVirtualBox_{what}", self._box, **arguments)

    def _each(
        self, machines: Sequence[str], read: Callable[[MachineReader, str], Result]
    ) -> list[Result]:
        """What ``read`` gives for each machine, without those that are removed meanwhile.

        Several connections share the work: the service takes one call at a time on each.
        """
        todo = deque(machines)
        found: dict[str, Result] = {}
        failures: list[BaseException] = []
        known: dict[str, Any] = {}

        def work(connection: Connection) -> None:
            reader = MachineReader(connection, self._box, known)
            try:
                while True:
                    machine = todo.popleft()
                    with contextlib.suppress(NotFound):
                        found[machine] = self._patiently(reader, machine, read)
            except IndexError:
                return
            except BaseException as error:
                failures.append(error)
                todo.clear()
            finally:
                # The service may have queued another connection behind this one.
                connection.close()

        threads = []
        for _dummy in range(min(self._connections, len(machines) // _WORTH_ONE) - 1):
            more = Connection(self._connection.url, self._connection.timeout_s)
            # Two that come at once may get one thread over there, and the second waits for a
            # minute: each is in use before the next one.
            more.call("IVirtualBox_getVersion", self._box)
            threads.append(threading.Thread(target=work, args=(more,), daemon=True))
        for thread in threads:
            thread.start()
        work(self._connection)
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return [found[machine] for machine in machines if machine in found]

    def _patiently(
        self, reader: MachineReader, machine: str, read: Callable[[MachineReader, str], Result]
    ) -> Result:
        deadline = time.monotonic() + self._connection.timeout_s
        while True:
            try:
                return read(reader, machine)
            except Busy:
                # Said of a machine that is being changed, and of one that is removed for good.
                if machine not in reader.machines():
                    raise NotFound("The machine is removed") from None
                if time.monotonic() + _PAUSE_S >= deadline:
                    raise
                self._sleep(_PAUSE_S)
