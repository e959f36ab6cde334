# SPDX-License-Identifier: GPL-3.0-or-later
"""One cluster for all end-to-end tests; whatever happens, it is taken down again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster

NAME = "playground-e2e"

# A suite that was started in the background ignores Ctrl-C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that came up although its first `up` was killed half-way."""
    folder: Path = tmp_path_factory.mktemp("cluster")
    cluster = Cluster(NAME, folder)
    cluster.configure()
    cluster.run("down", "--keep-images")
    try:
        _kill_an_up_half_way(cluster)
        result = cluster.run("up", timeout=1500)
        print(result.stdout)
        yield cluster
    finally:
        _show_what_went_on(cluster)
        cluster.run("down", check=False)


def _kill_an_up_half_way(cluster: Cluster) -> None:
    """SIGKILL to the CLI and all it started, once the control node is being configured."""
    log = cluster.folder / "first-up.log"
    with log.open("w") as stream:
        process = cluster.start("up", output=stream)
    deadline = time.monotonic() + 1200
    try:
        while "Serve data" not in (output := log.read_text()):
            assert process.poll() is None, f"the first up ended:\n{output[-3000:]}"
            assert time.monotonic() < deadline, f"the first up hangs:\n{output[-3000:]}"
            time.sleep(0.2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _show_what_went_on(cluster: Cluster) -> None:
    """The scaler's journal is the first thing to read when a test has failed."""
    command = ["docker", "exec", f"{cluster.name}-control-1", "journalctl", "--no-pager"]
    journal = subprocess.run(
        [*command, "--unit", "clusterops-scaler", "--lines", "200", "--output", "cat"],
        capture_output=True,
        text=True,
    )
    print(journal.stdout)
