# SPDX-License-Identifier: GPL-3.0-or-later
"""The scaler without a Server Manager: it runs, tells, and obeys those who may give orders."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testinfra.host import Host

URL, OTHER_URL = "http://127.0.0.1:9000", "http://127.0.0.1:9100"
UNIT = "clusterops-scaler"


def _token(name: str) -> str:
    folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "cluster")
    return (folder / name).read_text(encoding="ascii").strip()


def _ask(host: Host, url: str, arguments: str = "", token: str = "") -> tuple[int, Any]:
    """Status and answer."""
    header = f"-H 'Authorization: Bearer {token}'" if token else ""
    command = f"curl -sS -w '\\n%{{http_code}}' {header} {arguments} {url}"
    body, _, code = host.check_output(command).rpartition("\n")
    return int(code), json.loads(body)


def _desired(host: Host, url: str, number: int, token: str = "") -> tuple[int, Any]:
    body = f"-X POST -H 'Content-Type: application/json' -d '{{\"desired\": {number}}}'"
    return _ask(host, f"{url}/api/v1/desired", body, token)


def test_it_runs_now_and_after_a_restart_of_the_node(host: Host) -> None:
    assert host.service(UNIT).is_running
    assert host.service(UNIT).is_enabled
    assert _ask(host, f"{URL}/health") == (200, {"service": "scaler", "status": "healthy"})


def test_it_tells_what_hinders_it(host: Host) -> None:
    code, status = _ask(host, f"{URL}/api/v1/status")
    assert code == 200
    assert (status["min"], status["max"]) == (1, 4)


def test_orders_take_the_token_of_an_administrator(host: Host) -> None:
    assert _desired(host, URL, 2)[0] == 401
    assert _desired(host, URL, 2, _token("token-read"))[0] == 403
    assert _desired(host, URL, 2, _token("token"))[0] == 200


def test_orders_outside_the_bounds_are_refused(host: Host) -> None:
    code, answer = _desired(host, URL, 9, _token("token"))
    assert code == 422 and "4" in answer["error"]


def test_whoever_watches_the_cluster_may_read_alone(host: Host) -> None:
    file = host.file("/etc/clusterops/token-read")
    assert (file.group, file.mode) == ("root", 0o640)
    assert file.content_string.strip() == _token("token-read")


def test_settings_that_are_wrong_are_refused(host: Host) -> None:
    check = "/opt/clusterops/scaler/current/bin/python -m clusterops.scaler --check --config"
    assert host.run(f"{check} /etc/clusterops/scaler.json").rc == 0
    host.check_output(
        'sed \'s/"agents_max": 4/"agents_max": 0/\' /etc/clusterops/scaler.json >/tmp/wrong.json'
    )
    assert host.run(f"{check} /tmp/wrong.json").rc == 2


def test_the_playbooks_that_it_runs_are_there(host: Host) -> None:
    ansible = "/opt/clusterops/scaler/current/bin/ansible-playbook"
    playbook = "/opt/clusterops/collections/ansible_collections/clusterops/playground/playbooks"
    syntax = host.run(
        f"cd /tmp && ANSIBLE_CONFIG=/etc/clusterops/ansible.cfg "
        f"HOME=/tmp {ansible} -i localhost, --syntax-check {playbook}/scale_up.yml -e agent=agent-2"
    )
    assert syntax.rc == 0, syntax.stderr


def test_secrets_are_for_the_scaler_alone(host: Host) -> None:
    key = host.file("/etc/clusterops/ssh/id_ed25519")
    assert (key.user, key.mode) == ("clusterops", 0o400)
    assert host.file("/etc/clusterops/token").mode == 0o640
    assert _token("token-scaler") not in host.check_output("journalctl --no-pager --quiet")


def test_it_starts_again_when_it_dies(
    host: Host, until: Callable[[Callable[[], bool]], None]
) -> None:
    host.check_output(f"systemctl kill --signal KILL {UNIT}")
    until(lambda: bool(host.run(f"curl -sSf {URL}/health").rc == 0))


def test_other_values(other: Host) -> None:
    listening = other.check_output("ss -Hltn 'sport = :9100 or sport = :9000' | awk '{print $4}'")
    assert listening.split() == ["127.0.0.1:9100"]
    assert _ask(other, f"{OTHER_URL}/api/v1/status")[0] == 401
    code, status = _ask(other, f"{OTHER_URL}/api/v1/status", token=_token("token-read"))
    assert code == 200
    assert (status["min"], status["max"]) == (2, 3)
    shown = other.check_output(f"systemctl show -p User -p MemoryMax {UNIT}")
    assert set(shown.split()) == {"User=pilot", f"MemoryMax={512 * 1024 * 1024}"}
