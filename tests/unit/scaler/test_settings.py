# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterops.errors import UsageError
from clusterops.scaler.__main__ import main
from clusterops.scaler.policies import policy_from
from clusterops.scaler.settings import load_settings


def write(tmp_path: Path, **values: object) -> Path:
    path = tmp_path / "scaler.json"
    path.write_text(json.dumps({"server_manager_url": "http://10.0.0.1:3000", **values}))
    return path


def test_defaults(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path))
    assert (settings.agents_min, settings.agents_max, settings.listen_port) == (1, 4, 9000)


def test_every_problem_is_on_the_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, agents_max="x", colour="red", server_manager_url="ftp://x")
    assert main(["--config", str(path)]) == 2
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 1
    for word in ("agents_max", "colour: unknown key", "server_manager_url", str(path)):
        assert word in text


def test_rules_between_keys_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="agents_min: 5 is more than"):
        load_settings(write(tmp_path, agents_min=5))
    with pytest.raises(UsageError, match="must be below"):
        load_settings(write(tmp_path, scale_down_cpu_percent=70))
    with pytest.raises(UsageError, match="cannot be read"):
        load_settings(tmp_path / "none.json")


def test_unknown_policies_are_named(tmp_path: Path) -> None:
    assert policy_from({"scaling_policy": "threshold", "scale_up_cpu_percent": 50.0})
    with pytest.raises(UsageError, match="threshold"):
        policy_from({"scaling_policy": "oracle"})


def test_options_of_a_policy_are_checked() -> None:
    def made(**entry: object) -> object:
        return policy_from({"scaling_policies": [{"policy": "threshold"}, entry]})

    assert made(policy="target_tracking", target=50)
    with pytest.raises(UsageError, match=r"scaling_policies\[1\]: target_tracking: .*'target'"):
        made(policy="target_tracking", taget=50)
    with pytest.raises(UsageError, match=r"scaling_policies\[1\]: step: "):
        made(policy="step", up=[{"above": "much", "add": 1}])
    with pytest.raises(UsageError, match="'oracle', which is not installed"):
        made(policy="oracle")


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scaler.json"
    path.write_text("{}")
    with pytest.raises(UsageError, match="server_manager_url: is missing"):
        load_settings(path)
