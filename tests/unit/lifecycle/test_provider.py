# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster is on one provider for life."""

from __future__ import annotations

import pytest

from clusterops.config import ClusterConfig
from clusterops.errors import UsageError
from clusterops.lifecycle.provider import settled
from clusterops.state import State


def _settle(state: State, wanted: str, asked: str | None = None) -> str:
    config = ClusterConfig(cluster_provider=wanted)
    return settled(config, state, asked, lambda _: "docker").cluster_provider


@pytest.mark.parametrize(
    ("recorded", "wanted", "asked", "expected"),
    [
        (None, "auto", None, "docker"),
        (None, "virtualbox", None, "virtualbox"),
        (None, "virtualbox", "docker", "docker"),
        (None, "virtualbox", "auto", "docker"),
        ("virtualbox", "auto", None, "virtualbox"),
        ("virtualbox", "virtualbox", "auto", "virtualbox"),
        ("docker", "docker", "docker", "docker"),
    ],
)
def test_which_one_it_is(
    state: State, recorded: str | None, wanted: str, asked: str | None, expected: str
) -> None:
    if recorded:
        state.record_provider(recorded)
    assert _settle(state, wanted, asked) == expected


@pytest.mark.parametrize(("wanted", "asked"), [("virtualbox", None), ("docker", "virtualbox")])
def test_it_cannot_change_under_its_machines(state: State, wanted: str, asked: str | None) -> None:
    state.record_provider("docker")
    with pytest.raises(UsageError, match=r"'playground' is on docker, and virtualbox was asked"):
        _settle(state, wanted, asked)


def test_one_that_is_not_installed_is_refused(state: State) -> None:
    with pytest.raises(UsageError, match=r"found 'vmware'; installed are: auto, docker, fake"):
        _settle(state, "vmware")


def test_nothing_is_recorded_by_asking(state: State) -> None:
    _settle(state, "auto")
    assert state.provider() is None
