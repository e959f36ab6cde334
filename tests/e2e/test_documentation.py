# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation tells people to type works on a running cluster, as it stands there.

The list is the documentation itself; tests/documentation.py says which commands other tests
execute, and tests/unit/test_documentation.py that no command is left out.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.documentation import to_execute
from tests.e2e.cluster import ROOT, Cluster

pytestmark = pytest.mark.e2e

AT_ONCE = 3
TIMEOUT_S = 60
POLICY = "scaling_policies: [{policy: target_tracking, metric: cpu, target: 60}]\n"
#: Put things in order for others, or change what others use: before all, or after all.
FIRST = ("app new", "./playground record", "curl -s -X POST")
LAST = ("token rotate",)


def test_every_command_of_the_documentation_works(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(POLICY)
    commands = to_execute(tmp_path)
    assert len(commands) > 30
    first = [text for text in commands if any(part in text for part in FIRST)]
    last = [text for text in commands if any(part in text for part in LAST)]
    between = [text for text in commands if text not in first and text not in last]
    assert first and last

    failures = [_failure(cluster, text) for text in first]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failures += pool.map(lambda text: _failure(cluster, text), between)
    failures += [_failure(cluster, text) for text in last]
    assert [failure for failure in failures if failure] == []


def _failure(cluster: Cluster, text: str) -> str | None:
    """Run one command line as a person would, in the checkout with its environment active."""
    environment = cluster.environment
    environment["PATH"] = f"{ROOT / '.venv/bin'}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", text],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    print(f"[{done.returncode}] {text}")
    if done.returncode == 0 and "Traceback" not in done.stderr:
        return None
    return f"{text}: {done.returncode}\n{done.stdout[-500:]}{done.stderr[-500:]}"
