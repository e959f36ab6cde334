# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployment document: read when it changed, and refused with what is wrong in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterops.scaler.answers import ProbeError
from clusterops.scaler.deployment import DeploymentFile
from clusterops.scaler.model import Application


def document(**application: Any) -> str:
    return json.dumps({"release": "r1", "application": {"name": "shop", **application}})


def test_it_is_read_again_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    file = DeploymentFile(path)
    assert file.read() is None
    path.write_text(document())
    first = file.read()
    assert first == Application("shop", "r1", 5000, "/ready", None)
    assert file.read() is first
    path.write_text(document(port=8000, ready_path="/up", metrics_path="/metrics"))
    assert file.read() == Application("shop", "r1", 8000, "/up", "/metrics")
    path.unlink()
    assert file.read() is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (document(port=0), "application.port is 0"),
        (document(port=65536), "application.port is 65536"),
        (document(port=True), "application.port is True"),
        (document(port="5000"), "application.port is '5000'"),
        (document(ready_path="ready"), "application.ready_path is 'ready'"),
        (document(ready_path=7), "application.ready_path is 7"),
        (document(metrics_path="metrics"), "application.metrics_path is 'metrics'"),
        (document(metrics_path=7), "application.metrics_path is 7"),
        ("{}", "KeyError"),
        ("[]", "TypeError"),
        ("{", "JSONDecodeError"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "deployment.json"
    path.write_text(text)
    with pytest.raises(ProbeError, match=what) as caught:
        DeploymentFile(path).read()
    assert str(path) in str(caught.value)


def test_a_document_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="cannot be read: Is a directory"):
        DeploymentFile(tmp_path).read()


def test_the_highest_and_the_lowest_port(tmp_path: Path) -> None:
    for port in (1, 65535):
        path = tmp_path / f"{port}.json"
        path.write_text(document(port=port))
        application = DeploymentFile(path).read()
        assert application and application.port == port
