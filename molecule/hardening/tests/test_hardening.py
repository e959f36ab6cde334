# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may log in, and how; what a person finds on a node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from testinfra.host import Host

SSH = (
    "ssh -o BatchMode=yes -o UserKnownHostsFile=/root/known_hosts -o StrictHostKeyChecking=yes "
    "-o ConnectTimeout=5 -i /root/key"
)


@pytest.fixture(scope="module", autouse=True)
def authority(host: Host) -> None:
    """Only the authority is known, no key of a host."""
    host.check_output('echo "@cert-authority * $(cat /root/authority.pub)" >/root/known_hosts')


def test_a_key_opens_and_the_host_certificate_is_accepted(host: Host) -> None:
    assert host.check_output(f"{SSH} root@127.0.0.1 id -u") == "0"


def test_another_user_is_refused_even_with_a_key(host: Host) -> None:
    refused = host.run(f"{SSH} person@127.0.0.1 id -u")
    assert refused.rc == 255
    assert "Permission denied (publickey)" in refused.stderr


def test_passwords_are_not_even_asked_for(host: Host) -> None:
    """Also where a file that the machine was born with says otherwise."""
    methods = "-o PreferredAuthentications=password,keyboard-interactive -o PubkeyAuthentication=no"
    refused = host.run(f"{SSH} {methods} root@127.0.0.1 true")
    assert "Permission denied (publickey)" in refused.stderr


@pytest.mark.parametrize(
    "option", ["KexAlgorithms=ecdh-sha2-nistp256", "MACs=hmac-sha1", "Ciphers=aes256-cbc"]
)
def test_weak_algorithms_are_not_spoken(host: Host, option: str) -> None:
    more = "-o Ciphers=aes256-ctr" if option.startswith("MACs") else ""
    refused = host.run(f"{SSH} {more} -o {option} root@127.0.0.1 true")
    assert "no matching" in refused.stderr


def test_no_port_is_forwarded(host: Host) -> None:
    refused = host.run(f"{SSH} -W 127.0.0.1:22 root@127.0.0.1 </dev/null")
    assert "administratively prohibited" in refused.stderr


def test_ssh_audit_finds_nothing_that_fails(host: Host) -> None:
    address = host.interface("eth0").addresses[0]
    audit = [str(Path(sys.executable).with_name("ssh-audit")), "--level", "fail", str(address)]
    found = subprocess.run([*audit, "-n"], capture_output=True, text=True, check=False)
    assert found.returncode in (0, 2), found.stdout  # 2: warnings
    assert "[fail]" not in found.stdout


def test_many_tries_lock_nobody_out(host: Host) -> None:
    wrong = f"{SSH} -o IdentitiesOnly=yes person@127.0.0.1 true"
    host.run(f"for i in $(seq 12); do {wrong}; done")
    assert host.check_output(f"{SSH} root@127.0.0.1 id -u") == "0"


def test_the_kernels_settings_of_the_network_are_in_force(host: Host) -> None:
    for key, value in (("rp_filter", 1), ("send_redirects", 0), ("accept_redirects", 0)):
        assert host.sysctl(f"net.ipv4.conf.all.{key}") == value
    # What is the host's is not even tried.
    assert "kernel." not in host.file("/etc/sysctl.d/60-clusterops.conf").content_string


def test_no_process_dumps_core(host: Host) -> None:
    assert host.check_output(f"{SSH} root@127.0.0.1 'ulimit -H -c'") == "0"


def test_an_interactive_shell_ends_and_hides_its_files(host: Host) -> None:
    shell = host.check_output("bash -l -i -c 'echo $TMOUT $(umask)' 2>/dev/null")
    assert shell.split() == ["900", "0027"]
    assert host.check_output(f"{SSH} root@127.0.0.1 umask") == "0022"


def test_nobody_but_root_reads_what_was_there_before(host: Host) -> None:
    assert host.file("/etc/clusterops-hardening.json").mode == 0o600
    assert host.file("/etc/ssh/sshd_config.d/05-clusterops.conf").mode == 0o600


def test_nothing_failed(host: Host) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_switched_off_everything_is_as_it_was(other: Host) -> None:
    """The node was strict, before the role was applied with hardening_enabled: false."""
    other.check_output('echo "@cert-authority * $(cat /root/authority.pub)" >/root/known_hosts')
    assert other.check_output(f"{SSH} person@127.0.0.1 id -un") == "person"
    offered = other.check_output("sshd -T")
    assert "passwordauthentication yes" in offered
    assert not other.file("/etc/ssh/sshd_config.d/05-clusterops.conf").exists
    assert not other.file("/etc/clusterops-hardening.json").exists
    assert other.check_output("bash -l -i -c 'echo ${TMOUT:-never}' 2>/dev/null") == "never"
