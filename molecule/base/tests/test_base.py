# SPDX-License-Identifier: GPL-3.0-or-later
"""What every node has."""

from __future__ import annotations

from testinfra.host import Host


def test_the_journal_survives_a_restart_and_is_limited(host: Host) -> None:
    configuration = host.check_output("systemd-analyze cat-config systemd/journald.conf")
    assert "SystemMaxUse=48M" in configuration
    assert host.run("journalctl --header --directory /var/log/journal").rc == 0


def test_the_additional_certificate_authority_is_trusted(host: Host) -> None:
    certificate = "/usr/local/share/ca-certificates/clusterops-ca.crt"
    assert host.file(certificate).mode == 0o644
    # -no-CAfile: only the folder that update-ca-certificates maintains counts.
    verify = f"openssl verify -no-CAfile -CApath /etc/ssl/certs {certificate}"
    assert host.check_output(verify) == f"{certificate}: OK"


def test_the_clusters_authority_is_kept_for_everybody_but_not_trusted_by_everything(
    host: Host,
) -> None:
    file = host.file("/etc/clusterops/ca.crt")
    assert (file.user, file.mode) == ("root", 0o644)
    assert file.content_string.startswith("-----BEGIN CERTIFICATE-----\nThe role")
    assert "The role" not in host.file("/etc/ssl/certs/ca-certificates.crt").content_string


def test_no_key_reaches_the_node(host: Host) -> None:
    assert host.check_output("find /usr/local/share/ca-certificates -name '*.key'") == ""


def test_nothing_failed(host: Host) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
