# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's authority: what it issues, when it issues anew, and who can read it."""

from __future__ import annotations

import json
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from clusterops import cluster_ca
from clusterops.errors import ClusterOpsError
from clusterops.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State.beside(tmp_path / "cluster.yml")


def test_a_certificate_is_for_its_names_and_is_kept(state: State) -> None:
    first = cluster_ca.issue(state, "control-1", ["10.0.0.10", "127.0.0.1"])
    second = cluster_ca.issue(state, "control-1", ["127.0.0.1", "10.0.0.10"])
    assert (first.changed, second.changed) == (True, False)
    certificate = x509.load_pem_x509_certificate(first.certificate.read_bytes())
    assert cluster_ca.names_of(certificate) == ["10.0.0.10", "127.0.0.1", "control-1"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(first.certificate, first.key)
    ssl.create_default_context(cafile=str(first.authority))


def test_other_names_and_another_authority_make_it_anew(state: State) -> None:
    first = cluster_ca.issue(state, "control-1", ["10.0.0.10"])
    assert cluster_ca.issue(state, "control-1", ["10.0.0.11"]).changed
    assert not cluster_ca.issue(state, "control-1", ["10.0.0.11"]).changed
    first.authority.unlink()
    assert cluster_ca.issue(state, "control-1", ["10.0.0.11"]).changed


def test_it_is_renewed_before_it_ends(state: State) -> None:
    issued = cluster_ca.issue(state, "control-1", [])
    certificate = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(issued.authority.read_bytes())
    now = datetime.now(UTC)
    soon = now + timedelta(days=cluster_ca.CERTIFICATE_DAYS - cluster_ca.RENEW_DAYS + 1)
    assert cluster_ca.problem_of(certificate, authority, ["control-1"], now) is None
    assert cluster_ca.problem_of(certificate, authority, ["control-1"], soon) == "it ends soon"


def test_a_key_without_its_certificate_is_replaced(state: State) -> None:
    """As after a run that was cut off between the two."""
    other = cluster_ca.issue(state, "control-2", [])
    issued = cluster_ca.issue(state, "control-1", [])
    issued.key.write_text(other.key.read_text())
    assert cluster_ca.issue(state, "control-1", []).changed
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)


def test_only_the_owner_reads_keys(state: State) -> None:
    cluster_ca.issue(state, "control-1", [])
    modes = {path.name: path.stat().st_mode & 0o777 for path in state.tls_dir.iterdir()}
    assert set(modes) == {"ca.crt", "ca.key", "control-1.crt", "control-1.key"}
    assert set(modes.values()) == {0o600}
    assert state.tls_dir.stat().st_mode & 0o777 == 0o700


def test_a_damaged_authority_is_one_line(state: State) -> None:
    cluster_ca.ensure_authority(state)
    state.tls_authority.write_text("nonsense")
    with pytest.raises(ClusterOpsError, match=r"ca\.crt: not a readable certificate"):
        cluster_ca.issue(state, "control-1", [])


def test_the_command_tells_where_it_is(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--state-dir", str(state.root), "--name", "control-1", "--address", "10.0.0.10"]
    assert cluster_ca.main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changed"] is True
    assert Path(told["key"]).read_text().startswith("-----BEGIN PRIVATE KEY-----")


def test_it_is_told_when_certificates_end(state: State) -> None:
    expiries = cluster_ca.Expiries(state)
    assert expiries() == {}
    issued = cluster_ca.issue(state, "control-1", [])
    known = expiries()
    days = {name: (ends - datetime.now(UTC).timestamp()) / 86400 for name, ends in known.items()}
    assert round(days.pop("ca")) == cluster_ca.AUTHORITY_DAYS
    assert round(days.pop("control-1")) == cluster_ca.CERTIFICATE_DAYS
    assert days == {}
    # One that cannot be read counts as one that has ended; one that is gone is gone.
    issued.certificate.write_text("damaged")
    os.utime(issued.certificate, (1, 1))
    assert expiries()["control-1"] == 0
    issued.certificate.unlink()
    assert set(expiries()) == {"ca"}
