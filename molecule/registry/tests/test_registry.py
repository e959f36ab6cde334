# SPDX-License-Identifier: GPL-3.0-or-later
"""An image registry for the nodes of a cluster."""

from __future__ import annotations

import json

from testinfra.host import Host

IMPORT = (
    "mkdir -p /tmp/tiny/bin && cp /bin/busybox /tmp/tiny/bin/ && "
    "tar -C /tmp/tiny -c . | docker import - {image}"
)

AUTHORITY = "/etc/clusterops/ca.crt"
CURL = f"curl -sS --cacert {AUTHORITY}"


def _registry(host: Host) -> str:
    return f"{host.interface('eth0').addresses[0]}:5001"


def test_it_runs_now_and_after_a_restart_of_the_node(host: Host) -> None:
    assert host.service("docker-registry").is_running
    assert host.service("docker-registry").is_enabled


def test_it_listens_on_the_given_address_only(host: Host) -> None:
    sockets = host.check_output(
        "ss --no-header --listening --tcp --numeric sport = :5001 | awk '{print $4}'"
    )
    assert sockets.split() == [_registry(host)]


def test_it_speaks_tls_alone_and_says_who_it_is(host: Host) -> None:
    registry = _registry(host)
    assert host.check_output(f"{CURL} https://{registry}/v2/") == "{}"
    assert "certificate" in host.run(f"curl -sS https://{registry}/v2/").stderr
    assert host.check_output(f"curl -sS http://{registry}/v2/").startswith("Client sent an HTTP")
    assert host.run(f"{CURL} --tls-max 1.1 https://{registry}/v2/").rc != 0
    insecure = json.loads(host.check_output("docker info --format '{{json .RegistryConfig}}'"))
    assert set(insecure["InsecureRegistryCIDRs"]) <= {"::1/128", "127.0.0.0/8"}


def test_an_engine_that_does_not_know_the_authority_refuses_it(host: Host) -> None:
    another = "/etc/ssl/certs/ca-certificates.crt"
    host.check_output(f"mv {AUTHORITY} {AUTHORITY}.away && cp {another} {AUTHORITY}")
    refused = host.run(f"docker pull {_registry(host)}/apps/tiny:1")
    host.check_output(f"mv {AUTHORITY}.away {AUTHORITY}")
    assert refused.rc != 0 and "certificate" in refused.stderr


def test_the_key_is_the_registrys_alone(host: Host) -> None:
    pem = host.file("/etc/docker/registry/tls.pem")
    assert (pem.user, pem.mode) == ("docker-registry", 0o600)


def test_an_image_is_pushed_pulled_by_digest_and_run(host: Host) -> None:
    image = f"{_registry(host)}/apps/tiny:1"
    host.check_output(IMPORT.format(image=image))
    host.check_output(f"docker push {image}")
    digest = host.check_output(f"docker inspect --format '{{{{index .RepoDigests 0}}}}' {image}")
    host.check_output(f"docker rmi {image}")
    host.check_output(f"docker pull {digest}")
    assert host.check_output(f"docker run --rm {digest} /bin/busybox echo hello") == "hello"


def test_a_manifest_can_be_deleted(host: Host) -> None:
    registry = _registry(host)
    image = f"{registry}/apps/doomed:1"
    host.check_output(IMPORT.format(image=image))
    host.check_output(f"docker push {image}")
    digest = host.check_output(
        f"docker inspect --format '{{{{index .RepoDigests 0}}}}' {image}"
    ).split("@")[1]
    url = f"https://{registry}/v2/apps/doomed/manifests/{digest}"
    assert host.check_output(f"{CURL} -o /dev/null -w '%{{http_code}}' -X DELETE {url}") == "202"
    tags = json.loads(host.check_output(f"{CURL} https://{registry}/v2/apps/doomed/tags/list"))
    assert not tags.get("tags")


def test_images_survive_a_restart(host: Host) -> None:
    host.check_output("systemctl restart docker-registry")
    catalog = host.check_output(
        f"{CURL} --retry 20 --retry-delay 1 --retry-connrefused https://{_registry(host)}/v2/_catalog"
    )
    assert "apps/tiny" in json.loads(catalog)["repositories"]


def test_another_port_and_folder_without_tls(other: Host) -> None:
    listening = other.check_output("ss -Hltnp | grep registry | awk '{print $4}'")
    assert listening.split() == ["127.0.0.1:5002"]
    image = "127.0.0.1:5002/apps/tiny:1"
    other.check_output(IMPORT.format(image=image))
    other.check_output(f"docker push {image}")
    kept = "/var/lib/docker-registry/elsewhere/docker/registry/v2/repositories/apps/tiny"
    assert other.file(kept).is_directory
