# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker with Compose, on a node that may itself be a container."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from testinfra.host import Host

IMPORT = (
    "rm -rf /tmp/tiny && mkdir -p /tmp/tiny/bin /tmp/tiny/www && cp /bin/busybox /tmp/tiny/bin/ && "
    "ln -s busybox /tmp/tiny/bin/sh && echo hello > /tmp/tiny/www/index.html && "
    "tar -C /tmp/tiny -c . | docker import - tiny:1"
)
COMPOSE = """
services:
  web:
    build: .
    ports: ["8099:80"]
    mem_limit: 32m
"""


@pytest.fixture(scope="module", autouse=True)
def tiny_image(host: Host) -> Iterator[None]:
    host.check_output(IMPORT)
    yield
    host.run("docker compose -p tiny -f /tmp/tiny/compose.yml down --timeout 0")
    host.run("docker rm --force tiny")


def test_the_engine_runs_now_and_after_a_restart_of_the_node(host: Host) -> None:
    assert host.service("docker").is_running
    assert host.service("docker").is_enabled


def test_the_engine_uses_its_configuration(host: Host) -> None:
    info = json.loads(host.check_output("docker info --format '{{json .}}'"))
    assert info["Driver"] == "overlay2"
    assert info["LoggingDriver"] == "json-file"
    assert "192.0.2.10:5001" in info["RegistryConfig"]["IndexConfigs"]
    assert info["DefaultAddressPools"] == [{"Base": "10.201.0.0/16", "Size": 24}]


def test_registries_prove_who_they_are_by_a_certificate_that_may_come_later(host: Host) -> None:
    for registry in ("192.0.2.11:5001", "192.0.2.12:5001"):
        link = f"/etc/docker/certs.d/{registry}/ca.crt"
        assert host.check_output(f"readlink {link}") == "/etc/clusterops/ca.crt"


def test_a_container_has_a_memory_limit_a_port_and_a_limited_log(host: Host) -> None:
    host.check_output(
        "docker run --detach --name tiny --memory 32m --publish 8098:80 tiny:1 "
        "/bin/busybox httpd -f -p 80 -h /www"
    )
    assert (
        host.check_output("curl -sS --retry 5 --retry-connrefused http://127.0.0.1:8098/")
        == "hello"
    )
    container = json.loads(host.check_output("docker inspect tiny"))[0]
    assert container["HostConfig"]["Memory"] == 32 * 1024 * 1024
    assert container["HostConfig"]["LogConfig"]["Config"]["max-size"] == "1m"


def test_the_memory_limit_is_enforced(host: Host) -> None:
    eater = "/bin/busybox dd if=/dev/zero of=/dev/null bs=64M count=1"
    eats = host.run(f"docker run --rm --memory 16m tiny:1 {eater}")
    assert eats.rc == 137


def test_compose_builds_and_publishes(host: Host) -> None:
    host.check_output(f"cat > /tmp/tiny/compose.yml <<'E'\n{COMPOSE}E")
    host.check_output(
        "printf 'FROM tiny:1\\nRUN echo built > /www/index.html\\n"
        'CMD ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www"]\\n\' > /tmp/tiny/Dockerfile'
    )
    host.check_output("docker compose -p tiny -f /tmp/tiny/compose.yml up --detach --build")
    assert (
        host.check_output("curl -sS --retry 5 --retry-connrefused http://127.0.0.1:8099/")
        == "built"
    )
    network = json.loads(host.check_output("docker network inspect tiny_default"))[0]
    assert network["IPAM"]["Config"][0]["Subnet"].startswith("10.201.")


def test_other_values(other: Host) -> None:
    info = json.loads(other.check_output("docker info --format '{{json .}}'"))
    assert info["DefaultAddressPools"] == [{"Base": "10.211.0.0/16", "Size": 24}]
    assert "10.210.0.1/24" in other.check_output("ip -4 address show docker0")
    other.check_output(IMPORT)
    other.check_output("docker run --name tiny tiny:1 /bin/busybox true")
    log = json.loads(other.check_output("docker inspect tiny"))[0]["HostConfig"]["LogConfig"]
    assert log["Config"] == {"max-size": "10m", "max-file": "5"}


def test_compose_is_there_whether_or_not_images_are_built(host: Host, other: Host) -> None:
    for node in (host, other):
        assert node.run("docker compose version").rc == 0
