# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL and Redis, as an application on another node sees them."""

from __future__ import annotations

import shlex

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

REDIS_DEFAULT = ("default", "redis-secret")
REDIS_FIRST = ("first-app", "first-redis-secret")
AUTHORITY = "/etc/clusterops/ca.crt"
SECOND_PASSWORD = 'it\'s "quoted" \\ %s'

TLS = f"--tls --cacert {AUTHORITY}"


def _address(host: Host) -> str:
    return str(host.interface("eth0").addresses[0])


def _sql(
    host: Host, user: str, password: str, database: str, statement: str, mode: str = "verify-full"
) -> CommandResult:
    # By name: before 15, libpq does not look for addresses in a certificate.
    connection = f"-h control-1 -U {user} -d {database}"
    return host.run(
        f"PGPASSWORD={shlex.quote(password)} PGCONNECT_TIMEOUT=5 PGSSLMODE={mode} "
        f"PGHOSTADDR={_address(host)} "
        f"PGSSLROOTCERT={AUTHORITY} "
        f"psql -XqAtw {connection} -c {shlex.quote(statement)}"
    )


def _redis(host: Host, arguments: str, login: tuple[str, str] = REDIS_DEFAULT) -> str:
    user, password = login
    client = f"redis-cli {TLS} -h {_address(host)} --user {user} --no-auth-warning"
    return str(host.check_output(f"REDISCLI_AUTH={password} {client} {arguments}"))


VERSIONS = {"debian-12": "15", "debian-13": "17", "ubuntu-22.04": "14", "ubuntu-24.04": "16"}


def test_both_run_now_and_after_a_restart_of_the_node(host: Host, system: str) -> None:
    for service in (f"postgresql@{VERSIONS[system]}-main", "redis-server"):
        assert host.service(service).is_running
        assert host.service(service).is_enabled


@pytest.mark.parametrize(
    ("user", "password"), [("first-app", "first-secret"), ("second", SECOND_PASSWORD)]
)
def test_an_application_uses_its_database(host: Host, user: str, password: str) -> None:
    created = _sql(
        host, user, password, user, "CREATE TABLE IF NOT EXISTS t (v text); SHOW server_encoding"
    )
    assert (created.rc, created.stdout.strip()) == (0, "UTF8")


def test_a_wrong_password_is_refused(host: Host) -> None:
    assert (
        "password authentication failed"
        in _sql(host, "first-app", "wrong", "first-app", "SELECT 1").stderr
    )


@pytest.mark.parametrize("database", ["second", "postgres"])
def test_an_application_cannot_enter_another_database(host: Host, database: str) -> None:
    refused = _sql(host, "first-app", "first-secret", database, "SELECT 1")
    assert "no pg_hba.conf entry" in refused.stderr


def test_the_superuser_cannot_log_in_over_the_network(host: Host) -> None:
    # "sameuser" lets it try its own database; it has no password to succeed with.
    assert _sql(host, "postgres", "postgres", "postgres", "SELECT 1").rc != 0


def test_passwords_are_scram(host: Host) -> None:
    stored = host.check_output(
        "runuser -u postgres -- psql -XqAtc "
        "\"SELECT rolpassword FROM pg_authid WHERE rolname = 'first-app'\""
    )
    assert stored.startswith("SCRAM-SHA-256$")


def test_limits_of_postgres(host: Host) -> None:
    for setting, value in (("max_connections", "200"), ("shared_buffers", "64MB")):
        shown = _sql(host, "second", SECOND_PASSWORD, "second", f"SHOW {setting}")
        assert shown.stdout.strip() == value


def test_nothing_listens_elsewhere(host: Host) -> None:
    address = _address(host)
    listening = {
        socket
        for port in (5432, 6379)
        for socket in host.check_output(
            f"ss --no-header --listening --tcp --numeric sport = :{port} | awk '{{print $4}}'"
        ).split()
    }
    assert listening == {f"{a}:{p}" for a in ("127.0.0.1", address) for p in (5432, 6379)}


def test_redis_asks_for_a_password(host: Host) -> None:
    assert "NOAUTH" in host.run(f"redis-cli {TLS} -h {_address(host)} ping").stdout
    assert _redis(host, "ping") == "PONG"
    assert _redis(host, "ping", REDIS_FIRST) == "PONG"


