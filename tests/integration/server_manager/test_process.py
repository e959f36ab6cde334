# SPDX-License-Identifier: GPL-3.0-or-later
"""The Server Manager as users meet it: a process, HTTP, ssh and Ansible, on a real engine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from clusterops.engine_names import image_tag
from clusterops.ssh_identity import ssh_options
from clusterops.state import State
from tests.integration.server_manager.conftest import left_over, sweep

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = "smtest-process"
CONFIG = f"""\
cluster_name: {CLUSTER}
cluster_provider: docker
control_memory_mb: 768
agent_memory_mb: 384
agents_max: 3
port_server_manager: 23300
port_load_balancer: 23301
port_dashboard: 23302
port_prometheus: 23303
port_ssh: 23310
port_app: 23330
port_metrics: 23350
"""
URL = "http://127.0.0.1:23300"


class Manager:
    """A Server Manager process and what a client needs to talk to it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "cluster.yml"
        self.state = State.beside(self.file)
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        return [sys.executable, "-m", "clusterops.server_manager", "--cluster-file", str(self.file)]

    def start(self) -> None:
        with (self.file.parent / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            with suppress(requests.ConnectionError):
                assert requests.get(f"{URL}/health", timeout=5).status_code == 200
                return
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def end(self, number: signal.Signals) -> int:
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(20)

    def log(self) -> str:
        return (self.file.parent / "log").read_text()

    def call(self, method: str, path: str, body: Any = None, timeout: float = 60) -> Any:
        token = self.state.token_file.read_text().strip()
        return requests.request(
            method,
            f"{URL}{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout,
        )

    def create(self, name: str) -> Any:
        return self.call("POST", "/api/v1/servers", {"name": name})

    def power(self, name: str, action: str) -> Any:
        return self.call("POST", "/api/v1/servers/power", {"action": action, "server": name})

    def ssh(self, port: int, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "ssh", *ssh_options(self.state), "-o", "BatchMode=yes", "-F", "none",
                "-p", str(port), "root@127.0.0.1", *command,
            ],
            capture_output=True, text=True, timeout=20,
        )  # fmt: skip

    def ansible(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "CLUSTEROPS_ENDPOINT_FILE": str(self.state.endpoint_file),
            "ANSIBLE_NOCOLOR": "1",
        }
        program = Path(sys.executable).parent / command[0]
        return subprocess.run(
            [str(program), "-i", str(ROOT / "inventory/cluster.server_manager.yml"), *command[1:]],
            capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment,
        )  # fmt: skip


@pytest.fixture(scope="module")
def images(engine: Any, image: str) -> Iterator[None]:
    tags = [image_tag(CLUSTER, f"node-{role}") for role in ("agent", "control")]
    for tag in tags:
        engine.images.get(image).tag(*tag.split(":"))
    yield
    for tag in tags:
        engine.images.remove(tag, noprune=True)


@pytest.fixture(scope="module")
def manager(
    engine: Any, images: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Manager]:
    sweep(engine, CLUSTER)
    manager = Manager(tmp_path_factory.mktemp("cluster"))
    manager.file.write_text(CONFIG)
    manager.start()
    yield manager
    if manager.process and manager.process.poll() is None:
        manager.end(signal.SIGKILL)
    sweep(engine, CLUSTER)
    assert left_over(engine, CLUSTER) == []


def wait_for(check: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.2)


def test_what_it_leaves_for_its_clients(manager: Manager) -> None:
    endpoint = json.loads(manager.state.endpoint_file.read_text())
    assert endpoint["url"] == URL
    assert manager.process
    assert int(manager.state.pid_file.read_text()) == manager.process.pid
    for private in (manager.state.token_file, manager.state.endpoint_file):
        assert private.stat().st_mode & 0o077 == 0


