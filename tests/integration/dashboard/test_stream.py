# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream of the real scaler as a process of its own."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.scaler import fakes
from tests.integration.scaler.conftest import Daemon

pytestmark = pytest.mark.integration
NAME = "clusterops_load_balancer_requests_total"


def messages(answer: http.client.HTTPResponse, name: str) -> Any:
    """The next message of a kind."""
    while True:
        if answer.readline().decode().strip() == f"event: {name}":
            return json.loads(answer.readline().decode().removeprefix("data: "))


def test_the_scaler_tells_traffic_and_ends_although_somebody_watches(tmp_path: Path) -> None:
    cluster, stop = fakes.start()
    cluster.serve("agent-1")
    cluster.metrics = f'{NAME}{{agent="agent-1",status="2xx"}} 0\n'
    daemon = Daemon(tmp_path, cluster)
    try:
        daemon.up()
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
        connection.request(
            "GET", "/api/v1/stream", headers={"Authorization": f"Bearer {fakes.TOKEN}"}
        )
        answer = connection.getresponse()
        assert messages(answer, "snapshot")["status"]["desired"] == 1
        began, total = time.monotonic(), 0
        while True:
            total += 20
            cluster.metrics = f'{NAME}{{agent="agent-1",status="2xx"}} {total}\n'
            traffic = messages(answer, "state")["traffic"]
            if traffic and traffic["agents"]["agent-1"]["requests_per_s"] > 5:
                break
            assert time.monotonic() - began < 15, traffic
        assert messages(answer, "point")["wanted"] == 1
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 8
        assert answer.read() is not None
    finally:
        if daemon.process and daemon.process.poll() is None:
            daemon.kill()
        stop()
    assert "Traceback" not in daemon.log
