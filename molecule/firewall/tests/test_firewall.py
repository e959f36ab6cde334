# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets in: the host (the network's gateway), and a neighbour on the same network."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest
from testinfra.host import Host

OPEN, FOR_THE_HOST, FOR_NOBODY, FROM_OUTSIDE, FOR_THE_END, PUBLISHED = (
    7001,
    7002,
    7003,
    7004,
    7005,
    7080,
)
LISTENING = (OPEN, FOR_THE_HOST, FOR_NOBODY, FROM_OUTSIDE, FOR_THE_END)
ANSWER_WITHIN_S = 2

IMAGE = """
set -eu
rm -rf /tmp/web && mkdir -p /tmp/web/bin /tmp/web/www && cp /bin/busybox /tmp/web/bin/
tar -C /tmp/web -c . | docker import - web >/dev/null
docker rm -f web >/dev/null 2>&1 || true
docker run -d --name web -p %d:80 web /bin/busybox httpd -f -p 80 -h /www
"""
LISTENER = """
import socket, time
listening = [socket.create_server(('', port)) for port in {ports}]
time.sleep(600)
"""
CLIENT = """
import socket, sys
for port in {ports}:
    try:
        socket.create_connection(('{address}', port), {seconds}).close()
        print(port)
    except OSError:
        pass
"""
ECHO = """
import socket
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
echo.settimeout(3)
echo.sendto(bytes([8, 0, 0, 0, 0, 0, 0, 1]), ('{address}', 0))
echo.recv(64)
print('answered')
"""


def _address(host: Host) -> str:
    return str(host.interface("eth0").addresses[0])


@pytest.fixture(scope="module")
def node(host: Host) -> Iterator[Host]:
    """The node, with something that listens on every port, and a container that publishes one."""
    host.check_output(IMAGE % PUBLISHED)
    host.check_output(
        "systemd-run --quiet --unit listener --collect /usr/bin/python3 -c "
        f'"{LISTENER.format(ports=LISTENING)}"'
    )
    yield host
    host.run("systemctl stop listener; docker rm -f web")


def _from_the_host(node: Host, source: str = "") -> set[int]:
    """What the host reaches, as the network's gateway or with another of its addresses."""
    reached = set()
    for port in (*LISTENING, PUBLISHED):
        try:
            server, own = (_address(node), port), (source, 0)
            socket.create_connection(server, ANSWER_WITHIN_S, own).close()
            reached.add(port)
        except OSError:
            continue
    return reached


def _on_a_neighbour(host: Host, program: str) -> str:
    """What a Python program prints on another machine of the network, made from the same image."""
    shown = ["docker", "inspect", "--format", "{{.Config.Image}}", host.backend.name]
    image = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()
    return subprocess.run(
        ["docker", "run", "--rm", "--label", "owner=molecule", image, "python3", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


def _from_a_neighbour(node: Host) -> set[int]:
    client = CLIENT.format(
        ports=(*LISTENING, PUBLISHED), address=_address(node), seconds=ANSWER_WITHIN_S
    )
    return {int(port) for port in _on_a_neighbour(node, client).split()}


def _gets_to(node: Host, runner: str, address: str, port: int) -> bool:
    """Whether the node ("… bash -c") or a container of it can connect."""
    if runner.endswith("bash -c"):
        return bool(node.run(f"{runner} '</dev/tcp/{address}/{port}'").rc == 0)
    connect = f"/bin/busybox nc -w 3 {address} {port} -e /bin/busybox true"
    return bool(node.run(f"{runner} {connect}").rc == 0)


def test_the_host_gets_to_what_is_for_it(node: Host) -> None:
    assert _from_the_host(node) == {OPEN, FOR_THE_HOST, PUBLISHED}


def test_an_address_outside_the_network_gets_to_what_is_for_those(node: Host) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unconnected:
        unconnected.connect(("192.0.2.1", 9))  # sends nothing; names the host's own address
        source = unconnected.getsockname()[0]
    assert _from_the_host(node, source) == {OPEN, FROM_OUTSIDE}


def test_a_neighbour_gets_to_what_is_open_and_to_no_published_port(node: Host) -> None:
    assert _from_a_neighbour(node) == {OPEN}


def test_without_the_filter_a_neighbour_gets_everywhere(node: Host) -> None:
    """That the ports listen, and that it is the filter that refuses."""
    node.check_output("systemctl stop clusterops-firewall")
    try:
        assert _from_a_neighbour(node) == {*LISTENING, PUBLISHED}
    finally:
        node.check_output("systemctl start clusterops-firewall")
    assert _from_a_neighbour(node) == {OPEN}


def test_the_node_and_its_containers_get_out_and_to_each_other(node: Host) -> None:
    gateway = node.check_output("ip -4 route show default").split()[2]
    server = socket.create_server((gateway, 0))
    with server:
        port = server.getsockname()[1]
        assert _gets_to(node, "timeout 3 bash -c", gateway, port)
        assert _gets_to(node, "docker run --rm web", gateway, port)
    assert _gets_to(node, "docker run --rm web", _address(node), FOR_NOBODY)
    assert _gets_to(node, "timeout 3 bash -c", "127.0.0.1", PUBLISHED)


def test_a_restarted_engine_changes_nothing(node: Host) -> None:
    node.check_output("systemctl restart docker && docker start web")
    assert _from_the_host(node) == {OPEN, FOR_THE_HOST, PUBLISHED}
    assert _from_a_neighbour(node) == {OPEN}


def test_a_reload_keeps_the_engines_tables(node: Host) -> None:
    before = node.check_output("nft list tables")
    node.check_output("systemctl reload clusterops-firewall")
    assert sorted(node.check_output("nft list tables").split("\n")) == sorted(before.split("\n"))
    assert "ip nat" in before


def test_an_echo_is_answered(node: Host) -> None:
    assert "answered" in _on_a_neighbour(node, ECHO.format(address=_address(node)))


def test_it_is_loaded_before_the_network_at_every_boot(host: Host) -> None:
    assert host.service("clusterops-firewall").is_enabled
    shown = host.check_output("systemctl show -p Before --value clusterops-firewall")
    assert "network-pre.target" in shown.split()


def test_rules_that_are_wrong_are_not_taken(host: Host) -> None:
    rules = "table inet clusterops { chain x { tcp dport nowhere accept; }; }"
    host.check_output(f"echo '{rules}' >/tmp/wrong.nft")
    assert host.run("nft -c -f /tmp/wrong.nft").rc != 0
    assert host.run("nft list table inet clusterops").rc == 0


def test_its_service_may_do_little(host: Host) -> None:
    said = host.check_output("systemd-analyze security --no-pager clusterops-firewall | tail -n 1")
    assert float(said.split(":")[1].split()[0]) <= 2.5


def test_switched_off_it_leaves_nothing_behind(other: Host) -> None:
    """The node had a filter that let nothing in, before the role was applied without one."""
    assert other.run("nft list table inet clusterops").rc != 0
    assert other.run("systemctl cat clusterops-firewall").rc != 0
    with socket.create_connection((_address(other), 22), ANSWER_WITHIN_S) as connection:
        assert connection.recv(3) == b"SSH"
