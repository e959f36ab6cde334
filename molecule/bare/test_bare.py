# SPDX-License-Identifier: GPL-3.0-or-later
"""After check mode on nodes that have nothing yet: nothing has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

# What Ansible, systemd and logging in leave behind, whatever is done.
NOT_THE_ROLES = ("/root/.ansible", "/root/.cache", "/var/log/", "/var/lib/systemd/", "/tmp", "/run")


@pytest.fixture(params=["node", "other"])
def bare(request: pytest.FixtureRequest) -> Host:
    scenario, system = os.environ["MOLECULE_SCENARIO_NAME"], os.environ.get("NODE_SYSTEM")
    name = f"molecule-{scenario}-{system or 'debian-13'}-{request.param}"
    return testinfra.get_host(f"docker://{name}")


def test_check_mode_has_changed_nothing(bare: Host) -> None:
    # Molecule writes this file when the nodes are prepared, and the next time when they converge.
    prepared = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "state.yml").stat().st_mtime
    newer = bare.check_output(
        f"find / -xdev ! -type s -newerct @{prepared:.3f} -not -path '*/__pycache__*'"
    )
    changed = {path for path in newer.splitlines() if not path.startswith(NOT_THE_ROLES)}
    assert changed - {"/", "/root"} == set()
