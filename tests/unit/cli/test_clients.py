# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from clusterops import clients
from clusterops.clients import AnswerError, ScalerClient, ServerManagerClient
from clusterops.errors import NotRunningError


class FakeConnection:
    """Answers once; remembers what was asked."""

    status = 200
    text = "{}"
    error: Exception | None = None
    asked: list[tuple[str, str, Any, dict[str, str]]] = []  # noqa: RUF012

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self.where = (host, port)

    def request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> None:
        if self.error:
            raise self.error
        self.asked.append((method, path, body, headers))

    def getresponse(self) -> FakeConnection:
        return self

    def read(self) -> bytes:
        return self.text.encode()

    def close(self) -> None:
        pass


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> type[FakeConnection]:
    class Connection(FakeConnection):
        asked: list[tuple[str, str, Any, dict[str, str]]] = []  # noqa: RUF012

    monkeypatch.setattr(http.client, "HTTPConnection", Connection)
    return Connection


def test_the_token_goes_into_the_header(wire: Any) -> None:
    ScalerClient("http://127.0.0.1:9000", "secret").set_desired(3)
    method, path, body, headers = wire.asked[0]
    assert (method, path, json.loads(body)) == ("POST", "/api/v1/desired", {"desired": 3})
    assert headers["Authorization"] == "Bearer secret"


def test_servers_come_in_order_without_absent_ones(wire: Any) -> None:
    wire.text = json.dumps(
        {
            "servers": [
                {"name": "agent-10", "role": "agent", "state": "running"},
                {"name": "agent-2", "role": "agent", "state": "stopped"},
                {"name": "agent-3", "role": "agent", "state": "absent"},
                {"name": "control-1", "role": "control", "state": "running"},
            ]
        }
    )
    found = ServerManagerClient("http://127.0.0.1:3000", "t").servers()
    assert [server["name"] for server in found] == ["control-1", "agent-2", "agent-10"]


def test_nothing_there_is_not_running(wire: Any) -> None:
    wire.error = ConnectionRefusedError(111, "Connection refused")
    with pytest.raises(NotRunningError, match=r"cluster is not running.*:3000"):
        ServerManagerClient("http://127.0.0.1:3000", "t").cluster()
    with pytest.raises(NotRunningError, match=r"scaler does not answer.*Connection refused"):
        ScalerClient("http://127.0.0.1:9000").status()


def test_a_foreign_token_is_explained_and_never_shown(wire: Any) -> None:
    wire.status = 401
    with pytest.raises(AnswerError) as caught:
        ServerManagerClient("http://127.0.0.1:3000", "secret-token").cluster()
    assert "another cluster" in str(caught.value)
    assert "secret-token" not in str(caught.value)


def test_the_services_own_words_are_passed_on(wire: Any) -> None:
    wire.status, wire.text = 422, '{"error": "desired: allowed: 1 to 4"}'
    with pytest.raises(AnswerError, match="desired: allowed: 1 to 4") as caught:
        ScalerClient("http://127.0.0.1:9000", "t").set_desired(9)
    assert caught.value.status == 422


def test_another_program_at_the_port_is_an_error_not_a_defect(wire: Any) -> None:
    wire.text = "<html>hello</html>"
    with pytest.raises(AnswerError, match="did not answer with JSON"):
        ScalerClient("http://127.0.0.1:9000").status()


def test_a_broken_endpoint_file_is_not_running(state: Any) -> None:
    state.create()
    state.endpoint_file.write_text("{")
    with pytest.raises(NotRunningError):
        ServerManagerClient.of(state)


def test_the_endpoint_file_names_address_and_token(state: Any, wire: Any) -> None:
    token = state.token()
    state.write_endpoint("http://127.0.0.1:3999")
    clients.server_manager().cluster()
    assert wire.asked[0][3]["Authorization"] == f"Bearer {token}"


def test_a_hold_is_released_by_its_holder(wire: Any) -> None:
    client = ScalerClient("http://127.0.0.1:9000", "t")
    client.hold("up", 120)
    client.release("up")
    assert json.loads(wire.asked[0][2]) == {"holder": "up", "ttl_s": 120}
    assert wire.asked[1][:2] == ("DELETE", "/api/v1/hold?holder=up")


def test_alerts_that_fire_are_one_line_each(wire: Any) -> None:
    def alert(name: str, state: str) -> dict[str, Any]:
        notes = {"summary": f"do what {name} says"}
        return {"labels": {"alertname": name}, "state": state, "annotations": notes}

    found = [alert("DiskNearlyFull", "firing"), alert("HighLatency", "pending")]
    wire.text = json.dumps({"data": {"alerts": found}})
    cluster = {"config": {"port_prometheus": 19090}}
    assert clients.alerts(cluster) == ("DiskNearlyFull: do what DiskNearlyFull says",)
    assert wire.asked[0][:2] == ("GET", "/api/v1/alerts")
    # Whoever only wants to see the nodes is not stopped by a Prometheus that is away or strange.
    for text in ("[]", "<html>", '{"data": null}'):
        wire.text = text
        assert clients.alerts(cluster) == ()
    wire.error = ConnectionRefusedError(111, "Connection refused")
    assert clients.alerts({}) == ()