def test_machines_can_reach_it_and_strangers_cannot(manager: Manager) -> None:
    cluster = manager.call("GET", "/api/v1/cluster").json()
    url = cluster["server_manager_url"]
    assert url == f"https://{cluster['host_address']}:23300"
    authority = str(manager.state.tls_authority)
    assert requests.get(f"{url}/", timeout=5, verify=authority).status_code == 200
    plain = requests.get(f"{url.replace('https', 'http')}/", timeout=5)
    assert plain.status_code == 400, "tokens do not cross the network in the clear"
    assert "https" in plain.json()["error"]
    assert requests.get(f"{URL}/api/v1/servers", timeout=5).status_code == 401
    addresses = {entry.split(":")[0] for entry in listening(23300)}
    assert addresses == {"127.0.0.1", cluster["host_address"]}


def listening(port: int) -> list[str]:
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        address, hexport = local.split(":")
        if state == "0A" and int(hexport, 16) == port:
            found.append(f"{socket.inet_ntoa(bytes.fromhex(address)[::-1])}:{port}")
    return found


def test_machines_made_side_by_side_answer_ssh(manager: Manager) -> None:
    names = ["agent-1", "agent-2", "agent-3"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(manager.create, names * 2))
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [201] * 3
        assert [answer.status_code for answer in pool.map(manager.power, names, ["on"] * 3)] == [
            200
        ] * 3
    servers = manager.call("GET", "/api/v1/servers").json()["servers"]
    assert [(server["name"], server["state"]) for server in servers] == [
        (name, "running") for name in names
    ]
    for server in servers:
        port = server["ports"]["ssh"]
        wait_for(lambda port=port: manager.ssh(port, "true").returncode == 0)  # type: ignore[misc]
        answer = manager.ssh(port, "hostname; hostname -I")
        assert answer.stdout.split() == [server["name"], server["address"]], answer.stderr


def test_a_machine_keeps_its_address_over_a_restart(manager: Manager) -> None:
    before = manager.call("GET", "/api/v1/servers/agent-1").json()
    assert manager.power("agent-1", "off").json() == {
        "status": "Server 'agent-1' turned off successfully."
    }
    assert manager.power("agent-1", "off").json() == {"status": "Server 'agent-1' was already off."}
    assert manager.power("agent-1", "on").status_code == 200
    after = manager.call("GET", "/api/v1/servers/agent-1").json()
    assert after == before
    wait_for(lambda: manager.ssh(before["ports"]["ssh"], "true").returncode == 0)
    answer = manager.ssh(before["ports"]["ssh"], "hostname -I")
    assert answer.stdout.split() == [before["address"]]


def test_another_host_key_is_refused(manager: Manager, engine: Any) -> None:
    container = engine.containers.get(f"{CLUSTER}-agent-2")
    script = (
        "rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' "
        "-f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh"
    )
    assert container.exec_run(["sh", "-c", script]).exit_code == 0
    answer = manager.ssh(23312, "true")
    assert answer.returncode == 255
    assert "Host key verification failed" in answer.stderr


def test_ansible_finds_and_reaches_the_machines(manager: Manager) -> None:
    listed = manager.ansible("ansible-inventory", "--list")
    assert listed.returncode == 0, listed.stderr
    inventory = json.loads(listed.stdout)
    assert inventory["agents"]["hosts"] == ["agent-1", "agent-2", "agent-3"]
    host = inventory["_meta"]["hostvars"]["agent-1"]
    assert host["cluster_provider_in_use"] == "docker"
    assert host["port_server_manager"] == 23300
    assert host["node_ports"] == {"ssh": 23311, "app": 23331, "metrics": 23351}
    pinged = manager.ansible("ansible", "agent-1", "-m", "ansible.builtin.ping")
    assert pinged.returncode == 0, pinged.stdout + pinged.stderr


