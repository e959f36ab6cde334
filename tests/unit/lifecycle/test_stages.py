# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads while something long runs, off a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from clusterops.lifecycle import stages as module
from clusterops.lifecycle.stages import Stages


def test_a_stage_ends_with_a_tick_and_its_result(capsys: Any) -> None:
    with Stages().stage("Machine images") as stage:
        stage.step("Building")
        stage.result = "built"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(" s  Building")
    assert lines[1].startswith("✓ Machine images built (")


def test_a_stage_that_fails_ends_with_a_cross_and_the_error_goes_on(capsys: Any) -> None:
    with pytest.raises(ValueError, match="boom"), Stages().stage("Server Manager"):
        raise ValueError("boom")
    assert capsys.readouterr().out.startswith("✗ Server Manager (")


def test_the_same_step_is_said_once(capsys: Any) -> None:
    with Stages().stage("Title") as stage:
        for _ in range(3):
            stage.step("waiting")
    assert capsys.readouterr().out.count("waiting") == 1


def test_square_brackets_are_text(capsys: Any) -> None:
    with Stages().stage("Title") as stage:
        stage.step("item [bold] of [/] list")
        stage.result = "[1/2]"
    out = capsys.readouterr().out
    assert "item [bold] of [/] list" in out
    assert "[1/2]" in out


def test_a_long_step_stays_one_line(capsys: Any) -> None:
    with Stages().stage("Title") as stage:
        stage.step("word " * 60)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_of_many_details_only_one_every_few_seconds_is_printed(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000, 2000))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    with Stages().stage("Title") as stage:
        for number in range(20):
            stage.detail(f"detail {number}")
    assert 2 <= capsys.readouterr().out.count("detail") < 10


def test_time_goes_on_over_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    stages = Stages()
    now[0] = 12.5
    assert stages.elapsed_s == 12.5
