# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules and names, in the eyes of Prometheus' own checker."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from clusterops.metrics_api.render import to_prometheus
from clusterops.metrics_api.sampler import Snapshot
from clusterops.monitoring.expressions import RULES_FILE
from clusterops.scaler.exporter import Exporter
from clusterops.scaler.model import Agent, Observation
from clusterops.server_manager.telemetry import Telemetry
from tests.integration.conftest import ROOT

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The rules and their tests in one folder, as the checker wants them."""
    shutil.copy(ROOT / RULES_FILE, tmp_path)
    shutil.copy(HERE / "rules_test.yml", tmp_path)
    return tmp_path


def _check(promtool: str, *arguments: str, text: bytes = b"") -> tuple[int, str]:
    done = subprocess.run([promtool, *arguments], input=text, capture_output=True, timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_every_alert_fires_when_it_should_and_not_when_it_should_not(
    promtool: str, rules: Path
) -> None:
    code, said = _check(promtool, "test", "rules", str(rules / "rules_test.yml"))
    assert code == 0, said


def test_an_alert_that_never_fires_is_noticed(promtool: str, rules: Path) -> None:
    text = (rules / "rules.yml").read_text()
    (rules / "rules.yml").write_text(text.replace("expr: pg_up == 0", "expr: pg_up == 2"))
    code, said = _check(promtool, "test", "rules", str(rules / "rules_test.yml"))
    assert code != 0 and "DatabaseDown" in said


def _metrics_api() -> bytes:
    sample = Snapshot(
        cpu_percent=1, cpus=1, memory_total=2, memory_available=1, disk_total=2, disk_free=1,
        load=(0, 0, 0), sampled_at=1,
    )  # fmt: skip
    return to_prometheus(sample)


def _scaler() -> bytes:
    exporter = Exporter(Path("/"))
    seen = Observation(at=1, agents=(Agent("agent-1", 1, state="running", pool="in_service"),))
    exporter.tick(seen, 0.1, "auto", ["many_unhealthy"], ["agent-2"])
    exporter.decided("up")
    return exporter.render()


def _server_manager() -> bytes:
    telemetry = Telemetry()
    telemetry.request("GET", "/", 200, 0.1)
    telemetry.driver_call("list", "ok", 0.1)
    return telemetry.render([], {"ca": 1.0})


@pytest.mark.parametrize("expose", [_metrics_api, _scaler, _server_manager])
def test_names_and_help_texts_are_as_prometheus_wants_them(
    promtool: str, expose: Callable[[], bytes]
) -> None:
    text = expose()
    assert b"# TYPE" in text
    code, said = _check(promtool, "check", "metrics", text=text)
    # node_exporter's own names, which machines' tools know.
    own = [line for line in said.splitlines() if not line.startswith("node_")]
    assert own == [], said
    assert b"_created" not in text
    assert code in (0, 3)


def test_a_name_against_the_rules_is_noticed(promtool: str) -> None:
    text = b"# TYPE wrong_total gauge\nwrong_total 1\n"
    assert "wrong_total" in _check(promtool, "check", "metrics", text=text)[1]
