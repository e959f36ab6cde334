# SPDX-License-Identifier: GPL-3.0-or-later
"""A private PostgreSQL, a private Redis, and the application's processes, on free ports."""

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from clusterops import cluster_ca
from clusterops.state import State

SOURCES = str(Path(__file__).parents[4] / "apps" / "fibonacci" / "src")
if SOURCES not in sys.path:
    sys.path.insert(0, SOURCES)

from fibonacci.queue import RedisQueue  # noqa: E402


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 10) -> Any:
    """Return the condition's first true value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    pytest.fail(f"not within {seconds} s: {what}")


class Service:
    """A server program in the foreground, which can be stopped and started again."""

    def __init__(self, command: list[str], port: int, log: Path, url: str) -> None:
        self._command, self._log, self.port, self.url = command, log, port, url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        self.send(number)
        assert self._process is not None
        self._process.wait(timeout=15)


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder the postgres user can reach, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="fibonacci-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _missing(program: str, package: str) -> None:
    message = f"{program} is not installed (apt-get install {package})"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _postgres(scratch: Path, name: str, **more: str) -> Service:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    if not folders:
        _missing("PostgreSQL", "postgresql")
    data, port = scratch / name, free_port()
    data.mkdir()
    prefix: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(data, "postgres", "postgres")
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    initdb = [*prefix, str(folders[-1] / "initdb"), "-D", str(data), "-U", "owner", "-A", "trust"]
    subprocess.run([*initdb, "-E", "UTF8", "-N"], check=True, stdout=subprocess.DEVNULL)
    options = {"port": port, "listen_addresses": "127.0.0.1", "fsync": "off",
               "unix_socket_directories": str(data), "shared_buffers": "16MB", **more}  # fmt: skip
    command = [*prefix, str(folders[-1] / "postgres"), "-D", str(data)]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return Service(command, port, scratch / f"{name}.log", f"postgresql://owner@127.0.0.1:{port}")


@pytest.fixture(scope="session")
def postgres(scratch: Path) -> Iterator[Service]:
    server = _postgres(scratch, "pg")
    server.start()
    wait_until(lambda: _postgres_answers(f"{server.url}/postgres"), "PostgreSQL answers")
    yield server
    server.stop()


def _postgres_answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def _redis(scratch: Path, name: str, *more: str) -> Service:
    program = shutil.which("redis-server")
    if program is None:
        _missing("Redis", "redis-server")
    data, port = scratch / name, free_port()
    data.mkdir()
    command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
               "--appendonly", "yes", "--dir", str(data)]  # fmt: skip
    command += [word.format(port=port) for word in more]
    return Service(command, port, scratch / f"{name}.log", f"redis://127.0.0.1:{port}/0")


@pytest.fixture(scope="session")
def redis_server(scratch: Path) -> Iterator[Service]:
    server = _redis(scratch, "redis")
    server.start()
    wait_until(lambda: _redis_answers(server.url), "Redis answers")
    yield server
    server.stop()


@dataclass
class Encrypted:
    """PostgreSQL and Redis that take connections with TLS alone, at 127.0.0.1 and nothing else."""

    postgres: Service
    redis: Service
    authority: Path
    """Who has signed their certificate …"""
    other_authority: Path
    """… and another cluster's."""

    def environment(self, authority: Path | None = None, host: str = "127.0.0.1") -> dict[str, str]:
        """What the cluster gives to an application."""
        trusted = authority or self.authority
        verify = f"sslmode=verify-full&sslrootcert={trusted}"
        redis_url = f"rediss://{host}:{self.redis.port}/0?ssl_ca_certs={trusted}"
        postgres_url = f"postgresql://owner@{host}:{self.postgres.port}/postgres?{verify}"
        return {"POSTGRES_URL": postgres_url, "REDIS_URL": redis_url}


