# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.scaler.observe import (
    DeploymentFile,
    ProbeError,
    parse_metrics,
    parse_pool,
    parse_servers,
)

NOW = 1_700_000_000.0


def body(**changes: object) -> bytes:
    document = {"cpu_utilization_percent": 12.5, "memory_utilization_percent": 40, **changes}
    return json.dumps(document).encode()


def test_good_metrics() -> None:
    assert parse_metrics(body(), None, NOW) == (12.5, 40.0)
    assert parse_metrics(body(cpu_utilization_percent=104.0), None, NOW) == (100.0, 40.0)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"\xff\xfe",
        b"[" * 60_000,
        body(cpu_utilization_percent=None),
        body(cpu_utilization_percent=True),
        body(cpu_utilization_percent="high"),
        body(cpu_utilization_percent=-1),
        body(memory_utilization_percent=1e9),
        b'{"cpu_utilization_percent": NaN, "memory_utilization_percent": 1}',
        b'{"cpu_utilization_percent": 1e999, "memory_utilization_percent": 1}',
    ],
)
def test_bad_metrics_count_as_missing(bad: bytes) -> None:
    assert parse_metrics(bad, None, NOW) is None


@given(st.binary(max_size=300) | st.recursive(st.none() | st.floats() | st.text(), st.lists))
def test_nothing_in_a_body_raises(junk: object) -> None:
    raw = junk if isinstance(junk, bytes) else json.dumps(junk).encode()
    parse_metrics(raw, None, NOW)


def test_old_samples_count_as_missing_by_the_agents_own_clock() -> None:
    sampled = "2023-11-14T22:13:20Z"  # NOW
    assert parse_metrics(body(sampled_at=sampled), None, NOW + 29)
    assert parse_metrics(body(sampled_at=sampled), None, NOW + 31) is None
    date = formatdate(NOW + 5, usegmt=True)  # the agent's clock is an hour behind
    assert parse_metrics(body(sampled_at=sampled), date, NOW + 3600)


def test_servers_and_pool_keep_what_they_understand() -> None:
    good = {"name": "agent-1", "state": "running"}
    control, nameless = {"name": "control-1"}, {"state": "running"}
    assert parse_servers([good, control, nameless, 7]) == {"agent-1": good}
    assert parse_servers({"servers": [good]}) == {"agent-1": good}
    assert parse_pool({"agents": [good, "x"]}) == {"agent-1": good}
    assert parse_pool({"agents": {}}) == {}
    for wrong in (None, "x", {"agents": 7}, {"error": "x"}):
        with pytest.raises(ProbeError):
            parse_pool(wrong)
        with pytest.raises(ProbeError):
            parse_servers(wrong)


def test_the_deployment_document_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    reader = DeploymentFile(path)
    assert reader.read() is None
    document = {"application": {"name": "f", "port": 5000, "ready_path": "/r"}, "release": "r1"}
    path.write_text(json.dumps(document))
    first = reader.read()
    assert first and (first.release, first.ready_path) == ("r1", "/r")
    path.write_text(json.dumps({**document, "release": "r2"}))
    os.utime(path, (1, 1))
    second = reader.read()
    assert second and second.release == "r2"
    path.write_text("{")
    with pytest.raises(ProbeError, match="no deployment document"):
        reader.read()
    path.unlink()
    assert reader.read() is None
