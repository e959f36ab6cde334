# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon with real HTTP, SQLite and ansible-runner."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.scaler.conftest import Daemon
from tests.integration.scaler.fakes import FakeCluster

pytestmark = pytest.mark.integration
Make = Callable[..., Daemon]


def rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def test_load_brings_an_agent_and_idleness_sends_it_home(
    cluster: FakeCluster, make_daemon: Make
) -> None:
    daemon = make_daemon()
    daemon.up()
    assert daemon.status()["desired"] == 1
    assert daemon.process and rss_mib(daemon.process.pid) <= 90
    cluster.agents["agent-1"].cpu = 96
    daemon.wait_for(lambda: "agent-2" in cluster.in_service)
    cluster.agents["agent-1"].cpu = 50
    daemon.wait_for(lambda: daemon.status()["action"] is None)
    for agent in cluster.agents.values():
        agent.cpu = agent.memory = 5
    daemon.wait_for(lambda: cluster.settled(1))
    assert cluster.in_service == {"agent-1"} and not cluster.violations
    daemon.wait_for(lambda: daemon.status()["action"] is None)
    finished = [
        event
        for event in daemon.call("GET", "/api/v1/events")["events"]
        if event["kind"] == "finished"
    ]
    assert [stage[0] for stage in finished[0]["stages"]] == [
        "Stage drain",
        "Stage leave",
        "Stage undeploy",
        "Stage power_off",
    ]
    assert "scale_up agent-2: Stage deploy ... ok" in daemon.log
    assert rss_mib(daemon.process.pid) <= 90
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log


def test_the_current_step_is_told_and_hold_waits_for_it(
    cluster: FakeCluster, make_daemon: Make
) -> None:
    daemon = make_daemon(actions_at_once=1)
    daemon.up()
    cluster.slow["deploy"] = 2.0
    daemon.call("POST", "/api/v1/desired", {"desired": 3})
    daemon.wait_for(lambda: (daemon.status()["action"] or {}).get("step") == "Stage deploy")
    hold = daemon.call("POST", "/api/v1/hold", {"holder": "test", "ttl_s": 30})
    assert hold["idle"] is False
    daemon.wait_for(
        lambda: daemon.call("POST", "/api/v1/hold", {"holder": "test", "ttl_s": 30})["idle"]
    )
    time.sleep(1)
    assert cluster.in_service == {"agent-1", "agent-2"}  # the third one waits
    assert daemon.status()["mode"] == "held"
    daemon.call("DELETE", "/api/v1/hold")
    daemon.wait_for(lambda: cluster.settled(3))


@pytest.mark.parametrize("state", ["stopped", "paused"])
def test_a_dead_or_frozen_agent_is_ejected_and_replaced(
    cluster: FakeCluster, make_daemon: Make, state: str
) -> None:
    cluster.serve("agent-2")
    daemon = make_daemon()
    daemon.up()
    cluster.slow["power_on"] = 1.0
    cluster.agents["agent-2"].state = state
    daemon.wait_for(lambda: cluster.in_service == {"agent-1"}, 3)
    daemon.wait_for(lambda: cluster.settled(2))
    assert not cluster.violations


def test_a_frozen_agent_stays_so_while_the_scaler_is_paused_and_comes_back_thawed(
    cluster: FakeCluster, make_daemon: Make
) -> None:
    cluster.serve("agent-2")
    daemon = make_daemon()
    daemon.up()
    daemon.call("POST", "/api/v1/pause")
    cluster.agents["agent-2"].state = "paused"
    daemon.wait_for(lambda: cluster.in_service == {"agent-1"}, 5)
    assert cluster.hooks == []
    cluster.agents["agent-2"].state = "running"  # thawed
    daemon.call("DELETE", "/api/v1/pause")
    daemon.wait_for(lambda: cluster.settled(2))
    assert not cluster.violations


