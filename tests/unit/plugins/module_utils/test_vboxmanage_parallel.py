# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading all machines from both ends: nothing lost, nothing twice, whatever is slow or fails."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from typing import Any

import pytest

from clusterops.virtualbox import _vboxmanage_errors as errors
from clusterops.virtualbox import _vboxmanage_parallel as parallel
from clusterops.virtualbox._vboxmanage_model import Vm, VmRef

UUID = "aaaaaaaa-0000-4000-8000-{:012d}"
REFS = tuple(VmRef(f"vm-{number}", UUID.format(number)) for number in range(30))
RECORD = """Name:                        {name}
Groups:                      /
Guest OS:                    Other/Unknown
UUID:                        {uuid}
Config file:                 /vms/{name}.vbox
Memory size:                 64MB
Number of CPUs:              1
State:                       powered off (since 2026-01-01T00:00:00.000000000)

* Guest:
Configured memory balloon:   0MB

"""


def record(number: int) -> bytes:
    return RECORD.format(name=f"vm-{number}", uuid=UUID.format(number)).encode()


class Client:
    """Answers about single machines; notes which."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.error = error

    def vms(self) -> tuple[VmRef, ...]:
        return REFS

    def details(self, uuid: str) -> Vm:
        self.asked.append(uuid)
        if self.error:
            raise self.error
        place = int(uuid[-12:])
        return Vm(
            uuid=uuid,
            name=f"vm-{place}",
            state="poweroff",
            groups=("/",),
            cpus=1,
            memory_mb=64,
            os_type="Other/Unknown",
            config_file=f"/vms/vm-{place}.vbox",
            state_since="2026-01-01T00:00:00.000000000",
        )


class Process:
    """The long list: writes the records of these machines, then waits to be ended."""

    pid = 2**22 + 1  # nobody's

    def __init__(self, numbers: range, *, ends: bool) -> None:
        read, write = os.pipe()
        self.stdout = io.FileIO(read)
        self._write = write
        self._thread = threading.Thread(target=self._print, args=(numbers, ends))
        self._thread.start()

    def _print(self, numbers: range, ends: bool) -> None:
        for number in numbers:
            os.write(self._write, record(number))
        if ends:
            os.close(self._write)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self.stdout.close()


def read(
    client: Client, numbers: range, *, ends: bool = True, workers: int = 1, timeout_s: float = 5
) -> list[str]:
    def start(*_: Any, **__: Any) -> Any:
        return Process(numbers, ends=ends)

    found = parallel.inventory(
        client,  # type: ignore[arg-type]
        "VBoxManage",
        timeout_s=timeout_s,
        workers=workers,
        start=start,
    )
    return [vm.name for vm in found]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_all_machines_in_their_order(workers: int) -> None:
    assert read(Client(), range(30), workers=workers) == [ref.name for ref in REFS]


def test_the_long_list_is_ended_where_both_meet() -> None:
    # It would go on for ever.
    client = Client()
    assert read(client, range(12), ends=False) == [ref.name for ref in REFS]
    assert not {UUID.format(0), UUID.format(1)} & set(client.asked)


def test_a_long_list_that_hangs_costs_the_time_limit() -> None:
    client = Client()
    with pytest.raises(errors.TimedOut):
        read(client, range(2), ends=False, timeout_s=0.3)
    # The machines that it may be at are left alone.
    assert {UUID.format(number) for number in range(6, 30)} <= set(client.asked)
    assert not {UUID.format(number) for number in range(4)} & set(client.asked)


def test_a_long_list_that_breaks_off_is_completed() -> None:
    client = Client()
    assert read(client, range(5)) == [ref.name for ref in REFS]
    assert len(client.asked) == len(set(client.asked)) >= 25


def test_an_error_about_one_machine_is_the_error() -> None:
    with pytest.raises(errors.Busy):
        read(Client(errors.Busy("It is locked")), range(0))


def test_machines_that_are_removed_meanwhile_are_left_out() -> None:
    # Whoever is asked for one by one is gone; the long list still had the first ones.
    client = Client(errors.NotFound("It is gone"))
    found = read(client, range(5))
    assert found
    assert found == [ref.name for ref in REFS if ref.uuid not in client.asked]


def test_no_program() -> None:
    def start(*_: Any, **__: Any) -> subprocess.Popen[bytes]:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(errors.ProgramMissing, match="Install VirtualBox"):
        parallel.inventory(Client(), "nothing", start=start)  # type: ignore[arg-type]