def test_the_module_is_idempotent(manager: Manager) -> None:
    def server(state: str, *more: str) -> dict[str, Any]:
        arguments = {
            "name": "agent-3",
            "state": state,
            "api_url": URL,
            "api_token_file": str(manager.state.token_file),
        }
        result = manager.ansible(
            "ansible", "localhost", "-c", "local", "-e",
            f"ansible_python_interpreter={sys.executable}", "-m", "clusterops.playground.server",
            "-a", json.dumps(arguments), "-o", *more,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        answer: dict[str, Any] = json.loads(result.stdout.split("=>", 1)[1])
        return answer

    checked = server("absent", "--check")
    assert checked["changed"] is True
    assert checked["server"] == {"name": "agent-3", "state": "absent"}
    assert server("absent")["changed"] is True, "check mode changed nothing"
    assert server("absent")["changed"] is False
    made = server("started")
    assert (made["changed"], made["server"]["state"]) == (True, "running")
    assert server("started")["changed"] is False


def test_a_second_one_is_refused(manager: Manager) -> None:
    second = subprocess.run(manager.command(), capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "is already running (pid" in second.stderr


def test_a_busy_port_is_one_clear_line(manager: Manager, tmp_path: Path, engine: Any) -> None:
    other = Manager(tmp_path)
    other.file.write_text("cluster_name: smtest-other\nport_server_manager: 23300\n")
    try:
        result = subprocess.run(other.command(), capture_output=True, text=True, timeout=20)
    finally:
        sweep(engine, "smtest-other")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "port 23300 on 127.0.0.1" in result.stderr
    assert "port_server_manager" in result.stderr


def test_a_wrong_cluster_file_is_bad_usage(tmp_path: Path) -> None:
    wrong = Manager(tmp_path)
    wrong.file.write_text("agents_mx: 3\n")
    result = subprocess.run(wrong.command(), capture_output=True, text=True, timeout=20)
    assert result.returncode == 2
    assert "did you mean 'agents_max'" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_engine_that_does_not_answer(manager: Manager, tmp_path: Path) -> None:
    lost = Manager(tmp_path)
    lost.file.write_text("cluster_provider: auto\n")
    result = subprocess.run(
        lost.command(),
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/no.sock"},
    )
    assert result.returncode == 1
    assert "no container engine answers" in result.stderr
    assert "Traceback" not in result.stderr


def test_edits_of_cluster_yml_are_followed(manager: Manager) -> None:
    manager.file.write_text(CONFIG.replace("agents_max: 3", "agents_max: 2"))
    config = manager.call("GET", "/api/v1/cluster").json()["config"]
    assert config["agents_max"] == 2
    assert manager.power("agent-3", "on").status_code == 404
    manager.file.write_text(CONFIG)


def test_killed_while_it_creates_it_loses_nothing(manager: Manager, engine: Any) -> None:
    manager.call("DELETE", "/api/v1/servers/agent-2")
    manager.call("DELETE", "/api/v1/servers/agent-3")
    for delay in (0.02, 0.08, 0.16):
        with ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(manager.create, name) for name in ("agent-2", "agent-3")]
            time.sleep(delay)
            manager.end(signal.SIGKILL)
            for call in calls:
                with suppress(requests.ConnectionError):
                    call.result()
        manager.start()
        assert manager.call("GET", "/api/v1/servers/agent-1").json()["state"] == "running"
        for name in ("agent-2", "agent-3"):
            assert manager.create(name).status_code in (200, 201)
        assert engine.containers.list(all=True, filters={"name": f"{CLUSTER}.*unfinished"}) == []
        if delay < 0.16:
            for name in ("agent-2", "agent-3"):
                assert manager.call("DELETE", f"/api/v1/servers/{name}").status_code == 200
    assert manager.power("agent-2", "on").status_code == 200
    wait_for(lambda: manager.ssh(23312, "true").returncode == 0)


def test_the_token_is_in_no_log(manager: Manager) -> None:
    log, audit = manager.log(), manager.state.audit_file.read_text()
    assert manager.state.token_file.read_text().strip() not in log + audit
    assert "Traceback" not in log
    entries = [json.loads(line) for line in audit.splitlines()]
    assert any(
        (entry["who"], entry["action"], entry["server"]) == ("admin", "turn on", "agent-1")
        for entry in entries
        if "action" in entry
    )


def test_it_stops_gracefully_and_ansible_says_so(manager: Manager) -> None:
    assert manager.end(signal.SIGTERM) == 0
    assert not manager.state.pid_file.exists()
    answer = manager.ansible("ansible-inventory", "--graph")
    assert answer.returncode != 0
    assert "does not answer" in answer.stderr
    assert "./playground up" in answer.stderr
    assert "Traceback" not in answer.stderr
