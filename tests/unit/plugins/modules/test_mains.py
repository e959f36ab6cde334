# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible gets from modules as a whole: their results, and their failures in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.clusterops.playground.plugins.module_utils import (
    _load_balancer as balancer,
)
from ansible_collections.clusterops.playground.plugins.module_utils._virtualbox_actions import (
    Machines,
)
from ansible_collections.clusterops.playground.plugins.modules import (
    application_release,
    load_balancer_agent,
    server,
    virtualbox_snapshot,
    virtualbox_vm,
    virtualbox_vm_info,
)

from tests.unit.plugins.modules.fake_virtualbox import FakeVirtualBox


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a module's main with options; its result."""

    def call(module: Any, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {**options, "_ansible_check_mode": check_mode}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return call


@pytest.fixture
def virtualbox(monkeypatch: pytest.MonkeyPatch) -> FakeVirtualBox:
    fake = FakeVirtualBox()
    machines = Machines(
        fake,  # type: ignore[arg-type]
        sleep=fake.sleep,
        clock=lambda: fake.now,
        why_not_free=lambda rule: None,
    )
    for module in (virtualbox_snapshot, virtualbox_vm, virtualbox_vm_info):
        monkeypatch.setattr(module, "machines_of", lambda _: machines)
    return fake


def test_a_machine_is_reported_before_and_after(virtualbox: FakeVirtualBox, run: Any) -> None:
    virtualbox.add("web")
    foretold = run(virtualbox_vm, name="web", memory_mb=256, check_mode=True)
    assert (foretold["changed"], virtualbox.changes) == (True, [])
    result = run(virtualbox_vm, name="web", memory_mb=256)
    assert (result["changed"], result["steps"]) == (True, ["modify"])
    assert (result["diff"]["before"]["memory_mb"], result["vm"]["memory_mb"]) == (128, 256)
    assert not run(virtualbox_vm, name="web", memory_mb=256)["changed"]
    assert run(virtualbox_vm, name="web", state="absent")["vm"] == {"state": "absent"}
    refused = run(virtualbox_vm, uuid="nonsense")
    assert refused["failed"] and refused["error"] == "InvalidArgument"
    assert refused["msg"].startswith("nonsense: ") and "\n" not in refused["msg"]


def test_a_snapshot_is_reported_before_and_after(virtualbox: FakeVirtualBox, run: Any) -> None:
    virtualbox.add("web")
    foretold = run(virtualbox_snapshot, vm="web", name="base", check_mode=True)
    assert foretold["changed"] and foretold["snapshot"]["uuid"] is None
    taken = run(virtualbox_snapshot, vm="web", name="base", description="first")
    assert taken["diff"]["before"] == {"state": "absent"}
    assert taken["diff"]["after"] == {
        "state": "present",
        "name": "base",
        "description": "first",
        "current": True,
    }
    again = run(virtualbox_snapshot, vm="web", uuid=taken["snapshot"]["uuid"])
    assert (again["changed"], again["snapshot"]["name"]) == (False, "base")
    gone = run(virtualbox_snapshot, vm="web", name="base", state="absent")
    assert (gone["snapshot"], gone["vm"]["state"]) == (None, "poweroff")
    refused = run(virtualbox_snapshot, vm="web", uuid="nonsense")
    assert refused["failed"] and refused["error"] == "InvalidArgument"


def test_a_snapshot_needs_a_machine_that_rests_and_can_be_read(
    virtualbox: FakeVirtualBox, run: Any
) -> None:
    virtualbox.add("busy", state="starting")
    uuid = virtualbox.add("broken", accessible=False)
    options = virtualbox_snapshot.OPTIONS
    params = {key: one.get("default") for key, one in options.items()} | {"name": "base"}
    with pytest.raises(virtualbox_snapshot.Busy, match="'busy' is starting"):
        virtualbox_snapshot.plan(params, virtualbox.named("busy"))
    assert run(virtualbox_snapshot, vm=uuid, name="base")["error"] == "Inaccessible"


def test_machines_are_listed_with_their_guests_properties(
    virtualbox: FakeVirtualBox, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    web, gone = virtualbox.add("web", state="running"), virtualbox.add("gone", state="running")
    virtualbox.add("broken", accessible=False)

    class Property:
        name, value = "/VirtualBox/GuestInfo/OS/Product", "Linux"

    def properties(uuid: str) -> tuple[Any, ...]:
        if uuid == gone:
            raise virtualbox_vm_info.NotFound("It was removed")
        return (Property,)

    monkeypatch.setattr(virtualbox, "guest_properties", properties, raising=False)
    result = run(virtualbox_vm_info, guest_properties=True)
    found = {vm["name"]: vm["guest_properties"] for vm in result["vms"]}
    assert found == {"web": {Property.name: "Linux"}, "broken": {}}
    assert not result["changed"]
    assert [vm["uuid"] for vm in run(virtualbox_vm_info, uuids=[web])["vms"]] == [web]


class Pool:
    """A load balancer of one agent; ``busy`` requests never end."""

    def __init__(self, port: int) -> None:
        assert port == 8081

    busy = 0
    agent: dict[str, Any] | None = None

    def get(self, name: str) -> dict[str, Any] | None:
        return Pool.agent

    def put(self, name: str, address: str, state: str, health_path: str | None) -> dict[str, Any]:
        Pool.agent = {"name": name, "address": address, "state": state, "in_flight": Pool.busy}
        return Pool.agent

    def delete(self, name: str) -> dict[str, Any] | None:
        raise balancer.LoadBalancerError("The load balancer does not answer")


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> type[Pool]:
    Pool.busy, Pool.agent = 0, None
    monkeypatch.setattr(load_balancer_agent, "Client", Pool)
    return Pool


def test_an_agent_of_the_load_balancer(
    pool: type[Pool], run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(
        load_balancer_agent.AnsibleModule, "warn", lambda _, text: warned.append(text)
    )
    wanted = {"name": "agent-1", "address": "10.0.0.1:5000", "health_path": "/ready"}
    foretold = run(load_balancer_agent, check_mode=True, **wanted)
    assert foretold["changed"] and pool.agent is None
    result = run(load_balancer_agent, **wanted)
    assert (result["changed"], result["idle"]) == (True, True)
    assert result["diff"]["before"] == {}
    pool.busy = 3
    draining = run(
        load_balancer_agent, name="agent-1", state="draining", wait_idle=True, timeout_s=0
    )
    assert draining["idle"] is False
    assert [text.partition(" requests")[0] for text in warned] == ["Agent agent-1 still has 3"]
    foretold = run(load_balancer_agent, check_mode=True, name="agent-1", state="in_service")
    assert foretold["agent"]["state"] == "in_service"
    refused = run(load_balancer_agent, name="agent-1", state="absent")
    assert refused["failed"] and refused["msg"] == "The load balancer does not answer"


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ("started", ["started", "other"]),
        ("present", ["present"]),
        ("migrated", ["migrated"]),
        ("stopped", ["stopped"]),
    ],
)
def test_the_state_of_a_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any, state: str, calls: list[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "current").symlink_to("r1")
    called: list[str] = []

    def started(app: Any, others: list[Any], *_: Any) -> dict[str, Any]:
        called.extend(["started", *(one.name for one in others)])
        return {"changed": True}

    def stands_for(name: str) -> Any:
        return lambda *_: called.append(name) or {"changed": False}

    monkeypatch.setattr(application_release, "ensure_started", started)
    for name in ("present", "migrated", "stopped"):
        monkeypatch.setattr(application_release, f"ensure_{name}", stands_for(name))
    options = {
        "name": "shop", "release": "r1", "compose": "services: {}", "migration_service": "m",
        "home": str(tmp_path), "state": state,
    }  # fmt: skip
    assert run(application_release, **options)["changed"] is (state == "started")
    assert called == calls


def test_a_release_that_fails_says_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    def fails(*_: Any) -> None:
        raise application_release.CommandFailed("'docker compose' failed with exit code 1")

    monkeypatch.setattr(application_release, "ensure_stopped", fails)
    result = run(application_release, name="shop", state="stopped", home=str(tmp_path))
    assert result["failed"] and result["release"] is None
    assert result["msg"] == "application shop: 'docker compose' failed with exit code 1"


def test_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    asked: list[Any] = []

    class Manager:
        def __init__(self, *given: Any) -> None:
            asked.extend(given)

        def get(self, name: str) -> dict[str, Any]:
            return {"name": name, "state": "running"}

    monkeypatch.setattr(server, "ServerManagerClient", Manager)
    options = {"name": "agent-1", "api_url": "http://10.0.0.1:3000"}
    result = run(server, **options, api_token_file=str(token))
    assert (result["changed"], result["server"]["state"]) == (False, "running")
    assert asked[:2] == ["http://10.0.0.1:3000", "secret"]
    refused = run(server, **options, api_token_file=str(tmp_path / "none"))
    assert refused["failed"] and refused["msg"].startswith("agent-1: the token file")
