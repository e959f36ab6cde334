# SPDX-License-Identifier: GPL-3.0-or-later
"""The views of a running cluster: in a terminal, for programs, and as a page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.e2e.cluster import ROOT, Cluster, request, wait_for

pytestmark = pytest.mark.e2e

SIZE = (40, 120)
LEAVE_SCREEN, SHOW_CURSOR = "\x1b[?1049l", "\x1b[?25h"


def _ssh_of(cluster: Cluster) -> list[str]:
    """Processes that this cluster's commands have left, or still have."""
    found = subprocess.run(
        ["pgrep", "--full", "--list-full", f"UserKnownHostsFile={cluster.folder}"],
        capture_output=True,
        text=True,
    )
    return found.stdout.splitlines()


def _in_terminal(cluster: Cluster, *arguments: str) -> Any:
    return pexpect.spawn(
        str(ROOT / "playground"),
        list(arguments),
        env={**cluster.environment, "TERM": "xterm-256color"},
        dimensions=SIZE,
        encoding="utf-8",
        timeout=30,
    )


def _restored(terminal: Any, keys: str) -> None:
    terminal.send(keys)
    terminal.expect(pexpect.EOF)
    left = terminal.before
    assert LEAVE_SCREEN in left
    assert SHOW_CURSOR in left
    terminal.close()
    assert terminal.exitstatus == 0


@pytest.mark.parametrize("keys", ["q", "\x03"], ids=["q", "Ctrl-C"])
def test_the_live_view_shows_the_agents_and_gives_the_terminal_back(
    cluster: Cluster, keys: str
) -> None:
    terminal = _in_terminal(cluster, "status", "--watch")
    terminal.expect("agent-1")
    terminal.expect("in service")
    terminal.expect("Requests/s")
    terminal.expect("Decisions and events")
    terminal.setwinsize(24, 80)
    terminal.expect("q.{0,30} ends")
    _restored(terminal, keys)


def test_top_lists_services_and_containers(cluster: Cluster) -> None:
    document = json.loads(cluster.run("top", "--once", "--json").stdout)
    nodes = {node["name"]: node for node in document["nodes"]}
    assert {"control-1", "agent-1"} <= set(nodes)
    control = {row["name"]: row for row in nodes["control-1"]["services"]}
    assert control["nginx"]["memory_bytes"] > 1_000_000
    assert {"scaler", "prometheus"} <= set(control)
    kinds = {row["kind"] for row in nodes["agent-1"]["services"]}
    assert kinds == {"service", "container"}
    assert nodes["agent-1"]["memory_total_bytes"] < 1024**3  # the node's limit, not the host's
    terminal = _in_terminal(cluster, "top")
    terminal.expect("nginx")
    terminal.send("m")
    _restored(terminal, "q")
    assert _ssh_of(cluster) == []


def test_a_line_of_a_node_is_followed_within_three_seconds(cluster: Cluster) -> None:
    process = cluster.start("logs", "--follow", "--json", "--lines", "1")
    lines: list[tuple[float, dict[str, Any]]] = []

    def read() -> None:
        for line in process.stdout or ():
            lines.append((time.time(), json.loads(line)))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        wait_for("the followed log begins", lambda: bool(lines), 30, every=0.1)
        for node in ("control-1", "agent-1"):
            words = f"needle-{node}-{time.time_ns()}"
            sent = float(cluster.on(node, f"date +%s.%N; logger --tag e2e-mark {words}"))
            wait_for(
                f"the line of {node}",
                lambda words=words: any(words in entry["message"] for _, entry in lines),  # type: ignore[misc]
                10,
                every=0.1,
            )
            came, entry = next(pair for pair in lines if words in pair[1]["message"])
            assert (entry["node"], entry["service"]) == (node, "e2e-mark")
            assert came - sent < 3.0
    finally:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=20) == 130
    thread.join(timeout=5)
    assert _ssh_of(cluster) == []
    left = cluster.on("control-1", "pgrep --full --list-full 'journalctl.*[-]-output json' || true")
    assert left == ""


def test_logs_are_merged_and_filtered(cluster: Cluster) -> None:
    output = cluster.run("logs", "--json", "--lines", "200").stdout
    entries = [json.loads(line) for line in output.splitlines()]
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
    assert {"control-1", "agent-1"} <= {entry["node"] for entry in entries}
    request("GET", f"{cluster.url}/health")
    wait_for(
        "the request is in the log",
        lambda: "/health" in cluster.run("logs", "load-balancer", "-n", "200").stdout,
        15,
    )
    text = cluster.run("logs", "app", "--lines", "5", "--json").stdout
    assert {json.loads(line)["service"].split("/")[0] for line in text.splitlines()} == {"app"}


def test_the_report_tells_the_last_change_and_why(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    cluster.run("report", "--last", "12h", "--output", str(file))
    text = file.read_text()
    _, body, _ = request("GET", f"{cluster.dashboard}/api/v1/events?kind=decision&limit=1")
    (last,) = body["events"]
    reason = last["message"].partition(": ")[2]
    assert reason in text
    assert "The cluster grew from 1 to" in text
    assert "fibonacci" in text or "whoami" in text
    assert cluster.token not in text
