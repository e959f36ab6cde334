# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clusterops.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    """The state folder of a cluster beside a temporary cluster.yml."""
    state = State.beside(tmp_path / "cluster.yml")
    state.create()
    return state


class FakeStage:
    def __init__(self) -> None:
        self.result = ""
        self.steps: list[str] = []
        self.others: list[str] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def also(self, text: str) -> None:
        self.others.append(text)

    detail = step


class FakeStages:
    """Stages that are written down."""

    def __init__(self) -> None:
        self.seen: dict[str, FakeStage] = {}

    @contextmanager
    def stage(self, title: str) -> Iterator[FakeStage]:
        self.seen[title] = FakeStage()
        yield self.seen[title]


@pytest.fixture
def stages() -> FakeStages:
    return FakeStages()
