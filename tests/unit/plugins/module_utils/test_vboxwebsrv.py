# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of VirtualBox's web service, on answers that the real one gave."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterops.virtualbox import _vboxmanage_errors as errors
from clusterops.virtualbox import _vboxwebsrv
from clusterops.virtualbox._vboxmanage_model import NatForward, Nic, VmRef
from clusterops.virtualbox._vboxwebsrv import AccessDenied, VBoxWebService, Wanted
from clusterops.virtualbox._vboxwebsrv_machine import MachineReader
from clusterops.virtualbox._vboxwebsrv_soap import Connection, SessionEnded, answer

from .vboxwebsrv_replay import FRAME, RECORDED, Replay, listening

ROOT = Path(__file__).resolve().parents[4]
NETWORKS = "cb7dea01-0729-4dfb-ad3c-7e24ab1925fb"
RUNNING = "b7d9fb6c-8dac-49b4-9fbe-a3cc4ebdbdb0"
SNAPSHOTS = "c6ef94b9-22b6-4f22-954a-93a18de4a0d2"
GONE = "fe399f02-60c6-4392-9f1b-48675d7b54e4"
UNKNOWN = "99999999-aaaa-4bbb-8ccc-dddddddddddd"


def test_the_package_holds_links_to_the_collection() -> None:
    folder = ROOT / "src/clusterops/virtualbox"
    shared = {path.name for path in (ROOT / "plugins/module_utils").glob("_vbox*.py")}
    assert shared
    for path in sorted(folder.glob("_vbox*.py")):
        assert path.is_symlink(), f"{path} is a copy: it would go stale"
        assert path.resolve() == ROOT / "plugins/module_utils" / path.name
        assert path.readlink() == Path("../../../plugins/module_utils") / path.name
    assert {path.name for path in folder.glob("_vbox*.py")} == shared


def test_version(client: VBoxWebService) -> None:
    version = client.version()
    assert (version.number, version.text) == ((7, 2, 22), "7.2.22_Debianr175245")


def test_inventory(client: VBoxWebService) -> None:
    found = client.inventory()
    assert [(vm.name, vm.state) for vm in found] == [
        ("<inaccessible>", "inaccessible"),
        ("two\nlines", "poweroff"),
        ("described", "poweroff"),
        ("networks", "poweroff"),
        ("snapshots", "poweroff"),
        ("running", "running"),
        ("saved", "saved"),
    ]
    assert not found[0].accessible
    assert found[2].description.startswith("Name:            injected\nGroups:")
    machine = found[3]
    assert machine.uuid == NETWORKS
    assert machine.groups == ("/lab/agents", "/other group")
    assert (machine.cpus, machine.cpu_cap_percent, machine.memory_mb) == (2, 40, 32)
    assert machine.os_type == "Debian (64-bit)"
    assert machine.config_file == "/home/lab/vms/machines/lab/agents/networks/networks.vbox"
    assert machine.state_since == "2026-11-23T12:24:45Z"
    assert machine.forwards == (
        NatForward("ssh", "tcp", "127.0.0.1", 2201, "", 22, 1),
        NatForward("web site", "udp", "", 8081, "10.0.2.15", 80, 1),
        NatForward("second", "tcp", "0.0.0.0", 2202, "", 2222, 2),
    )
    assert [(nic.number, nic.attachment, nic.network) for nic in machine.nics] == [
        (1, "nat", ""),
        (2, "nat", "10.9.0.0/16"),
        (3, "intnet", "inner 'net'"),
        (4, "hostonly", ""),
        (5, "null", ""),
        (6, "generic", "UDPTunnel"),
        (8, "natnetwork", "NatNetwork"),
    ]
    assert machine.nics[2] == Nic(3, "intnet", "inner 'net'", "0800277F3DA5", "virtio", True)


def test_snapshots_come_after_their_parents(client: VBoxWebService) -> None:
    root, child, leaf, branch = client.vm(SNAPSHOTS).snapshots
    assert (root.name, root.parent) == ("root", None)
    assert root.description == "two\n   lines, 'quoted'"
    assert (child.name, child.parent) == ("child (UUID: none)", root.uuid)
    assert (leaf.name, leaf.parent) == ("leaf", child.uuid)
    assert (branch.name, branch.parent, branch.current) == ("Zweig ä", root.uuid, True)


def test_references(client: VBoxWebService) -> None:
    assert client.vms()[:2] == (
        VmRef("<inaccessible>", GONE),
        VmRef("two\nlines", "c714ac5d-936c-4914-b4a1-67c8cbbc33c9"),
    )
    assert client.find("running").uuid == RUNNING
    with pytest.raises(errors.NotFound):
        client.find("nobody")


