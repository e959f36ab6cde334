# SPDX-License-Identifier: GPL-3.0-or-later
"""How many agents change their release at a time, as playbooks/vars/deployment.yml says it."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

VARIABLES = Path(__file__).parents[2] / "playbooks/vars/deployment.yml"
IN_FORCE = b64encode(b'{"release": "one"}').decode()


def value(name: str, **variables: Any) -> Any:
    written = yaml.safe_load(VARIABLES.read_text())
    texts = {key: trust_as_template(text) for key, text in written.items()}
    templar = Templar(loader=DataLoader(), variables={**texts, **variables})
    return templar.template(trust_as_template(f"{{{{ {name} }}}}"))


def batch(running: int, deploy_serial: int, *in_force: str) -> int:
    agents = [f"agent-{number}" for number in range(1, 5)]
    groups = {"agents": agents, "state_running": ["control-1", *agents[:running]]}
    files = {"deployment_files": {"stdout_lines": ["e30=", *in_force]}}
    number: int = value(
        "release_batch",
        groups=groups,
        hostvars={"control-1": files},
        deploy_serial=deploy_serial,
    )
    return number


@pytest.mark.parametrize("running", [1, 2, 4])
def test_the_first_release_goes_to_all_at_once(running: int) -> None:
    assert batch(running, 1) == running


@pytest.mark.parametrize(
    ("running", "deploy_serial", "changing"),
    [(4, 1, 1), (4, 2, 2), (4, 9, 3), (2, 2, 1), (1, 1, 1), (1, 9, 1)],
)
def test_then_one_goes_on_serving_where_there_are_two(
    running: int, deploy_serial: int, changing: int
) -> None:
    assert batch(running, deploy_serial, IN_FORCE) == changing


def test_plays_read_it_out_of_a_groups_name() -> None:
    assert value("agents_at_a_time", groups={"all": [], "release_batch_3": ["agent-1"]}) == 3
    assert value("agents_at_a_time", groups={"all": []}) == 1, "no agent runs"
