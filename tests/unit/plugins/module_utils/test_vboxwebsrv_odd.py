# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of VirtualBox's web service that the recorded one never gave."""

from __future__ import annotations

import re
import socket
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from clusterops.virtualbox import _vboxmanage_errors as errors
from clusterops.virtualbox import _vboxsettings as settings
from clusterops.virtualbox import _vboxwebsrv_soap as soap
from clusterops.virtualbox._vboxwebsrv import VBoxWebService, Wanted

from .vboxwebsrv_replay import FRAME, Replay, listening

NETWORKS = "cb7dea01-0729-4dfb-ad3c-7e24ab1925fb"
SNAPSHOTS = "c6ef94b9-22b6-4f22-954a-93a18de4a0d2"
RUNNING = "b7d9fb6c-8dac-49b4-9fbe-a3cc4ebdbdb0"
BUSY = FRAME.format(
    "<SOAP-ENV:Fault><faultstring>VirtualBox error: apirc=0x80070005 The object is not ready "
    "(0x80070005)</faultstring></SOAP-ENV:Fault>"
).encode()


def value(operation: str, *values: str) -> bytes:
    inner = "".join(f"<returnval>{one}</returnval>" for one in values)
    return FRAME.format(f"<vbox:{operation}Response>{inner}</vbox:{operation}Response>").encode()


def answering(operation: str, *values: str) -> Callable[[str, bytes], bytes]:
    """This operation gives these values, the others what they gave."""
    return lambda called, body: value(operation, *values) if called == operation else body


@pytest.mark.parametrize(
    ("operation", "said", "uuid", "text"),
    [
        ("IVirtualBox_getVersion", "seven", "", "reports the version 'seven'"),
        (
            "IPlatformProperties_getMaxNetworkAdapters",
            "257",
            NETWORKS,
            "reports 257 network adapters",
        ),
        ("INetworkAdapter_getAttachmentType", "Tin can", NETWORKS, "attachment 'Tin can'"),
        ("IMachine_getSnapshotCount", "1", SNAPSHOTS, "more snapshots than there are"),
        ("INATEngine_getRedirects", "ssh,7,,2201,,22", NETWORKS, "the NAT forward 'ssh,7"),
        ("IMachine_getMemorySize", "much", NETWORKS, "getMemorySize is 'much'"),
        ("INetworkAdapter_getEnabled", "maybe", NETWORKS, "getEnabled is 'maybe'"),
    ],
)
def test_values_that_cannot_be_meant(
    replay: Replay, client: VBoxWebService, operation: str, said: str, uuid: str, text: str
) -> None:
    replay.change = answering(operation, said)
    with pytest.raises(errors.MalformedOutput, match=re.escape(text)):
        client.vm(uuid) if uuid else client.version()


def test_an_answer_without_a_value() -> None:
    with pytest.raises(errors.MalformedOutput, match="has no value"):
        soap.text_of(ET.fromstring("<x/>"))  # noqa: S314 - written here


def test_guest_properties_of_which_a_part_is_missing(
    replay: Replay, client: VBoxWebService
) -> None:
    replay.change = lambda operation, body: (
        re.sub(rb"<names>.*?</names>", b"", body, count=1)
        if operation == "IMachine_enumerateGuestProperties"
        else body
    )
    with pytest.raises(errors.MalformedOutput, match="properties are incomplete"):
        client.guest_properties(RUNNING)


def test_without_machines_nothing_more_is_asked(replay: Replay, client: VBoxWebService) -> None:
    replay.change = answering("IVirtualBox_getMachines")
    assert client.inventory() == ()
    assert "IVirtualBox_getMachineStates" not in replay.operations


def test_forwards_can_be_had_without_adapters(replay: Replay, client: VBoxWebService) -> None:
    found = {vm.name: vm for vm in client.inventory(Wanted(nics=False))}
    assert found["networks"].nics == ()
    assert [rule.name for rule in found["networks"].forwards] == ["ssh", "web site", "second"]
    assert "INetworkAdapter_getMACAddress" not in replay.operations


