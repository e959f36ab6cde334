# SPDX-License-Identifier: GPL-3.0-or-later
"""What every node has."""

from __future__ import annotations

from testinfra.host import Host

OWN_AUTHORITIES = "find /usr/local/share/ca-certificates -name 'clusterops-*'"


def _journal(host: Host) -> str:
    return str(host.check_output("systemd-analyze cat-config systemd/journald.conf"))


def test_the_journal_survives_a_restart_and_is_limited(host: Host, other: Host) -> None:
    assert "SystemMaxUse=64M" in _journal(host)
    assert "SystemMaxUse=48M" in _journal(other)
    assert host.run("journalctl --header --directory /var/log/journal").rc == 0


def test_the_additional_certificate_authority_is_trusted(host: Host) -> None:
    certificate = "/usr/local/share/ca-certificates/clusterops-ca.crt"
    assert host.file(certificate).mode == 0o644
    # -no-CAfile: only the folder that update-ca-certificates maintains counts.
    verify = f"openssl verify -no-CAfile -CApath /etc/ssl/certs {certificate}"
    assert host.check_output(verify) == f"{certificate}: OK"


def test_without_a_folder_of_authorities_nothing_more_is_trusted(other: Host) -> None:
    assert other.check_output(OWN_AUTHORITIES) == ""


def test_the_clusters_authority_is_kept_for_everybody_but_not_trusted_by_everything(
    host: Host,
) -> None:
    file = host.file("/etc/clusterops/ca.crt")
    assert (file.user, file.mode) == ("root", 0o644)
    assert file.content_string.startswith("-----BEGIN CERTIFICATE-----\nThe role")
    assert "The role" not in host.file("/etc/ssl/certs/ca-certificates.crt").content_string


def test_the_authority_is_kept_where_it_is_said_to_be(other: Host) -> None:
    assert "Another one" in other.file("/etc/others/authority.pem").content_string
    assert not other.file("/etc/clusterops/ca.crt").exists


def test_packages_are_those_that_are_named(host: Host, other: Host) -> None:
    assert host.run("tree --version").rc == 127
    assert other.run("tree --version").rc == 0


def test_no_key_reaches_the_node(host: Host) -> None:
    assert host.check_output("find /usr/local/share/ca-certificates -name '*.key'") == ""


def test_nothing_failed(host: Host) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