def test_redis_speaks_tls_alone_and_says_who_it_is(host: Host) -> None:
    address = _address(host)
    assert (
        "Connection reset"
        in host.run(f"redis-cli -h {address} ping").stderr
        + host.run(f"redis-cli -h {address} ping").stdout
    )
    other = f"--tls --cacert /etc/ssl/certs/ca-certificates.crt -h {address}"
    assert "certificate verify failed" in host.run(f"redis-cli {other} ping").stderr


def test_postgres_takes_no_login_over_the_network_without_tls(host: Host) -> None:
    refused = _sql(host, "second", SECOND_PASSWORD, "second", "SELECT 1", mode="disable")
    assert "no encryption" in refused.stderr
    version = _sql(
        host, "second", SECOND_PASSWORD, "second",
        "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    )  # fmt: skip
    assert version.stdout.strip() == "TLSv1.3"


def test_the_key_belongs_to_who_uses_it_alone(host: Host, system: str) -> None:
    postgres = f"/etc/postgresql/{VERSIONS[system]}/main/tls.pem"
    for file, user in ((postgres, "postgres"), ("/etc/redis/tls.pem", "redis")):
        assert (host.file(file).user, host.file(file).mode) == (user, 0o600)


def test_an_application_cannot_change_redis(host: Host) -> None:
    answer = _redis(host, "config set maxmemory 0", REDIS_FIRST)
    assert "NOPERM" in answer


def test_redis_refuses_rather_than_evicts(host: Host) -> None:
    assert _redis(host, "config get maxmemory-policy").split()[-1] == "noeviction"
    assert _redis(host, "config get maxmemory").split()[-1] == str(64 * 1024 * 1024)


def test_redis_loses_nothing_when_killed(host: Host) -> None:
    assert _redis(host, "set kept yes") == "OK"
    host.check_output("systemctl kill --signal KILL redis-server")
    ping = f"redis-cli {TLS} ping 2>&1 | grep -q NOAUTH"
    host.check_output(f"for i in $(seq 50); do {ping} && break; sleep 0.1; done")
    assert _redis(host, "get kept") == "yes"


def test_no_password_is_kept_in_clear(host: Host) -> None:
    assert host.run("grep -rE 'redis-secret|first-secret' /etc /var/log").rc == 1
    assert host.run("journalctl --no-pager | grep -E 'redis-secret|first-secret'").rc == 1


def test_configuration_is_not_readable_by_everybody(host: Host, system: str) -> None:
    assert host.file("/etc/redis/redis.conf").mode == 0o640
    assert host.file(f"/etc/postgresql/{VERSIONS[system]}/main/pg_hba.conf").mode == 0o640


def test_other_ports_without_tls_for_the_node_alone(other: Host) -> None:
    listening = other.check_output("ss --no-header --listening --tcp --numeric | awk '{print $4}'")
    places = {
        place for place in listening.split() if place.endswith((":5433", ":6380", ":5432", ":6379"))
    }
    assert places == {"127.0.0.1:5433", "127.0.0.1:6380"}
    sql = "PGPASSWORD=shop-secret psql -XqAtw -h 127.0.0.1 -p 5433 -U shop -d shop -c 'SHOW {}'"
    assert other.check_output(sql.format("max_connections")) == "40"
    assert other.check_output(sql.format("shared_buffers")) == "32MB"
    assert other.check_output(sql.format("ssl")) == "off"


def test_other_limits_and_password_of_redis(other: Host, system: str) -> None:
    redis = "REDISCLI_AUTH={} redis-cli -p 6380 --no-auth-warning {}"
    ask = redis.format("another-secret", "config get {}")
    assert other.check_output(ask.format("databases")).split()[-1] == "8"
    assert other.check_output(ask.format("maxmemory")).split()[-1] == str(128 * 1024 * 1024)
    refused = other.run(redis.format("redis-secret", "ping"))
    assert "PONG" not in refused.stdout
    # The redis-cli of Ubuntu 22.04 does not pass the server's reason on.
    assert ("AUTH failed" if system == "ubuntu-22.04" else "WRONGPASS") in refused.stderr
    assert "NOAUTH" in other.run("redis-cli -p 6380 ping").stdout
