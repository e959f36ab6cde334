# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterops.http_api.access import AccessFile, AccessUnknown, digest, may, role_of

KNOWN = {"admin": [digest("old"), digest("new")], "read": [digest("r")], "scaler": [digest("s")]}


@pytest.mark.parametrize(
    ("token", "role"),
    [
        (b"old", "admin"), (b"new", "admin"), (b"r", "read"), (b"s", "scaler"),
        (b"", "none"), (b"oldx", "none"), (b"\xff\xfe", "none"), (digest("r").encode(), "none"),
    ],
)  # fmt: skip
def test_who_has_which_token(token: bytes, role: str) -> None:
    assert role_of(token, KNOWN) == role


@pytest.mark.parametrize(
    ("role", "methods"),
    [
        ("admin", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}),
        ("scaler", {"GET", "HEAD", "POST"}),
        ("read", {"GET", "HEAD"}),
        ("none", set()),
        ("other", set()),
    ],
)
def test_who_may_do_what(role: str, methods: set[str]) -> None:
    every = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    assert {method for method in every if may(role, method)} == methods


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "access.json"
    known = AccessFile(file)
    with pytest.raises(AccessUnknown, match=r"access\.json"):
        known()
    file.write_text(json.dumps({"admin": [digest("a")]}))
    assert known() == {"admin": (digest("a"),)}
    file.write_text(json.dumps({"admin": [digest("a"), digest("b")]}))
    assert len(known()["admin"]) == 2


@pytest.mark.parametrize(
    "text", ["", "[]", '{"admin": "x"}', '{"root": []}', '{"admin": ["x"]}', '{"admin": [1]}']
)
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    file = tmp_path / "access.json"
    file.write_text(text)
    with pytest.raises(AccessUnknown):
        AccessFile(file)()


def test_the_scaler_may_end_jobs_and_delete_nothing_else() -> None:
    assert may("scaler", "DELETE", "/api/v1/jobs/load")
    for path in (
        "/api/v1/servers/agent-1", "/api/v1/jobs", "/api/v1/jobs/", "/api/v1/jobs/load/x",
        "/api/v1/jobs/../servers", "/x/api/v1/jobs/load", "/api/v1/jobs/load\n",
    ):  # fmt: skip
        assert not may("scaler", "DELETE", path)
    assert not may("read", "DELETE", "/api/v1/jobs/load")
    assert not may("nobody", "DELETE", "/api/v1/jobs/load")