def test_guest_properties(client: VBoxWebService) -> None:
    found = client.guest_properties(RUNNING, "/VirtualBox/GuestInfo/Net/*")
    assert [(item.name, item.value) for item in found] == [
        ("/VirtualBox/GuestInfo/Net/0/V4/IP", "10.0.2.15"),
        ("/VirtualBox/GuestInfo/Net/1/V4/IP", "192.168.56.7"),
    ]
    assert found[0].timestamp == "2026-11-23T12:24:51.652Z"
    odd = next(item for item in client.guest_properties(RUNNING) if item.name == "/odd")
    assert odd.value == "it's = 'odd'\nsecond @ line"
    assert odd.flags == ("RDONLYGUEST",)


def test_typed_errors(client: VBoxWebService) -> None:
    with pytest.raises(errors.NotFound, match="VBoxManage list vms"):
        client.vm(UNKNOWN)
    with pytest.raises(errors.Inaccessible):
        client.vm(GONE)
    assert not client.details(GONE).accessible
    with pytest.raises(errors.Inaccessible):
        client.guest_properties(GONE)
    with pytest.raises(errors.InvalidArgument):
        client.vm("--register")
    with pytest.raises(errors.InvalidArgument):
        client.guest_properties(RUNNING, "-x")


def test_what_is_not_wanted_is_not_asked_for(replay: Replay, client: VBoxWebService) -> None:
    client.inventory()
    everything = len(replay.operations)
    replay.operations.clear()
    lean = Wanted(
        nics=False, snapshots=False, settings=False, enough=lambda rule: rule.guest_port == 22
    )
    found = {vm.name: vm for vm in client.inventory(lean)}
    assert len(replay.operations) < everything * 2 / 3
    assert "ISnapshot_getName" not in replay.operations
    assert [rule.name for rule in found["networks"].forwards] == ["ssh", "web site"]
    assert found["networks"].nics == ()
    assert [nic.attachment for nic in found["running"].nics] == ["nat"], "it has no such forward"


def test_it_logs_off_whatever_happens(replay: Replay, client: VBoxWebService) -> None:
    with contextlib.suppress(errors.NotFound):
        client.vm(UNKNOWN)
    with client:
        client.vms()
        client.version()
    ways = [it for it in replay.operations if it.startswith("IWebsessionManager")]
    assert ways == ["IWebsessionManager_logon", "IWebsessionManager_logoff"] * 2


