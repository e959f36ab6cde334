# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module server asks of the Server Manager."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils._server_manager import (
    ServerManagerClient,
    ServerManagerError,
)
from ansible_collections.clusterops.playground.plugins.modules import server as module


class FakeClient:
    def __init__(self, state: str) -> None:
        self.state = state
        self.calls: list[str] = []

    def get(self, name: str) -> dict[str, Any] | None:
        return None if self.state == "absent" else {"name": name, "state": self.state, "cpus": 1.0}

    def create(self, name: str) -> None:
        self.calls.append("create")
        self.state = "stopped"

    def power(self, name: str, action: str) -> None:
        self.calls.append(action)
        self.state = {"on": "running", "off": "stopped"}[action]

    def delete(self, name: str) -> None:
        self.calls.append("delete")
        self.state = "absent"


@pytest.mark.parametrize(
    ("wanted", "found", "calls", "after"),
    [
        ("present", "absent", ["create"], "stopped"),
        ("present", "stopped", [], "stopped"),
        ("present", "running", [], "running"),
        ("started", "absent", ["create", "on"], "running"),
        ("started", "stopped", ["on"], "running"),
        ("started", "paused", ["on"], "running"),
        ("started", "starting", ["on"], "running"),
        ("started", "error", ["on"], "running"),
        ("started", "running", [], "running"),
        ("stopped", "running", ["off"], "stopped"),
        ("stopped", "stopping", ["off"], "stopped"),
        ("stopped", "paused", ["off"], "stopped"),
        ("stopped", "stopped", [], "stopped"),
        ("stopped", "absent", [], "absent"),
        ("absent", "running", ["delete"], "absent"),
        ("absent", "absent", [], "absent"),
    ],
)
def test_states(wanted: str, found: str, calls: list[str], after: str) -> None:
    client = FakeClient(found)
    changed, before, result = module.ensure(client, "agent-1", wanted, check_mode=False)
    assert client.calls == calls
    assert changed is bool(calls)
    assert (before["state"], result["state"]) == (found, after)

    assert module.ensure(client, "agent-1", wanted, check_mode=False)[0] is False

    checked = FakeClient(found)
    changed, _, predicted = module.ensure(checked, "agent-1", wanted, check_mode=True)
    assert checked.calls == []
    assert (changed, predicted["state"]) == (bool(calls), after)


class Opener:
    """Stands in for urllib's opener."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def open(self, request: Any, timeout: float) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "does not answer: Connection refused"),
        (TimeoutError("timed out"), "does not answer: timed out"),
        (ValueError("not JSON"), "is not a Server Manager"),
    ],
)
def test_errors_are_one_line_and_never_hold_the_token(error: Exception, text: str) -> None:
    client = ServerManagerClient("http://127.0.0.1:1", "secret-token")
    client._opener = Opener(error)
    with pytest.raises(ServerManagerError, match=text) as caught:
        client.servers()
    assert "secret" not in str(caught.value)
    assert caught.value.status is None
