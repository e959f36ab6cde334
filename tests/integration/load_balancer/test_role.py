# SPDX-License-Identifier: GPL-3.0-or-later
"""The role and the module, applied with Ansible to a real machine."""

from __future__ import annotations

import pytest

from .conftest import Machine, Playbooks

pytestmark = pytest.mark.integration

PATH = "/etc/nginx/nginx.conf"


def test_a_second_run_changes_nothing(lb: Machine, playbooks: Playbooks) -> None:
    result = playbooks.role()
    assert result["stats"]["failures"] == 0
    assert result["stats"]["changed"] == 0
    limits = lb.sh("grep 'open files' /proc/$(cat /run/nginx.pid)/limits").split()
    assert int(limits[3]) > 8192  # the service's limit, not the default


def test_a_run_that_was_cut_off_before_its_reload_is_repaired(
    lb: Machine, playbooks: Playbooks
) -> None:
    lb.put(one="127.0.0.1:7001")
    lb.sh(
        f"cp {PATH} /tmp/kept && echo '# other' >> {PATH} && nginx -s reload && sleep 1"
        f" && cat /tmp/kept > {PATH}"
    )
    running = lb.admin("GET", "/health")[1]["configuration"]
    result = playbooks.role()
    assert result["stats"]["failures"] == 0
    wanted = lb.sh(f"sha1sum {PATH}").split()[0]
    assert running != wanted
    assert lb.admin("GET", "/health")[1]["configuration"] == wanted
    assert "one" in lb.status()  # and the pool survived both reloads


def test_check_mode_shows_and_changes_nothing(lb: Machine, playbooks: Playbooks) -> None:
    before = lb.sh(f"sha1sum {PATH}")
    checked = playbooks.role("--check", load_balancer_tries=2)
    assert checked["stats"]["failures"] == 0
    assert checked["stats"]["changed"] == 2  # the configuration, and the reload that follows
    assert lb.sh(f"sha1sum {PATH}") == before


def test_module_puts_drains_and_removes(lb: Machine, playbooks: Playbooks) -> None:
    name, address = "agent-1", "127.0.0.1:7001"
    added, same, drained, checked, removed, gone, down = playbooks.agents(
        {"name": name, "address": address, "state": "in_service"},
        {"name": name, "state": "in_service"},
        {"name": name, "state": "draining", "wait_idle": True, "timeout_s": 10},
        {"name": name, "state": "absent", "check_mode": True},
        {"name": name, "state": "absent"},
        {"name": name, "state": "absent", "wait_idle": True},
        {"name": name, "state": "absent", "admin_port": 9},
    )
    assert added["changed"]
    assert added["agent"] == {
        "name": name,
        "address": address,
        "state": "in_service",
        "in_flight": 0,
    }
    assert not same["changed"]
    assert drained["changed"]
    assert drained["idle"]
    assert drained["agent"]["state"] == "draining"
    assert checked["changed"]
    assert removed["changed"]
    assert not gone["changed"]
    assert gone["agent"] is None
    assert lb.status() == {}
    assert down["failed"]
    assert "systemctl start nginx" in down["msg"]