def test_several_connections_share_the_work(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [vm.name for vm in VBoxWebService(replay.url, connections=1).inventory()]
    one = replay.connections
    monkeypatch.setattr(_vboxwebsrv, "_WORTH_ONE", 1)
    several = VBoxWebService(replay.url, timeout_s=10, connections=3)
    assert [vm.name for vm in several.inventory()] == names
    assert replay.connections > one + 2


def test_a_machine_that_is_removed_meanwhile_is_left_out(
    replay: Replay, client: VBoxWebService
) -> None:
    gone = FRAME.format(
        "<SOAP-ENV:Fault><faultstring>VirtualBox error: apirc=0x80070005 The object is not ready "
        "(0x80070005)</faultstring></SOAP-ENV:Fault>"
    ).encode()
    names = len(client.inventory())
    # The second list of machines has it no more.
    lists = iter([True, False])

    def change(operation: str, body: bytes) -> bytes:
        if operation == "IMachine_getSnapshotCount" and len(replay.operations) < 60:
            return gone
        if operation == "IVirtualBox_getMachines" and not next(lists, False):
            return FRAME.format(
                "<vbox:IVirtualBox_getMachinesResponse></vbox:IVirtualBox_getMachinesResponse>"
            ).encode()
        return body

    replay.operations.clear()
    replay.change = change
    assert 0 < len(client.inventory()) < names


def test_a_wrong_password(replay: Replay) -> None:
    # This is all that it says.
    fault = "<SOAP-ENV:Fault><faultcode>SOAP-ENV:Client</faultcode></SOAP-ENV:Fault>"
    refused = FRAME.format(fault).encode()
    replay.change = lambda operation, body: refused if "logon" in operation else body
    with pytest.raises(AccessDenied) as caught:
        VBoxWebService(replay.url, "sam", "p<o>tato").vms()
    assert "tato" not in str(caught.value)


def test_an_old_virtualbox_is_left_to_vboxmanage(replay: Replay, client: VBoxWebService) -> None:
    replay.change = lambda _, body: body.replace(b"7.2.22_Debian", b"7.0.20_Ubuntu")
    with pytest.raises(errors.UsageError, match="from VirtualBox 7"):
        client.inventory()


def test_a_forgotten_session(replay: Replay, client: VBoxWebService) -> None:
    text = (
        '<SOAP-ENV:Fault><faultstring>VirtualBox error: Invalid managed object reference "x"'
        "</faultstring><detail><vbox:InvalidObjectFault><badObjectID>x</badObjectID>"
        "</vbox:InvalidObjectFault></detail></SOAP-ENV:Fault>"
    )
    replay.change = lambda operation, body: (
        FRAME.format(text).encode() if operation == "IVirtualBox_getMachines" else body
    )
    with pytest.raises(SessionEnded, match="Run this again"):
        client.vms()


@pytest.mark.parametrize(
    "url",
    ["", "localhost:18083", "ftp://x", "http://", "http://x:no", "http://u:secret@x", "http://x y"],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="18083") as caught:
        VBoxWebService(url)
    assert "secret" not in str(caught.value)


def test_nothing_listens() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
    with pytest.raises(errors.ServiceUnavailable, match="vboxwebsrv --host localhost"):
        VBoxWebService(f"http://127.0.0.1:{port}").vms()


def served(reply: bytes, *, hold: bool = False) -> contextlib.AbstractContextManager[str]:
    """A server that says this to everything; ``hold`` keeps the connection open."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(reply)
        if hold:
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                connection.recv(1)

    return listening(serve)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"", errors.ServiceUnavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Le", errors.ServiceUnavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<a>", errors.ServiceUnavailable),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", errors.ServiceUnavailable),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", errors.MalformedOutput),
        (b"x" * 40_000, errors.MalformedOutput),
        (b"HTTP/1.1 200 OK\r\n\r\n", errors.MalformedOutput),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", errors.MalformedOutput),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", errors.MalformedOutput),
    ],
)
def test_servers_that_are_something_else(reply: bytes, kind: type[Exception]) -> None:
    with served(reply) as url, pytest.raises(kind):
        VBoxWebService(url, timeout_s=5).vms()


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<"]
)
def test_a_server_that_hangs_costs_the_time_limit(reply: bytes) -> None:
    began = time.monotonic()
    with served(reply, hold=True) as url, pytest.raises(errors.TimedOut):
        VBoxWebService(url, timeout_s=0.3).vms()
    assert time.monotonic() - began < 3


def test_a_server_that_drips_costs_the_time_limit() -> None:
    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"H")
                time.sleep(0.02)

    began = time.monotonic()
    with listening(serve) as url, pytest.raises((errors.TimedOut, errors.MalformedOutput)):
        VBoxWebService(url, timeout_s=0.3).vms()
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + FRAME.format("&e;").encode(),
        FRAME.format("&unknown;").encode(),
        FRAME.format("").encode(),
        FRAME.format("<vbox:OtherResponse/>").encode(),
        FRAME.format("x").encode("utf-16"),
        b"",
        b"<a/>",
    ],
)
def test_bodies_that_are_no_answer(body: bytes) -> None:
    with pytest.raises(errors.MalformedOutput):
        answer("IVirtualBox_getVersion", body)


def test_arguments_are_escaped(replay: Replay) -> None:
    connection = Connection(replay.url)
    with pytest.raises(errors.VBoxManageError):
        connection.call("IVirtualBox_findMachine", "x", nameOrId="</nameOrId>&<evil>")
    with pytest.raises(errors.InvalidArgument):
        connection.call("IVirtualBox_findMachine", "x", nameOrId="a\0b")
    assert replay.operations == ["IVirtualBox_findMachine"]
    connection.close()


class Mutated(Connection):
    """Answers from the record, with a few bytes or whole values changed."""

    def __init__(self, seed: int) -> None:
        super().__init__("http://localhost")
        self._replay = Replay()
        self._random = random.Random(seed)

    def _exchange(self, request: bytes, deadline: float) -> bytes:
        _, body = self._replay.answer(request.decode())
        if self._random.random() < 0.9:
            return body
        some = self._random
        if some.random() < 0.4:
            other = FRAME.format(some.choice(list(RECORDED.values()))).encode()
            return other
        changed = bytearray(body)
        for _ in range(some.randint(1, 3)):
            place = some.randrange(len(changed))
            changed[place : place + some.randint(0, 4)] = some.choice(
                [b"", b"<", b"99999999999999999999", b"\xff", b"-", b"true", b"&#0;", b"\n"]
            )
        return bytes(changed)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_mutated_answers_give_values_or_typed_errors(seed: int) -> None:
    reader = MachineReader(Mutated(seed), "session-1", {})
    for machine in ("session-2", "session-5", "session-6", "session-7"):
        with contextlib.suppress(errors.VBoxManageError):
            vm = reader.vm(machine)
            assert vm.uuid == vm.uuid.lower()
        with contextlib.suppress(errors.VBoxManageError):
            reader.guest_properties(machine)
