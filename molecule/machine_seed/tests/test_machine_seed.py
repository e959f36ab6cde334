# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine takes over its name and keys from a disk."""

from __future__ import annotations

from testinfra.host import Host

# A container has no disk of its own: a file takes its place.
SEED = """
set -eu
rm -rf /tmp/seed && mkdir -p /tmp/seed/etc/systemd/network /tmp/seed/root/.ssh && cd /tmp/seed
: >clusterops-seed
echo agent-7 >etc/hostname
printf '[Match]\\nMACAddress=02:00:00:00:00:07\\n[Network]\\nAddress=192.0.2.7/24\\n' \
  >etc/systemd/network/10-clusterops.network
echo 'ssh-ed25519 AAAA somebody' >root/.ssh/authorized_keys
tar -cf /var/seed.tar clusterops-seed etc root
mkdir -p /run/systemd/system/machine-seed.service.d
printf '[Service]\\nEnvironment=SEED_DISKS=%s\\n' "$1" \
  >/run/systemd/system/machine-seed.service.d/disk.conf
systemctl daemon-reload
systemctl restart machine-seed
"""


def _seed(host: Host, disk: str) -> None:
    host.check_output(f"cat >/root/seed.sh <<'END'\n{SEED}\nEND\nsh /root/seed.sh {disk}")


def test_it_runs_at_every_boot_before_the_network_and_ssh(host: Host) -> None:
    assert host.service("machine-seed").is_enabled
    before = host.check_output("systemctl show -p Before --value machine-seed").split()
    assert {"network-pre.target", "ssh.service"} <= set(before)


def test_without_its_disk_it_does_nothing(other: Host) -> None:
    other.check_output("head -c 10240 /dev/urandom >/var/other.img")
    name = other.check_output("hostname")
    _seed(other, "/var/other.img")
    assert other.check_output("hostname") == name
    assert "no disk with the mark" in other.check_output("journalctl -u machine-seed --no-pager")


def test_the_machine_becomes_what_its_disk_says(host: Host) -> None:
    # Its name belongs to the container: not what the service may do, but what it runs is tried.
    _seed(host, "/var/seed.tar")
    assert host.check_output("hostname") == "agent-7"
    assert "somebody" in host.file("/root/.ssh/authorized_keys").content_string
    assert host.file("/etc/hosts").contains("agent-7")
    assert not host.file("/clusterops-seed").exists