def test_settings_files_that_are_not_here_change_nothing(
    replay: Replay, client: VBoxWebService, tmp_path: Path
) -> None:
    expected = client.inventory()
    replay.change = answering("IVirtualBox_getSettingsFilePath", str(tmp_path / "VirtualBox.xml"))
    local = VBoxWebService(replay.url, timeout_s=10, connections=1, settings_files=True)
    assert local.inventory() == expected


def test_a_busy_machine_is_asked_again(replay: Replay) -> None:
    pauses: list[float] = []
    busy = iter([True, True])

    def change(operation: str, body: bytes) -> bytes:
        return BUSY if operation == "IMachine_getSnapshotCount" and next(busy, False) else body

    replay.change = change
    client = VBoxWebService(replay.url, timeout_s=10, connections=1, sleep=pauses.append)
    assert len(client.vm(SNAPSHOTS).snapshots) == 4
    assert len(pauses) == 2


def test_a_machine_that_stays_busy_costs_the_time_limit(replay: Replay) -> None:
    replay.change = lambda operation, body: (
        BUSY if operation == "IMachine_getSnapshotCount" else body
    )
    client = VBoxWebService(replay.url, timeout_s=0.4, connections=1)
    with pytest.raises((errors.Busy, errors.TimedOut)):
        client.vm(SNAPSHOTS)


def test_a_machine_that_is_removed_while_it_is_asked_is_not_there(
    replay: Replay, client: VBoxWebService
) -> None:
    def change(operation: str, body: bytes) -> bytes:
        if operation == "IMachine_getSnapshotCount":
            return BUSY
        return value(operation) if operation == "IVirtualBox_getMachines" else body

    replay.change = change
    with pytest.raises(errors.NotFound, match=SNAPSHOTS):
        client.vm(SNAPSHOTS)


def test_a_connection_that_ended_meanwhile_is_made_anew() -> None:
    replay = Replay()

    def once(connection: socket.socket) -> None:
        """Keeps the connection, as it says, and ends it after the answer all the same."""
        replay.connections += 1
        stream = connection.makefile("rb")
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        _, body = replay.answer(stream.read(length).decode())
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with listening(once) as url:
        assert VBoxWebService(url, timeout_s=10).version().number == (7, 2, 22)
    # Logon, version, revision; logoff.
    assert replay.connections == 4


def test_a_service_without_tls_is_no_service_with_tls(replay: Replay) -> None:
    client = VBoxWebService(replay.url.replace("http:", "https:"), timeout_s=2)
    with pytest.raises(errors.VBoxManageError):
        client.version()
    assert replay.operations == []


def test_no_call_begins_when_the_time_is_over(replay: Replay) -> None:
    with pytest.raises(errors.TimedOut):
        VBoxWebService(replay.url, timeout_s=0).version()
    assert replay.connections == 0


@pytest.mark.parametrize(("flag", "sent"), [(True, b"<up>true</up>"), (False, b"<up>false</up>")])
def test_flags_are_sent_as_words(flag: bool, sent: bytes) -> None:
    assert sent in soap._request("IX_y", "", {"up": flag})


MACHINE = (
    '<VirtualBox xmlns="http://www.virtualbox.org/" version="1.19-linux">'
    '<Machine uuid="{11111111-0000-4000-8000-000000000000}" name="x" OSType="Other" '
    'lastStateChange="2026-01-02T03:04:05Z"><Hardware><Memory RAMSize="64"/><Network>'
    '<Adapter slot="0" enabled="true" MACAddress="080027000001"><NAT>'
    '<Forwarding name="f" proto="1"/></NAT></Adapter></Network></Hardware></Machine>'
    "</VirtualBox>"
)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('name="x"', 'name=""', "has no name or no memory"),
        ('<Memory RAMSize="64"/>', "", "has no name or no memory"),
        ('proto="1"', 'proto="7"', "the protocol '7'"),
    ],
)
def test_settings_files_that_are_incomplete(old: str, new: str, text: str) -> None:
    assert settings.machine(MACHINE, "x.vbox").forwards[0].name == "f"
    with pytest.raises(errors.MalformedOutput, match=text):
        settings.machine(MACHINE.replace(old, new), "x.vbox")
