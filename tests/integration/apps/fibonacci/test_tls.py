# SPDX-License-Identifier: GPL-3.0-or-later
"""With databases that prove who they are, and with ones that cannot."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

pytestmark = pytest.mark.integration

ROOT = "/api/v1/fibonacci"


def _ready(process: Any, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.request("GET", "/ready")[0] == 200:
            return True
        time.sleep(0.05)
    return False


def test_everything_works_over_tls(start: Any, encrypted: Any) -> None:
    environment = encrypted.environment()
    assert start("migrate", "up", **environment).popen.wait(timeout=20) == 0
    api = start("api", **environment)
    start("worker", **environment)
    assert _ready(api)
    assert api.request("POST", f"{ROOT}/calculate/30") == (200, {"working": True})
    deadline = time.monotonic() + 10
    while api.request("GET", f"{ROOT}/calculated/30")[1] != {"calculated_value": "832040"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert api.request("GET", f"{ROOT}/most-requested")[0] == 200
    with psycopg.connect(environment["POSTGRES_URL"]) as connection:
        used = connection.execute(
            "SELECT bool_and(ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE application_name = 'fibonacci-api'"
        ).fetchone()
    assert used is not None and used[0] is True and used[1] >= 1


@pytest.mark.parametrize("wrong", ["authority", "host"])
def test_a_database_that_is_another_is_not_believed(start: Any, encrypted: Any, wrong: str) -> None:
    """The same servers, but nobody vouches that they are who was meant."""
    changes = (
        {"authority": encrypted.other_authority}
        if wrong == "authority"
        else {"host": "localhost"}  # the certificate is for 127.0.0.1 alone
    )
    bad, good = encrypted.environment(**changes), encrypted.environment()
    for name in ("POSTGRES_URL", "REDIS_URL"):
        api = start("api", **{**good, name: bad[name]})
        assert not _ready(api, 2.5), f"{name} was believed"
        assert "certificate" in api.output.lower()
    assert start("migrate", "up", **bad).popen.wait(timeout=20) != 0


def test_without_tls_they_answer_nothing(encrypted: Any) -> None:
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(f"{encrypted.postgres.url}/postgres", sslmode="disable")
    with pytest.raises(redis.RedisError):
        redis.Redis.from_url(encrypted.redis.url, socket_timeout=2).ping()


def test_an_authority_that_is_not_there_is_told(start: Any, encrypted: Any, tmp_path: Path) -> None:
    process = start("migrate", "up", **encrypted.environment(authority=tmp_path / "no.crt"))
    assert process.popen.wait(timeout=20) != 0
    assert "no.crt" in process.output
