# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from clusterops.http_api.guard import is_own_host

NAMES = frozenset({"localhost", "control-1"})


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True), ("LOCALHOST:9000", True), ("localhost.", True), ("control-1", True),
        ("127.0.0.1:9000", True), ("[::1]:9000", True), ("192.0.2.7", True), (None, True),
        ("evil.example", False), ("127.0.0.1.evil.example", False), ("localhost.evil", False),
        ("", False), ("[", False), ("evil@localhost:1", True),
    ],
)  # fmt: skip
def test_names_that_lead_here_without_being_ours(host: str | None, own: bool) -> None:
    assert is_own_host(host, NAMES) is own