def test_a_hanging_agent_costs_one_time_out_and_is_ejected(
    cluster: FakeCluster, make_daemon: Make
) -> None:
    for n in (2, 3):
        cluster.serve(f"agent-{n}")
    daemon = make_daemon()
    daemon.up()
    cluster.agents["agent-2"].mood = "hang"
    daemon.wait_for(lambda: "agent-2" not in cluster.in_service, 10)
    cluster.agents["agent-2"].mood = "fine"
    daemon.wait_for(lambda: cluster.settled(3))


def test_odd_metrics_are_missing_and_forbid_scaling_down(
    cluster: FakeCluster, make_daemon: Make
) -> None:
    cluster.serve("agent-2")
    for agent in cluster.agents.values():
        agent.cpu = agent.memory = 3
    daemon_settings = {"scaling_interval_s": 0.2}
    for mood in ("garbage", "huge"):
        cluster.agents["agent-2"].mood = mood
        daemon = make_daemon(**daemon_settings)
        daemon.up()
        time.sleep(1)
        status = daemon.status()
        assert (status["desired"], status["last_decision"]["blocked_by"]) == (
            2,
            "missing_metrics",
        )
        daemon.stop()


def test_without_the_server_manager_the_pool_stays(cluster: FakeCluster, make_daemon: Make) -> None:
    cluster.serve("agent-2")
    daemon = make_daemon()
    daemon.up()
    cluster.server_manager = False
    cluster.agents["agent-1"].cpu = cluster.agents["agent-2"].cpu = 99
    daemon.wait_for(lambda: daemon.status()["mode"] == "paused")
    time.sleep(1)
    assert cluster.in_service == {"agent-1", "agent-2"} and not cluster.hooks
    assert "Server Manager" in daemon.status()["alarms"][0]
    cluster.server_manager = True
    daemon.wait_for(lambda: "agent-3" in cluster.in_service)


def test_everyone_silent_at_once_changes_nothing(cluster: FakeCluster, make_daemon: Make) -> None:
    cluster.serve("agent-2")
    daemon = make_daemon()
    daemon.up()
    for agent in cluster.agents.values():
        agent.mood = "dead"
    daemon.wait_for(lambda: bool(daemon.status()["alarms"]))
    time.sleep(1)
    assert cluster.in_service == {"agent-1", "agent-2"} and not cluster.hooks
    for agent in cluster.agents.values():
        agent.mood = "fine"
    daemon.wait_for(lambda: daemon.status()["mode"] == "auto")


def test_failures_name_task_host_and_reason_and_the_next_name_is_used(
    cluster: FakeCluster, make_daemon: Make
) -> None:
    daemon = make_daemon()
    daemon.up()
    cluster.failing.add("deploy agent-2")
    cluster.slow["leave"] = 1.0  # the daemon looks several times while a start is rolled back
    daemon.call("POST", "/api/v1/desired", {"desired": 2})
    daemon.wait_for(lambda: cluster.settled(2), 240)
    assert cluster.in_service == {"agent-1", "agent-3"}
    failed = daemon.call("GET", "/api/v1/events?kind=failed")["events"]
    assert len(failed) == 3
    assert daemon.call("GET", "/api/v1/events?kind=cancelling")["events"] == []
    assert failed[0]["failed_task"] == "Stage deploy" and failed[0]["failed_host"] == "localhost"
    assert "503" in failed[0]["message"]