@pytest.fixture(scope="session")
def encrypted(scratch: Path) -> Iterator[Encrypted]:
    issued, other = (
        cluster_ca.issue(State.beside(scratch / cluster / "cluster.yml"), "control-1", addresses)
        for cluster, addresses in (("mine", ["127.0.0.1"]), ("other", []))
    )
    pem = {name: scratch / f"{name}.pem" for name in ("postgres", "redis")}
    for file in pem.values():
        file.write_text(issued.certificate.read_text() + issued.key.read_text())
        file.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(pem["postgres"], "postgres", "postgres")
    access = scratch / "pg_hba.conf"
    access.write_text("hostssl all all 127.0.0.1/32 trust\n")
    postgres = _postgres(
        scratch, "encrypted-pg", ssl="on", ssl_cert_file=str(pem["postgres"]),
        ssl_key_file=str(pem["postgres"]), hba_file=str(access),
    )  # fmt: skip
    queue = _redis(
        scratch, "encrypted-redis", "--port", "0", "--tls-port", "{port}",
        "--tls-auth-clients", "no",
        "--tls-cert-file", str(pem["redis"]), "--tls-key-file", str(pem["redis"]),
    )  # fmt: skip
    made = Encrypted(postgres, queue, issued.authority, other.authority)
    urls = made.environment()
    for server in (postgres, queue):
        server.start()
    wait_until(lambda: _postgres_answers(urls["POSTGRES_URL"]), "PostgreSQL answers")
    wait_until(lambda: _redis_answers(urls["REDIS_URL"]), "Redis answers")
    yield made
    for server in (postgres, queue):
        server.stop()


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@pytest.fixture
def database(postgres: Service) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield f"{postgres.url}/{name}"
    with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def cache(redis_server: Service) -> Iterator["redis.Redis[str]"]:
    """A client of an empty Redis."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def ask(redis_server: Service, cache: object) -> Callable[[int], None]:
    """Put a job where the API puts it."""

    async def enqueue(index: int) -> None:
        queue = RedisQueue(redis_server.url)
        try:
            assert await queue.enqueue(index)
            assert not await queue.enqueue(index)
        finally:
            await queue.close()

    return lambda index: asyncio.run(enqueue(index))


class Process:
    """One process of the application."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        self.port = 0

    @property
    def output(self) -> str:
        return self._log.read_text()

    def logged(self, message: str) -> dict[str, Any] | None:
        """Return the first log entry with this message."""
        for line in self.output.splitlines():
            with contextlib.suppress(ValueError):
                entry: dict[str, Any] = json.loads(line)
                if entry.get("message") == message:
                    return entry
        return None

    def wait_for(self, message: str, seconds: float = 10) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.logged(message)
            if found is None and self.popen.poll() is not None:
                pytest.fail(f"exited {self.popen.returncode}: {self.output}")
            return found

        entry: dict[str, Any] = wait_until(look, f"{message!r} in the log", seconds)
        return entry

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 12) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(timeout=seconds)

    def request(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, **arguments)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


Starter = Callable[..., Process]


@pytest.fixture
def start(database: str, redis_server: Service, cache: object, tmp_path: Path) -> Iterator[Starter]:
    """Start a role of the application (or Python code in its place) against empty databases."""
    processes: list[Process] = []

    def starter(role: str, *arguments: str, code: str = "", **changes: str) -> Process:
        environment = {
            **os.environ,
            "PYTHONPATH": SOURCES,
            "POSTGRES_URL": database,
            "REDIS_URL": redis_server.url,
            "HOST": "127.0.0.1",
            "PORT": "0",
            **changes,
        }
        what = ["-c", code] if code else ["-m", "fibonacci", role, *arguments]
        log = tmp_path / f"{role}-{len(processes)}.log"
        process = Process([sys.executable, *what], environment, log)
        processes.append(process)
        if role == "api":
            process.port = process.wait_for("listening")["port"]
        return process

    yield starter
    for process in processes:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.wait(timeout=10)


@pytest.fixture
def migrated(start: Starter) -> None:
    """The database's schema is up to date."""
    process = start("migrate", "up")
    assert process.popen.wait(timeout=20) == 0, process.output


@pytest.fixture
def api(start: Starter, migrated: None) -> Process:
    """An API that is ready."""
    process = start("api")
    wait_until(lambda: process.request("GET", "/ready")[0] == 200, "the API is ready")
    return process
