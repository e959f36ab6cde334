"""In containers the numbers are each node's own, not the machine's."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

IMAGE = "test/metrics:trixie"
SOURCE = Path(__file__).resolve().parents[3] / "src"
DOCKERFILE = """ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends python3 \\
    && rm -rf /var/lib/apt/lists/*
"""
# Asked from inside: only the loopback address of the container is spoken to.
FETCH = (
    "import urllib.request as r; print(r.urlopen('http://127.0.0.1:5100/metrics').read().decode())"
)
LIMIT = 256 * 1024 * 1024


def docker(*arguments: str, text: str | None = None, check: bool = True) -> str:
    done = subprocess.run(
        ["docker", *arguments], input=text, capture_output=True, text=True, check=False, timeout=300
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def image(base_image: str) -> str:
    build = ("build", "--network", "host", "--build-arg", f"BASE={base_image}")
    docker(*build, "--tag", IMAGE, "-", text=DOCKERFILE)
    return IMAGE


@pytest.fixture(scope="module")
def nodes(image: str) -> Iterator[tuple[str, str]]:
    names = (f"test-metrics-{os.getpid()}-busy", f"test-metrics-{os.getpid()}-idle")
    try:
        for name in names:
            docker(
                *("run", "-d", "--init", "--name", name, "--cgroupns=private"),
                *("--cpus", "0.5", "--memory", str(LIMIT), "-v", f"{SOURCE}:/source:ro"),
                *("-e", "PYTHONPATH=/source", "-e", "PYTHONDONTWRITEBYTECODE=1", image),
                *("python3", "-m", "clusterops.metrics_api", "--bind", "0.0.0.0"),
            )
        yield names
    finally:
        for name in names:
            docker("rm", "-f", "-v", name, check=False)


def metrics(node: str) -> dict[str, Any]:
    document = json.loads(docker("exec", node, "python3", "-c", FETCH))
    assert isinstance(document, dict)
    return document


def test_one_node_is_busy_and_the_other_is_not(nodes: tuple[str, str]) -> None:
    busy, idle = nodes
    block = 80 * 1024 * 1024
    burn = f"x = bytearray(b'x' * {block})\nwhile True: pass"
    time.sleep(2)
    before = metrics(busy)
    docker("exec", "-d", busy, "timeout", "60", "python3", "-c", burn)
    time.sleep(13)  # more than the window
    first, second = metrics(busy), metrics(idle)

    assert first["cpus"] == second["cpus"] == 0.5
    assert first["cpu_utilization_percent"] > 80
    assert second["cpu_utilization_percent"] < 30
    assert first["memory"]["total"] == second["memory"]["total"] == LIMIT
    grown = before["memory"]["available"] - first["memory"]["available"]
    assert grown == pytest.approx(block, rel=0.25)
    assert second["memory_utilization_percent"] < 20
    assert first["load"][0] > second["load"][0]


def test_it_stays_small_and_stops_at_once(nodes: tuple[str, str]) -> None:
    node = nodes[1]
    lines = docker("top", node, "-o", "pid,rss,args").splitlines()
    rss = [int(line.split()[1]) for line in lines if "python3 -m clusterops" in line]
    assert max(rss) <= 25 * 1024
    start = time.monotonic()
    docker("stop", "-t", "8", node)
    assert time.monotonic() - start < 5
    assert docker("inspect", "-f", "{{.State.ExitCode}}", node).strip() == "0"
