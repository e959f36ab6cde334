# SPDX-License-Identifier: GPL-3.0-or-later
"""The web service tells of real machines what VBoxManage tells, object by object."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from clusterops.virtualbox._vboxmanage_client import VBoxManage
from clusterops.virtualbox._vboxmanage_errors import (
    AmbiguousName,
    Inaccessible,
    InvalidArgument,
    NotFound,
    ServiceUnavailable,
)
from clusterops.virtualbox._vboxwebsrv import AccessDenied, VBoxWebService, Wanted
from tests.virtualbox.host import VirtualBoxHost
from tests.virtualbox.zoo import ODD_NAMES, create, start_web_service

pytestmark = pytest.mark.integration

UNKNOWN = "99999999-aaaa-4bbb-8ccc-dddddddddddd"


@pytest.fixture
def service(url: str) -> Iterator[VBoxWebService]:
    yield VBoxWebService(url, timeout_s=30)


def test_version(manage: VBoxManage, service: VBoxWebService) -> None:
    assert service.version() == manage.version()


def test_all_machines_with_all_details(
    manage: VBoxManage, service: VBoxWebService, uuids: dict[str, str]
) -> None:
    by_program = {vm.uuid: vm for vm in manage.inventory()}
    by_service = service.inventory()
    assert [vm.uuid for vm in by_service] == list(by_program)
    for vm in by_service:
        assert vm == by_program[vm.uuid]
    assert set(by_program) == set(uuids.values())


def test_settings_files_give_the_same(
    service: VBoxWebService, url: str, uuids: dict[str, str]
) -> None:
    assert VBoxWebService(url, settings_files=True).inventory() == service.inventory()


def test_the_names_are_those_that_were_given(
    service: VBoxWebService, uuids: dict[str, str]
) -> None:
    names = {vm.uuid: vm.name for vm in service.inventory()}
    for name in ODD_NAMES:
        assert names[uuids[name]] == name


def test_references(manage: VBoxManage, service: VBoxWebService, uuids: dict[str, str]) -> None:
    refs = {ref.uuid: ref.name for ref in service.vms()}
    # VBoxManage's own list is not to be trusted with names that imitate it.
    assert refs == {vm.uuid: vm.name for vm in manage.inventory()}


def test_one_machine(manage: VBoxManage, service: VBoxWebService, uuids: dict[str, str]) -> None:
    for name in ("networks", "late", "snapshots", "described", "running", "two\nlines", "gone"):
        assert service.details(uuids[name]) == manage.details(uuids[name])
    assert service.vm(uuids["saved"]) == manage.vm(uuids["saved"])


@pytest.mark.parametrize("patterns", [(), ("/VirtualBox/GuestInfo/Net/*/V4/IP",), ("/odd", "/V*")])
def test_guest_properties(
    manage: VBoxManage, service: VBoxWebService, uuids: dict[str, str], patterns: tuple[str, ...]
) -> None:
    for name in ("running", "plain"):
        found = service.guest_properties(uuids[name], *patterns)
        assert found == manage.guest_properties(uuids[name], *patterns)
    assert service.guest_properties(uuids["running"], "/odd")[0].value.startswith("it's")


def test_what_is_not_wanted_is_left_out_and_the_rest_is_the_same(
    manage: VBoxManage, service: VBoxWebService, uuids: dict[str, str]
) -> None:
    lean = Wanted(nics=False, snapshots=False, settings=False)
    by_program = {vm.uuid: vm for vm in manage.inventory()}
    for vm in service.inventory(lean):
        full = by_program[vm.uuid]
        left_out = replace(
            full, nics=(), snapshots=(), cpu_cap_percent=100, config_file="", state_since=""
        )
        assert vm == left_out
    found = service.inventory(replace(lean, enough=lambda forward: forward.guest_port == 22))
    forwards = {vm.uuid: vm.forwards for vm in found}
    assert [rule.name for rule in forwards[uuids["networks"]]] == ["ssh", "web site"]
    assert [rule.host_port for rule in forwards[uuids["late"]]] == [2230]


def test_find(service: VBoxWebService, virtualbox: VirtualBoxHost, uuids: dict[str, str]) -> None:
    assert service.find("two\nlines").uuid == uuids["two\nlines"]
    assert service.find(uuids["plain"]).name == "plain"
    with pytest.raises(NotFound):
        service.find("nobody")
    # Of the same name, in another group.
    other = create(virtualbox, "-dash", "--groups=/other")
    with pytest.raises(AmbiguousName, match=other):
        service.find("-dash")
    virtualbox.manage("unregistervm", other, "--delete")
    assert other not in {vm.uuid for vm in service.inventory()}


def test_the_errors_are_those_of_vboxmanage(
    service: VBoxWebService, manage: VBoxManage, uuids: dict[str, str]
) -> None:
    for client in (service, manage):
        with pytest.raises(NotFound):
            client.vm(UNKNOWN)
        with pytest.raises(NotFound):
            client.guest_properties(UNKNOWN)
        with pytest.raises(Inaccessible):
            client.vm(uuids["gone"])
        with pytest.raises(Inaccessible):
            client.guest_properties(uuids["gone"])
        with pytest.raises(InvalidArgument):
            client.vm("not a uuid")


def test_machines_that_come_and_go_do_not_disturb(
    service: VBoxWebService, virtualbox: VirtualBoxHost, uuids: dict[str, str]
) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            virtualbox.manage("unregistervm", create(virtualbox, "short-lived"), "--delete")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            found = {vm.uuid: vm for vm in service.inventory()}
            assert set(uuids.values()) <= set(found)
    finally:
        stop.set()
        thread.join()


def test_nothing_listens(url: str) -> None:
    nobody = VBoxWebService(url.replace(":18083", ":9"), timeout_s=5)
    with pytest.raises(ServiceUnavailable, match="VBoxManage"):
        nobody.vms()


def test_a_wrong_password_is_refused_and_not_repeated(virtualbox: VirtualBoxHost, url: str) -> None:
    guarded = start_web_service(virtualbox, "VBoxAuth", 18084)
    with pytest.raises(AccessDenied) as caught:
        VBoxWebService(guarded, "nobody", "se<c>ret&", timeout_s=10).vms()
    assert "ret&" not in str(caught.value)