def test_a_time_limit_and_sigterm_leave_no_process_behind(
    cluster: FakeCluster, make_daemon: Make
) -> None:
    daemon = make_daemon(action_timeout_s=8, backoff_s=60)
    daemon.up()
    cluster.slow["deploy"] = 30.0
    daemon.call("POST", "/api/v1/desired", {"desired": 2})
    daemon.wait_for(lambda: bool(daemon.playbook_processes()))
    daemon.wait_for(lambda: bool(daemon.call("GET", "/api/v1/events?kind=failed")["events"]), 25)
    event = daemon.call("GET", "/api/v1/events?kind=failed")["events"][0]
    assert "time limit of 8 s" in event["message"] and event["failed_task"] == "Stage deploy"
    daemon.wait_for(lambda: "power_off agent-2" in cluster.hooks)  # rolled back
    daemon.wait_for(lambda: not daemon.playbook_processes())
    daemon.stop()

    other = make_daemon(state_dir=str(daemon.folder / "other"))
    other.state_dir = daemon.folder / "other"
    other.start()
    other.wait_for(lambda: cluster.hooks.count("power_on agent-2") == 1)
    other.wait_for(lambda: other.call("POST", "/api/v1/desired", {"desired": 2}) is not None)
    other.wait_for(lambda: (other.status()["action"] or {}).get("step") == "Stage deploy")
    began = time.monotonic()
    assert other.stop() == 0
    assert time.monotonic() - began < 6
    assert not other.playbook_processes()


def test_only_one_daemon_and_a_port_in_use(make_daemon: Make) -> None:
    daemon = make_daemon()
    daemon.up()
    second = make_daemon()
    second.start()
    assert second.process and second.process.wait(20) == 1
    assert "another scaler runs" in second.log
    third = make_daemon(listen_port=daemon.port, state_dir=str(daemon.folder / "third"))
    third.start()
    assert third.process and third.process.wait(20) == 1
    assert "listen_port" in third.log and "Traceback" not in third.log


def test_systemd_is_told(
    tmp_path: Path, make_daemon: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "n"))
        notify.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        daemon = make_daemon()
        daemon.start()
        messages = {notify.recv(100), notify.recv(100), notify.recv(100)}
        assert messages == {b"READY=1", b"WATCHDOG=1"}
        daemon.stop()
    assert os.environ["NOTIFY_SOCKET"]


def test_several_agents_come_at_once_and_one_that_fails_does_not_hold_up_the_others(
    cluster: FakeCluster, make_daemon: Make
) -> None:
    daemon = make_daemon(quarantine_failures=1)
    daemon.up()
    cluster.slow["deploy"] = 3.0
    cluster.failing.add("deploy agent-2")
    daemon.call("POST", "/api/v1/desired", {"desired": 3})
    daemon.wait_for(lambda: len(daemon.status()["actions"]) == 2)
    daemon.wait_for(lambda: cluster.in_service == {"agent-1", "agent-3", "agent-4"})
    daemon.wait_for(lambda: cluster.settled(3) and daemon.status()["action"] is None)
    events = daemon.call("GET", "/api/v1/events")["events"]
    started = [e["agent"] for e in reversed(events) if e["kind"] == "started"]
    assert started[:2] == ["agent-2", "agent-3"] and "agent-4" in started
    assert not cluster.violations


def test_load_that_returns_while_an_agent_drains_puts_it_back(
    cluster: FakeCluster, make_daemon: Make
) -> None:
    cluster.serve("agent-2")
    daemon = make_daemon(scaling_warmup_s=0)
    daemon.up()
    cluster.slow["leave"] = 30.0  # requests in flight
    for agent in cluster.agents.values():
        agent.cpu = agent.memory = 5
    daemon.wait_for(lambda: cluster.pool["agent-2"]["state"] == "draining")
    began = time.monotonic()
    for agent in cluster.agents.values():
        agent.cpu = 95
    daemon.wait_for(lambda: cluster.in_service == {"agent-1", "agent-2"})
    assert time.monotonic() - began < 10
    assert "restore agent-2" in cluster.hooks
    assert not {"undeploy agent-2", "power_off agent-2"} & set(cluster.hooks)
    assert not cluster.violations
    kinds = {event["kind"] for event in daemon.call("GET", "/api/v1/events")["events"]}
    assert {"cancelling", "cancelled", "restored"} <= kinds and "failed" not in kinds
