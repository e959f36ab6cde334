"""The real process on a free port of the loopback address."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

SOURCE = Path(__file__).resolve().parents[3] / "src"
MAX_RSS_KB = 25 * 1024
REQUESTS = 2000
MAX_CPU_S = 0.001


class Service:
    """The metrics API as a process."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            command("--bind", "127.0.0.1", "--port", "0", *arguments),
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        match = re.search(r"port (\d+), source: (.+)$", line)
        assert match, f"it did not start: {line}"
        self.port, self.source = int(match[1]), match[2]

    def get(
        self, path: str, accept: str = "*/*", method: str = "GET", body: bytes | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers={"Accept": accept})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def rss_kb(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert match
        return int(match[1])

    def cpu_s(self) -> float:
        """Processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=3)
        finally:
            self.process.kill()
            assert self.process.stderr is not None
            self.process.stderr.close()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "clusterops.metrics_api", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE)}


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.stop()


def test_it_answers_in_both_formats(service: Service) -> None:
    status, headers, body = service.get("/metrics")
    document = json.loads(body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert document["status"] == "active"
    assert 0 <= document["cpu_utilization_percent"] <= 100
    assert 0 < document["memory_utilization_percent"] < 100
    assert 0 < document["memory"]["available"] < document["memory"]["total"]
    assert 0 < document["disk"]["free"] < document["disk"]["total"]
    assert len(document["load"]) == 3
    assert 0 < document["cpus"] <= (os.cpu_count() or 1)

    status, headers, body = service.get("/metrics", accept="text/plain")
    assert (status, headers.get_content_type()) == (200, "text/plain")
    assert f"node_memory_MemTotal_bytes {document['memory']['total']}\n" in body.decode()

    status, headers, body = service.get("/health")
    assert (status, json.loads(body)) == (200, {"service": "metrics-api", "status": "healthy"})
    status, headers, body = service.get("/metrics", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 100
    assert service.get("/nothing")[0] == 404


def test_a_large_body_gets_its_answer(service: Service) -> None:
    status, headers, _ = service.get("/metrics", method="POST", body=b"x" * 500_000)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_it_is_frugal_and_small_under_load(service: Service) -> None:
    def hammer() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        for _ in range(300):
            connection.request("GET", "/metrics", headers={"Accept": "text/plain"})
            assert connection.getresponse().read()
        connection.close()

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    used = service.cpu_s()
    with service.connect() as client:
        for _ in range(REQUESTS):
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
    # Of the processor: what else this machine does makes it wait, and is not counted.
    assert (service.cpu_s() - used) / REQUESTS <= MAX_CPU_S
    assert service.rss_kb() <= MAX_RSS_KB


def test_slow_and_silent_clients_do_not_block_others(service: Service) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(300):
            client = stack.enter_context(service.connect())
            client.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: "[: number % 40])
            if number % 20 == 0:
                assert service.get("/metrics")[0] == 200
        assert len(list(Path(f"/proc/{service.process.pid}/fd").iterdir())) < 150
        assert service.rss_kb() <= MAX_RSS_KB
        # nor do they hold up its end
        assert service.stop() == 0


def test_a_client_that_never_reads_is_not_served_endlessly(service: Service) -> None:
    with service.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            for _ in range(2000):
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        assert service.get("/health")[0] == 200
        assert service.rss_kb() <= MAX_RSS_KB


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    with service.connect() as client:
        client.sendall(
            b"GET /health HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
            b"GET /no HTTP/1.1\r\n\r\n"
            b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200"]


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"A" * 20_000,
        b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 5000,
        b"\r\n" * 5000,
        b"GET /metrics HTTP/1.1\r\nContent-Length: nan\r\n\r\n",
    ],
)
def test_junk_costs_only_its_sender(service: Service, junk: bytes) -> None:
    with service.connect() as client:
        client.sendall(junk)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert not answer or re.match(rb"HTTP/1.1 (400|431|505) ", answer)
    assert service.get("/metrics")[0] == 200


def test_numbers_follow_the_cgroup(tmp_path: Path) -> None:
    group, proc = tmp_path / "sys/fs/cgroup", tmp_path / "proc"
    group.mkdir(parents=True)
    proc.mkdir()
    (proc / "stat").write_text("cpu 0 0 0 0 0 0 0 0\ncpu0 0\n")
    (proc / "meminfo").write_text("MemTotal: 1048576 kB\nMemFree: 1 kB\nMemAvailable: 9 kB\n")
    (group / "cgroup.type").write_text("domain")
    (group / "cpu.max").write_text("50000 100000")
    (group / "cpu.stat").write_text("usage_usec 1000")
    (group / "memory.max").write_text("1000000")
    (group / "memory.current").write_text("500000")
    (group / "memory.stat").write_text("inactive_file 100000")
    service = Service("--root", str(tmp_path))
    try:
        assert service.source == "cgroup v2"
        before = json.loads(service.get("/metrics")[2])
        assert (before["cpu_utilization_percent"], before["cpus"]) == (0, 0.5)
        assert before["memory"] == {"total": 1000000, "available": 600000, "percent": 40}
        (group / "cpu.stat").write_text("usage_usec 900000000")
        (group / "memory.current").write_text("1000000")
        time.sleep(1.5)
        after = json.loads(service.get("/metrics")[2])
        assert (after["cpu_utilization_percent"], after["cpu"]) == (100, 100)
        assert after["memory_utilization_percent"] == 90
        assert after["sampled_at"] > before["sampled_at"]
    finally:
        assert service.stop() == 0


def test_a_port_in_use_is_one_clear_line(service: Service) -> None:
    done = subprocess.run(
        command("--port", str(service.port)),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(service.port) in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--help"], 0, "--bind"),
        (["--port", "70000"], 2, "not a port"),
        (["--bind", "192.0.2.1"], 1, "cannot listen on 192.0.2.1"),
        (["--root", "/nowhere", "--port", "0"], 1, "cannot measure"),
    ],
)
def test_command_line(arguments: list[str], code: int, text: str) -> None:
    done = subprocess.run(
        command(*arguments),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == code
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
