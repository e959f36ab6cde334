# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 at every step of every action: the next daemon gets where the first one wanted to go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.scaler.conftest import STAGES, Daemon
from tests.integration.scaler.fakes import FakeCluster

pytestmark = pytest.mark.integration

MOMENTS = [
    (kind, moment, stage)
    for kind, stages in STAGES.items()
    for stage in stages
    for moment in ("before", "after")
]


@pytest.mark.parametrize(("kind", "moment", "stage"), MOMENTS)
def test_a_killed_daemon_is_continued(
    cluster: FakeCluster,
    make_daemon: Callable[..., Daemon],
    kind: str,
    moment: str,
    stage: str,
) -> None:
    wanted = 2 if kind == "scale_up" else 1
    if kind == "scale_down":
        cluster.serve("agent-2")
    warm = kind == "prepare"
    daemon = make_daemon(warm_agents=int(warm))

    def strike(hook: str) -> None:
        if hook == stage:
            cluster.before = cluster.after = lambda _hook: None
            daemon.kill()

    if warm:
        setattr(cluster, moment, strike)
        daemon.start()
    else:
        daemon.up()
        setattr(cluster, moment, strike)
        daemon.call("POST", "/api/v1/desired", {"desired": wanted})
    assert daemon.process and daemon.process.wait(30) == -9
    daemon.start()
    if warm:
        daemon.wait_for(lambda: bool(daemon.call("GET", "/api/v1/events?kind=finished")["events"]))
        daemon.wait_for(lambda: cluster.hooks[-2:] == ["pull agent-2", "power_off agent-2"])
    daemon.wait_for(lambda: cluster.settled(wanted) and daemon.status()["action"] is None)
    assert daemon.status()["desired"] == wanted
    assert not cluster.violations
