# SPDX-License-Identifier: GPL-3.0-or-later
"""How hard the machines are to get into, measured with tools that were not made here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterops.server_manager.driver import NODE_PORTS
from tests.e2e.cluster import ROOT, Cluster, docker

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
MOST_EXPOSURE = 2.5
LEAST_INDEX = 80
SERVICES = {
    "control": (
        "clusterops-firewall", "clusterops-scaler", "docker-registry", "nginx",
        "postgresql@17-main", "prometheus", "prometheus-postgres-exporter",
        "prometheus-redis-exporter", "redis-server",
    ),
    "agent": ("clusterops-firewall", "clusterops-metrics-api"),
}  # fmt: skip
# What listens in this cluster; that more is let in than listens is no finding.
ALWAYS = {
    "control": {
        NODE_PORTS[name]
        for name in ("ssh", "load_balancer", "load_balancer_tls", "dashboard", "prometheus")
    },
    "agent": {NODE_PORTS[name] for name in ("ssh", "metrics", "app")},
}


def _rules(role: str) -> list[dict[str, Any]]:
    """What the playbooks let in: the one place where that is written."""
    text = (ROOT / "playbooks/vars/firewall.yml").read_text()
    rules: list[dict[str, Any]] = yaml.safe_load(text)[
        f"firewall_rules_{role if role == 'control' else 'agents'}"
    ]
    return rules


def let_in(role: str, who: str) -> set[int]:
    """Ports of a machine for ``host`` or for a ``neighbour`` in the same network."""
    wanted = {"host": ("any", "firewall_clients"), "neighbour": ("any",)}[who]
    ports: set[int] = set()
    for rule in _rules(role):
        if any(word in str(rule["sources"]) for word in wanted):
            ports |= {NODE_PORTS["app"]} if rule.get("published") else set(rule["ports"])
    return ports


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> list[dict[str, Any]]:
    """The machines that run."""
    return [node for node in cluster.status()["nodes"] if node["state"] == "running"]


def _scan(cluster: Cluster, nodes: list[dict[str, Any]], network: str) -> dict[str, set[int]]:
    """Open ports by name of the machine, seen from a container in a network."""
    command = [
        *("docker", "run", "--rm", "--interactive", "--network", network),
        *("--label", f"clusterops.cluster={cluster.name}"),
        *(f"clusterops/{cluster.name}-node:trixie", "python3", "-"),
    ]
    done = subprocess.run(
        [*command, *(node["address"] for node in nodes)],
        stdin=(HERE / "port_scan.py").open(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {node["name"]: set(found[node["address"]]) for node in nodes}


@pytest.mark.parametrize("who", ["neighbour", "host"])
def test_exactly_the_documented_ports_are_open(
    cluster: Cluster, nodes: list[dict[str, Any]], who: str
) -> None:
    """All 65,535 of every machine, from a neighbour on its network and from the host."""
    found = _scan(cluster, nodes, "host" if who == "host" else f"{cluster.name}-net")
    for node in nodes:
        allowed = let_in(node["role"], who)
        expected = allowed & ALWAYS[node["role"]]
        if not node["in_service"]:
            expected -= {NODE_PORTS["app"]}
        assert expected <= found[node["name"]] <= allowed, f"{node['name']}: {found[node['name']]}"


def test_ssh_audit_fails_nothing(nodes: list[dict[str, Any]]) -> None:
    program = str(Path(sys.executable).with_name("ssh-audit"))
    for node in nodes:
        done = subprocess.run(
            [program, "-n", "--level", "warn", "-p", str(node["ports"]["ssh"]), "127.0.0.1"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "key exchange" in done.stdout, f"{node['name']}: {done.stdout}{done.stderr}"
        assert "[fail]" not in done.stdout, f"{node['name']}:\n{done.stdout}"
        # Key exchanges that a quantum computer breaks: for clients that are not OpenSSH.
        warnings = [line for line in done.stdout.splitlines() if "[warn]" in line]
        assert [line for line in warnings if "post-quantum" not in line] == []


def test_services_may_do_little(cluster: Cluster, nodes: list[dict[str, Any]]) -> None:
    one_of_each = {node["role"]: node["name"] for node in reversed(nodes)}
    exposure: dict[str, float] = {}
    for role, name in one_of_each.items():
        said = cluster.on(
            name,
            f"for s in {' '.join(SERVICES[role])}; do"
            " systemctl is-active --quiet $s || echo $s is down;"
            " systemd-analyze security --no-pager $s | tail -n 1; done",
        )
        assert "is down" not in said
        for service, value in re.findall(r"level for (\S+)\.service: ([\d.]+)", said):
            exposure[f"{name} {service}"] = float(value)
    assert len(exposure) == sum(len(SERVICES[role]) for role in one_of_each)
    assert {name: value for name, value in exposure.items() if value > MOST_EXPOSURE} == {}
    print(exposure)


@pytest.fixture(scope="module")
def lynis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tar with lynis out of the distribution's package; nothing is installed."""
    folder = tmp_path_factory.mktemp("lynis")
    subprocess.run(["apt-get", "download", "lynis"], cwd=folder, check=True, capture_output=True)
    package = next(folder.glob("lynis_*.deb"))
    subprocess.run(["dpkg-deb", "--extract", package, folder / "root"], check=True)
    (folder / "root/etc/lynis/custom.prf").write_text((HERE / "lynis_container.prf").read_text())
    parts = ["etc/lynis", "usr/share/lynis", "usr/sbin/lynis"]
    subprocess.run(
        [
            "tar",
            "--owner=0",
            "--group=0",
            "-C",
            folder / "root",
            "-cf",
            folder / "lynis.tar",
            *parts,
        ],
        check=True,
    )
    yield folder / "lynis.tar"


@contextmanager
def _all_processors(container: str) -> Iterator[None]:
    """An agent has half a processor, which lynis would be busy with for more than a minute."""
    quota = docker("inspect", "--format={{.HostConfig.CpuQuota}}", container).strip()
    docker("update", "--cpu-quota=-1", container)
    try:
        yield
    finally:
        docker("update", f"--cpu-quota={quota}", container)


def _hardening_index(cluster: Cluster, node: str, lynis: Path) -> tuple[int, str]:
    """The index, and what lynis suggests."""
    container = f"{cluster.name}-{node}"
    with lynis.open("rb") as stream:
        subprocess.run(["docker", "cp", "-", f"{container}:/"], stdin=stream, check=True)
    with _all_processors(container):
        report = cluster.on(
            node,
            "lynis audit system --quick --no-colors --quiet >/dev/null 2>&1;"
            " grep -E '^(hardening_index|suggestion|warning)' /var/log/lynis-report.dat;"
            " rm -rf /etc/lynis /usr/share/lynis /usr/sbin/lynis /var/log/lynis*",
        )
    index = re.search(r"^hardening_index=(\d+)$", report, re.MULTILINE)
    assert index, report
    return int(index[1]), report


def test_lynis_is_content(cluster: Cluster, nodes: list[dict[str, Any]], lynis: Path) -> None:
    one_of_each = {node["role"]: node["name"] for node in reversed(nodes)}
    with ThreadPoolExecutor() as pool:
        measured = dict(
            zip(
                one_of_each.values(),
                pool.map(lambda name: _hardening_index(cluster, name, lynis), one_of_each.values()),
                strict=True,
            )
        )
    for name, (index, report) in measured.items():
        print(name, index)
        assert index >= LEAST_INDEX, f"{name}: {index}\n{report}"
