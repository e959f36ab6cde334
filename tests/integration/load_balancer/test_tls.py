# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS and HTTP/2, with a certificate of a cluster's own authority."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterops.cluster_ca import issue
from clusterops.state import State

from .conftest import Machine, Playbooks

pytestmark = pytest.mark.integration

CURL = "curl -sS -m 20 --cacert /tmp/authority.crt --connect-to lb.example:443:127.0.0.1:443"
URL = "https://lb.example/seen"


@pytest.fixture
def secured(lb: Machine, playbooks: Playbooks, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The variables of a load balancer with TLS, applied."""
    issued = issue(State.beside(tmp_path / "cluster.yml"), "lb", ["lb.example", "127.0.0.1"])
    variables = {
        "load_balancer_tls_port": 443,
        "load_balancer_tls_certificate": str(issued.certificate),
        "load_balancer_tls_key": str(issued.key),
        "load_balancer_tls_redirect": True,
        "load_balancer_tls_public_port": 8443,
        "load_balancer_tls_hsts_s": 3600,
    }
    result = playbooks.role(**variables)
    assert result["stats"]["failures"] == 0, result["tasks"]
    text = issued.authority.read_text()
    lb.sh(f"cat > /tmp/authority.crt <<'EOF'\n{text}\nEOF")
    yield variables
    assert playbooks.role()["stats"]["failures"] == 0


def test_tls(lb: Machine, playbooks: Playbooks, secured: dict[str, Any]) -> None:
    lb.put(one="127.0.0.1:7001")
    # HTTP/2 with a certificate that a client believes; what the application sees says https.
    answer = lb.sh(f"{CURL} --http2 -w '\\n%{{http_version}}' {URL} -H 'X-Forwarded-Proto: http'")
    body, version = answer.rsplit("\n", 1)
    assert version == "2"
    seen = json.loads(body)["headers"]
    assert (seen["x-forwarded-proto"], seen["x-forwarded-port"]) == ("https", "443")
    assert seen["host"] == "lb.example"
    head = lb.sh(f"{CURL} --http1.1 -o /dev/null -D - {URL}")
    assert head.startswith("HTTP/1.1 200")
    assert "Strict-Transport-Security: max-age=3600" in head
    # A body that streams, over HTTP/2.
    upload = lb.sh(f"head -c 5000000 /dev/zero | {CURL} --http2 --data-binary @- '{URL}?h2'")
    assert json.loads(upload)["size"] == 5_000_000
    # Nothing older than TLS 1.2, and no session from a ticket.
    for option, works in (("--tls-max 1.1 --tlsv1.0", False), ("--tls-max 1.2", True)):
        command = f"{CURL} {option} --ciphers DEFAULT@SECLEVEL=0 -o /dev/null {URL} && echo fine"
        assert ("fine" in lb.sh(command, check=False)) == works, option
    # Without TLS: sent to it, method and path unchanged. The status is still there.
    plain = lb.sh("curl -s -o /dev/null -D - -X POST -H 'Host: lb.example:8080' 127.0.0.1/a?b=c")
    assert plain.startswith("HTTP/1.1 308")
    assert "Location: https://lb.example:8443/a?b=c" in plain
    assert "Strict-Transport-Security" not in plain
    assert "one" in lb.status()
    # The key is root's alone, and a second run changes nothing.
    assert lb.sh("stat -c '%U %a' /etc/nginx/clusterops/*").split() == ["root", "600"] * 2
    assert playbooks.role(**secured)["stats"]["changed"] == 0


def test_a_new_certificate_is_taken_over(
    lb: Machine, playbooks: Playbooks, secured: dict[str, Any], tmp_path: Path
) -> None:
    lb.put(one="127.0.0.1:7001")
    show = "curl -sk -o /dev/null -w '%{certs}' https://127.0.0.1/ | grep -i 'Serial Number'"
    before = lb.sh(show)
    issued = issue(State.beside(tmp_path / "cluster.yml"), "lb", ["lb.example", "10.0.0.1"])
    assert issued.changed
    assert playbooks.role(**secured)["stats"]["failures"] == 0
    assert lb.sh(show) != before


def test_a_port_without_a_certificate_is_refused(lb: Machine, playbooks: Playbooks) -> None:
    result = playbooks.role(load_balancer_tls_port=443)
    assert result["stats"]["failures"] == 1
    said = [task["msg"] for task in result["tasks"].values() if task.get("failed")]
    assert "load_balancer_tls_certificate and load_balancer_tls_key must name" in str(said)
    assert lb.admin("GET", "/health")[0] == 200
