# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's client of the Server Manager: what it asks, and what it makes of answers."""

from __future__ import annotations

import io
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils._server_manager import (
    ServerManagerClient,
    ServerManagerError,
)

URL = "http://127.0.0.1:3000"


class Opener:
    """Stands in for urllib's opener: answers in turn, or raises; remembers what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any]] = []

    def open(self, request: Any, timeout: float) -> Any:
        body = json.loads(request.data) if request.data else None
        self.asked.append((request.method, request.full_url.removeprefix(URL), body))
        assert request.headers["Authorization"] == "Bearer token"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)


def refusal(status: int, body: bytes = b'{"error": "no"}') -> HTTPError:
    return HTTPError(URL, status, "", {}, io.BytesIO(body))  # type: ignore[arg-type]


def client(*answers: Any) -> tuple[ServerManagerClient, Opener]:
    made, opener = ServerManagerClient(f"{URL}/", "token"), Opener(*answers)
    made._opener = opener  # type: ignore[assignment]
    return made, opener


def test_what_it_asks() -> None:
    one = b'{"name": "agent/1", "status": "It runs.", "servers": [1]}'
    made, opener = client(one, one, one, one, one, one)
    assert made.cluster()["name"] == "agent/1"
    assert made.servers() == [1]
    assert made.get("agent/1") is not None
    assert made.create("agent-1")
    assert made.power("agent-1", "on") == "It runs."
    made.delete("agent-1")
    assert [(method, path) for method, path, _ in opener.asked] == [
        ("GET", "/api/v1/cluster"),
        ("GET", "/api/v1/servers"),
        ("GET", "/api/v1/servers/agent%2F1"),
        ("POST", "/api/v1/servers"),
        ("POST", "/api/v1/servers/power"),
        ("DELETE", "/api/v1/servers/agent-1"),
    ]
    assert [body for _, _, body in opener.asked[3:5]] == [
        {"name": "agent-1"},
        {"action": "on", "server": "agent-1"},
    ]


def test_a_machine_that_is_not_there_is_none_and_removed_already() -> None:
    made, _ = client(refusal(404), refusal(404))
    assert made.get("agent-1") is None
    made.delete("agent-1")


@pytest.mark.parametrize("call", ["get", "delete"])
def test_other_refusals_are_told(call: str) -> None:
    made, _ = client(refusal(409, b'{"error": "agent-1 is busy"}'))
    with pytest.raises(ServerManagerError, match="agent-1 is busy") as caught:
        getattr(made, call)("agent-1")
    assert caught.value.status == 409


def test_a_refusal_without_words_has_its_number() -> None:
    made, _ = client(refusal(502, b"<html>"))
    with pytest.raises(ServerManagerError, match="HTTP status 502"):
        made.servers()


@pytest.mark.parametrize("body", [b"[]", b"null", b"<html>"])
def test_something_else_that_answers(body: bytes) -> None:
    made, _ = client(body)
    with pytest.raises(ServerManagerError, match="is not a Server Manager"):
        made.servers()


def test_a_certificate_of_another_cluster() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed: unable to get issuer")
    made, _ = client(URLError(error))
    with pytest.raises(ServerManagerError, match="its certificate is not one of this cluster"):
        made.servers()


def test_https_needs_the_authority(tmp_path: Path) -> None:
    with pytest.raises(ServerManagerError, match=r"nowhere\.crt, cannot be read: No such file"):
        ServerManagerClient("https://127.0.0.1:3000", "t", ca_file=str(tmp_path / "nowhere.crt"))
    (tmp_path / "ca.crt").write_text("nonsense")
    with pytest.raises(ServerManagerError, match="cannot be read"):
        ServerManagerClient("https://127.0.0.1:3000", "t", ca_file=str(tmp_path / "ca.crt"))
