# SPDX-License-Identifier: GPL-3.0-or-later
"""Conformance suites: runs one against an application, and is the pytest plugin that they use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from clusterops.errors import ClusterOpsError

TIMEOUT_S = 20.0


def run_checks(suite: Path, url: str) -> bool:
    """Run a suite against the application at ``url``, with its own output; whether all passed.

    Raises:
        ClusterOpsError: nothing answers there.
    """
    try:
        httpx.get(url, timeout=TIMEOUT_S, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ClusterOpsError(
            f"no application answers at {url}: {error}",
            remedy="is it deployed? ./playground status",
        ) from error
    command = [
        sys.executable,
        *("-m", "pytest", str(suite), "-p", __name__, "-p", "no:cacheprovider", "-p", "no:asyncio"),
        # The suite's own folder, whatever the project's tests are configured to do.
        *("--config-file=/dev/null", f"--rootdir={suite}", "--import-mode=importlib"),
        *("--verbose", "--no-header", "--tb=short", f"--application-url={url}"),
    ]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - no shell


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--application-url", required=True, help="address of the application")


@pytest.fixture(scope="session")
def application(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """An HTTP client for the application's address."""
    url = str(request.config.getoption("--application-url"))
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        yield client
